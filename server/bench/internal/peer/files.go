package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/proglog/proglog/server/internal/vfs"
)

// Files is the plain design: a file per log, to which values are appended, with
// an fdatasync before the ack. Those who append to the same log meanwhile share
// the next sync, so it commits in groups; logs share nothing. It keeps neither
// checksums nor an index, since its values have one size.
type Files struct{}

// Name implements [Peer].
func (Files) Name() string { return "file per log" }

// About implements [Peer].
func (Files) About() string {
	return "each log a growing file of its own, group commit by write + fdatasync per log; no checksums, no index; reads are bare preads"
}

// spareFiles is how many descriptors the process needs beside those of logs.
const spareFiles = 3000

// Open implements [Peer].
func (Files) Open(dir string, load Load) (_ Subject, err error) {
	if limit := fileLimit(); uint64(load.Logs)+spareFiles > limit {
		return nil, fmt.Errorf("%w: %d open files are needed, the limit is %d", ErrUnavailable, load.Logs+spareFiles, limit)
	}
	s := &filesSubject{load: load, logs: make([]logFile, load.Logs)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for i := range s.logs {
		s.logs[i].f, err = os.OpenFile(filepath.Join(dir, fmt.Sprintf("%05d.log", i)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
	}
	return s, vfs.OS(dir).SyncDir(".")
}

type filesSubject struct {
	load Load
	logs []logFile
}

// A logFile commits in groups without a timer: whoever finds nobody at work
// leads, and when its group is durable the first of those who queued meanwhile
// leads the next.
type logFile struct {
	f *os.File

	mu    sync.Mutex
	queue []*call
	busy  bool

	// These belong to the leader.
	group []*call
	buf   []byte
	size  int64
	value int // size of each value; 0 before the first
}

// A call is one append that waits: for its outcome, or to lead.
type call struct {
	raw      []byte
	value    int
	position int64
	err      error
	wake     chan bool // true: lead
}

func (l *logFile) append(c *call) {
	l.mu.Lock()
	l.queue = append(l.queue, c)
	lead := !l.busy
	l.busy = true
	l.mu.Unlock()
	if !lead && !<-c.wake {
		return
	}
	l.mu.Lock()
	l.group, l.queue = l.queue, l.group[:0]
	l.mu.Unlock()
	err := l.commit()
	for _, other := range l.group {
		other.err = err
		if other != c {
			other.wake <- false
		}
	}
	clear(l.group)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) > 0 {
		l.queue[0].wake <- true
	} else {
		l.busy = false
	}
}

// commit writes the group and syncs it.
func (l *logFile) commit() error {
	at, out := l.size, l.group[0].raw
	if len(l.group) > 1 {
		l.buf = l.buf[:0]
		for _, c := range l.group {
			l.buf = append(l.buf, c.raw...)
		}
		out = l.buf
	}
	for _, c := range l.group {
		l.value = c.value
		c.position = l.size
		l.size += int64(len(c.raw))
	}
	if _, err := l.f.WriteAt(out, at); err != nil {
		return err
	}
	return dataSync(l.f)
}

func (s *filesSubject) Writer(_ int, batch *Batch) Writer {
	return &filesWriter{subject: s, call: call{raw: batch.Raw, value: len(batch.Values[0]), wake: make(chan bool, 1)}}
}

type filesWriter struct {
	subject *filesSubject
	call    call
}

func (w *filesWriter) Append(log int) (uint64, error) {
	w.subject.logs[log].append(&w.call)
	return uint64(w.call.position) / uint64(w.call.value), w.call.err
}

func (s *filesSubject) Count() (n uint64, _ error) {
	for i := range s.logs {
		value := s.valueOf(i)
		if value == 0 {
			continue
		}
		info, err := s.logs[i].f.Stat()
		if err != nil {
			return 0, err
		}
		n += uint64(info.Size()) / uint64(value)
	}
	return n, nil
}

// valueOf is the size of a log's values.
func (s *filesSubject) valueOf(log int) int {
	s.logs[log].mu.Lock()
	defer s.logs[log].mu.Unlock()
	return s.logs[log].value
}

func (s *filesSubject) Value(at Place, buf []byte) ([]byte, error) {
	n := s.valueOf(at.Log)
	return readValue(s.logs[at.Log].f, buf, n, int64(at.Offset)*int64(n))
}

func (s *filesSubject) Close() error {
	var errs []error
	for i := range s.logs {
		if f := s.logs[i].f; f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

func (s *filesSubject) Reader() Reader {
	return &filesReader{file: s.logs[0].f, value: s.load.ValueBytes, buf: make([]byte, max(RunBytes, s.load.ValueBytes))}
}

type filesReader struct {
	file  *os.File
	value int
	buf   []byte
}

func (r *filesReader) At(offset uint64) ([]byte, error) {
	return readValue(r.file, r.buf, r.value, int64(offset)*int64(r.value))
}

func (r *filesReader) Run(offset uint64) (records, bytes int, err error) {
	whole := len(r.buf) / r.value * r.value
	n, err := r.file.ReadAt(r.buf[:whole], int64(offset)*int64(r.value))
	records = n / r.value
	if records > 0 {
		err = nil // the end of the file came after it
	}
	return records, n, err
}

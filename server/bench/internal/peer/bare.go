package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/proglog/proglog/server/internal/vfs"
)

// Space says what a bare loop writes to.
type Space int

// The kinds of space.
const (
	// Prepared space was written and synced before, and is used again and again:
	// no write to it changes metadata.
	Prepared Space = iota
	// Growing is the end of a file: each sync has to store its new size too.
	Growing
	// Direct is prepared space without the page cache in between: each append is
	// padded to 4 KiB and durable by the write itself.
	Direct
)

// Bare is the loop that every store has inside: each writer has a file of its
// own, and an append is one write of the values and one fdatasync. There are no
// logs, offsets or checksums, nothing is shared, and nobody waits for another.
type Bare struct {
	Space Space
}

// Name implements [Peer].
func (p Bare) Name() string {
	return [...]string{"bare", "bare growing", "bare direct"}[p.Space]
}

// About implements [Peer].
func (p Bare) About() string {
	return [...]string{
		"write + fdatasync of the same bytes in a loop, a file per goroutine, on space written before and used again",
		"the same at the end of growing files",
		"the same on space written before, each append padded to 4 KiB and written with O_DIRECT and O_DSYNC",
	}[p.Space]
}

// prepareBytes is how much space is written before, for all files together.
const prepareBytes = 64 << 20

// Open implements [Peer].
func (p Bare) Open(dir string, load Load) (_ Subject, err error) {
	s := &bareSubject{space: p.Space, load: load, files: make([]bareFile, load.Writers)}
	s.stride = load.BatchBytes()
	if p.Space == Direct {
		s.stride = vfs.AlignUp(s.stride)
	}
	s.slots = uint64(max(4, prepareBytes/int64(load.Writers)/s.stride))
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	fs := vfs.OS(dir)
	for i := range s.files {
		name := fmt.Sprintf("%05d.bare", i)
		if s.files[i].f, err = os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return nil, err
		}
		if p.Space == Growing {
			continue
		}
		if err := s.prepare(&s.files[i]); err != nil {
			return nil, err
		}
		if p.Space == Direct {
			if s.files[i].direct, err = fs.Open(name, vfs.Direct); err != nil {
				return nil, err
			}
		}
	}
	return s, fs.SyncDir(".")
}

type bareSubject struct {
	space  Space
	load   Load
	stride int64  // from append to append
	slots  uint64 // appends that the space of a file holds
	files  []bareFile
}

type bareFile struct {
	f       *os.File
	direct  vfs.File
	appends atomic.Uint64
}

func (s *bareSubject) prepare(f *bareFile) error {
	zeros := make([]byte, 1<<20)
	for at, end := int64(0), int64(s.slots)*s.stride; at < end; {
		n, err := f.f.WriteAt(zeros[:min(int64(len(zeros)), end-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return f.f.Sync()
}

// position is where a writer's append of that number goes.
func (s *bareSubject) position(n uint64) int64 {
	if s.space != Growing {
		n %= s.slots
	}
	return int64(n) * s.stride
}

func (s *bareSubject) Writer(id int, batch *Batch) Writer {
	w := &bareWriter{subject: s, first: uint64(id) << writerShift, file: &s.files[id], raw: batch.Raw}
	if s.space == Direct {
		w.aligned = vfs.AlignedBuffer(int(s.stride))
	}
	return w
}

// writerShift makes offsets of all writers differ: a writer's id is above it.
const writerShift = 32

type bareWriter struct {
	subject *bareSubject
	first   uint64 // offset of the writer's first record
	file    *bareFile
	raw     []byte
	aligned []byte
}

func (w *bareWriter) Append(int) (uint64, error) {
	n := w.file.appends.Load()
	if err := w.write(w.subject.position(n)); err != nil {
		return 0, err
	}
	w.file.appends.Store(n + 1)
	return w.first + n*uint64(w.subject.load.Batch), nil
}

func (w *bareWriter) write(position int64) error {
	if w.aligned != nil {
		copy(w.aligned, w.raw)
		_, err := w.file.direct.WriteAt(w.aligned, position)
		return err
	}
	if _, err := w.file.f.WriteAt(w.raw, position); err != nil {
		return err
	}
	return dataSync(w.file.f)
}

func (s *bareSubject) Count() (n uint64, _ error) {
	for i := range s.files {
		n += s.files[i].appends.Load() * uint64(s.load.Batch)
	}
	return n, nil
}

func (s *bareSubject) Value(at Place, buf []byte) ([]byte, error) {
	file, offset, batch := &s.files[at.Offset>>writerShift], at.Offset&(1<<writerShift-1), uint64(s.load.Batch)
	n := offset / batch
	if s.space != Growing && n+s.slots < file.appends.Load() {
		return nil, ErrReused
	}
	position := s.position(n) + int64(offset%batch)*int64(s.load.ValueBytes)
	return readValue(file.f, buf, s.load.ValueBytes, position)
}

// readValue reads n bytes at a position, into buf's array if it is large enough.
func readValue(f *os.File, buf []byte, n int, position int64) ([]byte, error) {
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	_, err := f.ReadAt(buf[:n], position)
	return buf[:n], err
}

func (s *bareSubject) Close() error {
	var errs []error
	for i := range s.files {
		if f := s.files[i].direct; f != nil {
			errs = append(errs, f.Close())
		}
		if f := s.files[i].f; f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

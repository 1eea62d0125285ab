package peer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// Book is the design that proglog's origin teaches: segments of a store file, to
// which records go through a buffer, each with its length in front, and of an index
// file mapped into memory, with an entry for each record. It syncs nothing and
// checks nothing, so that only its reads are a measure.
type Book struct{}

// Name implements [Peer].
func (Book) Name() string { return "book's design" }

// About implements [Peer].
func (Book) About() string {
	return "store + mmap index, written anew here after the book's design: a lock for the log, one for each store, two preads, decoded with protobuf; NOT DURABLE, no checksums; for reads only"
}

// Sizes of the book's design; segments are as large as ours by default.
const (
	bookStoreBytes  = 64 << 20
	bookLengthBytes = 8
	bookEntryBytes  = 4 + 8 // number within the segment, position
	bookIndexBytes  = bookStoreBytes / 64 * bookEntryBytes
)

// Open implements [Peer].
func (Book) Open(dir string, load Load) (Subject, error) {
	if load.Logs != 1 {
		return nil, errShape
	}
	return &bookLog{dir: dir}, nil
}

type bookLog struct {
	dir      string
	mu       sync.RWMutex
	segments []*bookSegment
	next     uint64
}

type bookSegment struct {
	base  uint64
	store bookStore
	file  *os.File // of the index
	index []byte   // mapped
	used  int
}

type bookStore struct {
	file *os.File
	mu   sync.Mutex
	buf  *bufio.Writer
	size uint64
}

func (l *bookLog) roll() (err error) {
	s := &bookSegment{base: l.next}
	open := func(kind string) (*os.File, error) {
		return os.OpenFile(filepath.Join(l.dir, fmt.Sprintf("%d.%s", s.base, kind)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if s.store.file, err = open("store"); err != nil {
		return err
	}
	s.store.buf = bufio.NewWriter(s.store.file)
	l.segments = append(l.segments, s)
	if s.file, err = open("index"); err != nil {
		return err
	}
	if err := s.file.Truncate(bookIndexBytes); err != nil {
		return err
	}
	s.index, err = unix.Mmap(int(s.file.Fd()), 0, bookIndexBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return err
}

func (l *bookLog) append(value []byte) (offset uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.segments); n == 0 || l.segments[n-1].store.size >= bookStoreBytes || l.segments[n-1].used+bookEntryBytes > bookIndexBytes {
		if err := l.roll(); err != nil {
			return 0, err
		}
	}
	s := l.segments[len(l.segments)-1]
	b, err := proto.Marshal(&logv1.Record{Value: value, Offset: l.next})
	if err != nil {
		return 0, err
	}
	position, err := s.store.append(b)
	if err != nil {
		return 0, err
	}
	binary.BigEndian.PutUint32(s.index[s.used:], uint32(l.next-s.base))
	binary.BigEndian.PutUint64(s.index[s.used+4:], position)
	s.used += bookEntryBytes
	l.next++
	return l.next - 1, nil
}

func (s *bookStore) append(b []byte) (position uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	position = s.size
	if err := binary.Write(s.buf, binary.BigEndian, uint64(len(b))); err != nil {
		return 0, err
	}
	n, err := s.buf.Write(b)
	s.size += uint64(n) + bookLengthBytes
	return position, err
}

func (s *bookStore) read(position uint64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.buf.Flush(); err != nil {
		return nil, err
	}
	length := make([]byte, bookLengthBytes)
	if _, err := s.file.ReadAt(length, int64(position)); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint64(length))
	_, err := s.file.ReadAt(b, int64(position+bookLengthBytes))
	return b, err
}

// At implements [Reader].
func (l *bookLog) At(offset uint64) ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var s *bookSegment
	for _, one := range l.segments {
		if one.base <= offset && offset < one.base+uint64(one.used/bookEntryBytes) {
			s = one
			break
		}
	}
	if s == nil {
		return nil, io.EOF
	}
	entry := s.index[(offset-s.base)*bookEntryBytes:]
	b, err := s.store.read(binary.BigEndian.Uint64(entry[4:]))
	if err != nil {
		return nil, err
	}
	record := new(logv1.Record)
	err = proto.Unmarshal(b, record)
	return record.Value, err
}

// Run implements [Reader]: record by record, which is all that it has.
func (l *bookLog) Run(offset uint64) (records, bytes int, err error) {
	for bytes < RunBytes {
		value, err := l.At(offset + uint64(records))
		if errors.Is(err, io.EOF) && records > 0 {
			break
		}
		if err != nil {
			return records, bytes, err
		}
		records, bytes = records+1, bytes+len(value)
	}
	return records, bytes, nil
}

func (l *bookLog) Writer(_ int, batch *Batch) Writer {
	return &bookWriter{log: l, values: batch.Values}
}

type bookWriter struct {
	log    *bookLog
	values [][]byte
}

func (w *bookWriter) Append(int) (first uint64, err error) {
	for i, v := range w.values {
		offset, err := w.log.append(v)
		if err != nil {
			return 0, err
		}
		if i == 0 {
			first = offset
		}
	}
	return first, nil
}

func (l *bookLog) Count() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.next, nil
}

func (l *bookLog) Value(at Place, _ []byte) ([]byte, error) { return l.At(at.Offset) }
func (l *bookLog) Reader() Reader                           { return l }

func (l *bookLog) Close() error {
	var errs []error
	for _, s := range l.segments {
		errs = append(errs, s.store.buf.Flush(), s.store.file.Close())
		if s.index != nil {
			errs = append(errs, unix.Munmap(s.index))
		}
		if s.file != nil {
			errs = append(errs, s.file.Close())
		}
	}
	return errors.Join(errs...)
}

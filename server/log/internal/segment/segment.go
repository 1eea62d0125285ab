// Package segment holds a log's records in files, each a store of frames over a
// range of offsets with a sparse index of it. FORMAT.md, two directories up,
// draws the bytes.
package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
)

// HeaderSize is the position of a store's first frame.
const HeaderSize = 128

const (
	storeMagic  = 0x31534c50 // "PLS1"
	formatMajor = 1
)

// Spec is what never changes in a segment.
type Spec struct {
	Log     uint64 // number of the log
	Number  uint32 // of the segment in its log: 1, 2, 3, …
	Base    uint64 // offset of the first record
	Nonce   uint64 // random; seeds the checksums of frame headers
	Chain   uint32 // of the log before the first frame
	Created int64  // nanoseconds since 1970
}

// Name is the store's file name.
func (s *Spec) Name() string { return fmt.Sprintf("%016x-%020d-%08x.seg", s.Log, s.Base, s.Number) }

func (s *Spec) indexName() string {
	return fmt.Sprintf("%016x-%020d-%08x.idx", s.Log, s.Base, s.Number)
}

// A Set is what the segments of one data directory share.
type Set struct {
	FS      vfs.FS
	Dir     string
	ID      [16]byte // of the data directory
	files   files
	indexes indexes
	small   sync.Pool // *[]byte of smallRead
	large   sync.Pool // *[]byte of largeRead
}

// NewSet returns a set that keeps at most openFiles stores open, beside those
// that were written to and are not yet synced, and indexBytes of indexes.
func NewSet(fs vfs.FS, dir string, id [16]byte, openFiles int, indexBytes int64) *Set {
	s := &Set{FS: fs, Dir: dir, ID: id}
	s.files.limit = openFiles
	s.indexes.limit = indexBytes
	s.small.New = func() any { b := make([]byte, smallRead); return &b }
	s.large.New = func() any { b := make([]byte, largeRead); return &b }
	return s
}

// Close closes every store. Nothing may use the set any more.
func (s *Set) Close() error { return s.files.close() }

// A Segment is one store with its index. One goroutine at a time writes it; any
// number read it meanwhile.
type Segment struct {
	Spec
	Seed   uint32 // of the checksums of frame headers
	set    *Set
	handle atomic.Pointer[handle]
	pin    *handle // keeps the store open from its first write to its sync; the writer's
	index  index
}

// New returns a segment whose file is not yet there: Create makes it.
func (s *Set) New(spec Spec) *Segment {
	g := &Segment{Spec: spec, Seed: frame.Seed(spec.Nonce), set: s}
	g.index.low.Store(&[]entry{})
	return g
}

// Existing returns a segment whose file holds frames up to a position.
func (s *Set) Existing(spec Spec, end int64) *Segment {
	g := &Segment{Spec: spec, Seed: frame.Seed(spec.Nonce), set: s}
	g.index.lowEnd = end
	return g
}

func (g *Segment) path() string { return g.set.Dir + "/" + g.Name() }

// Create makes the file anew and writes its header, nothing of it durable. What
// an earlier life left under the name is removed first.
func (g *Segment) Create() error {
	f, err := g.set.FS.Create(g.path(), vfs.Buffered)
	if errors.Is(err, fs.ErrExist) {
		if err = g.set.FS.Remove(g.path()); err == nil {
			f, err = g.set.FS.Create(g.path(), vfs.Buffered)
		}
	}
	if err != nil {
		return fmt.Errorf("make segment: %w", err)
	}
	if _, err := f.WriteAt(g.header(), 0); err != nil {
		return errors.Join(fmt.Errorf("write header of %s: %w", g.Name(), err), f.Close())
	}
	g.pin = g.set.files.adopt(g, f)
	return nil
}

// Cut shortens the file of an existing segment to what was synced, so that a
// later write to what follows is not taken for one that the page cache has
// already (after a failed sync, it may show bytes that the disk never got).
func (g *Segment) Cut(end int64) error {
	h, err := g.open()
	if err != nil {
		return err
	}
	size, err := h.f.Size()
	if err == nil && size > vfs.AlignUp(end) {
		err = h.f.Truncate(vfs.AlignUp(end))
	}
	if err != nil {
		h.release()
		return fmt.Errorf("cut %s: %w", g.Name(), err)
	}
	g.pin = h
	return nil
}

// Write writes frames at a position, not durably, and keeps the file open until
// Sync: closing it earlier could lose the news of a failed write-back.
func (g *Segment) Write(frames []byte, pos int64) error {
	if g.pin == nil {
		h, err := g.open()
		if err != nil {
			return err
		}
		g.pin = h
	}
	if _, err := g.pin.f.WriteAt(frames, pos); err != nil {
		return fmt.Errorf("write %s at position %d: %w", g.Name(), pos, err)
	}
	return nil
}

// Pinned says whether the segment was written to and not yet given to Sync.
func (g *Segment) Pinned() bool { return g.pin != nil }

// Added tells the index of a frame that was written.
func (g *Segment) Added(base uint64, pos int64) { g.index.add(g.Base, base, pos) }

// A Dirty segment has been written to and not been synced.
type Dirty struct {
	g *Segment
	h *handle
}

// TakeDirty gives up the pin of a segment that was written to, for Sync.
func (g *Segment) TakeDirty() Dirty {
	d := Dirty{g, g.pin}
	g.pin = nil
	return d
}

// Sync makes all that was written before TakeDirty durable.
func (d Dirty) Sync() error {
	defer d.h.release()
	if err := d.h.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", d.g.Name(), err)
	}
	return nil
}

// Release gives up a segment without making it durable, since it is to be
// removed.
func (d Dirty) Release() { d.h.release() }

// Remove removes the segment's files. Those who read it at this moment go on.
func (g *Segment) Remove() error {
	g.set.files.drop(g)
	err := g.set.FS.Remove(g.path())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	_ = g.set.FS.Remove(g.set.Dir + "/" + g.indexName()) // there may be none
	return err
}

func (g *Segment) header() []byte {
	b := make([]byte, HeaderSize)
	le := binary.LittleEndian
	le.PutUint32(b[0:], storeMagic)
	le.PutUint16(b[8:], formatMajor)
	copy(b[16:32], g.set.ID[:])
	le.PutUint64(b[32:], g.Log)
	le.PutUint32(b[40:], g.Number)
	le.PutUint32(b[44:], g.Chain)
	le.PutUint64(b[48:], g.Base)
	le.PutUint64(b[56:], g.Nonce)
	le.PutUint64(b[64:], uint64(g.Created))
	le.PutUint32(b[4:], frame.Checksum(b[8:]))
	return b
}

// CheckHeader says whether the file begins as it should. Reads do not need it:
// what it says is in the checkpoint too.
func (g *Segment) CheckHeader() error {
	h, err := g.open()
	if err != nil {
		return err
	}
	defer h.release()
	b := make([]byte, HeaderSize)
	if _, err := h.f.ReadAt(b, 0); err != nil {
		return err
	}
	if string(b) != string(g.header()) {
		return errors.New("segment header is damaged")
	}
	return nil
}

// readAt fills b from the file as far as it goes.
func (g *Segment) readAt(b []byte, pos int64) ([]byte, error) {
	h, err := g.open()
	if err != nil {
		return nil, err
	}
	defer h.release()
	n, err := h.f.ReadAt(b, pos)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// Parse checks that the bytes at a position are a frame of this segment.
func (g *Segment) parse(b []byte, pos int64) (frame.Header, error) {
	h, err := frame.Parse(b, g.Seed)
	if err != nil {
		return h, err
	}
	if h.Kind != frame.Records || h.Log != g.Log || h.Segment != g.Number || h.Position != uint64(pos) || h.Count == 0 {
		return h, fmt.Errorf("%w: it belongs elsewhere", frame.ErrHeader)
	}
	return h, nil
}

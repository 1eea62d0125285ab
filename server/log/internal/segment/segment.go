// Package segment holds a log's records in files, each a store of frames over a
// range of offsets with a sparse index of it. FORMAT.md, two directories up,
// draws the bytes.
package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
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
	FS       vfs.FS
	Dir      string
	ID       [16]byte // of the data directory
	files    files
	indexes  indexes
	buffered atomic.Int64 // bytes of memory for what waits to be written
	pinned   atomic.Int64 // files that were written to and not synced
	made     atomic.Bool  // files since TakeMade
}

// NewSet returns a set that keeps at most openFiles stores open, beside those
// that were written to and are not yet synced, and indexBytes of indexes.
func NewSet(fs vfs.FS, dir string, id [16]byte, openFiles int, indexBytes int64) *Set {
	s := &Set{FS: fs, Dir: dir, ID: id}
	s.files.limit = openFiles
	s.indexes.limit = indexBytes
	return s
}

// Close closes every store. Nothing may use the set any more.
func (s *Set) Close() error { return s.files.close() }

// A Segment is one store with its index. One goroutine at a time adds to it; any
// number read it, flush it and persist it meanwhile.
type Segment struct {
	Spec
	Seed   uint32 // of the checksums of frame headers
	set    *Set
	handle atomic.Pointer[handle]
	index  index
	tail   tail
	unmade atomic.Bool // the file is yet to be made

	fileMu  sync.Mutex // held while the file is written or synced
	pin     *handle    // keeps the store open from its first write to its sync
	writes  uint64     // to the file
	removed bool

	// Listed is its user's: whether the next checkpoint knows of it.
	Listed bool
}

// New returns a segment whose file is not yet there: its first write makes it.
func (s *Set) New(spec Spec) *Segment {
	g := &Segment{Spec: spec, Seed: frame.Seed(spec.Nonce), set: s}
	g.index.low.Store(&[]entry{})
	g.tail.written.Store(nothingHeld)
	g.unmade.Store(true)
	return g
}

// Existing returns a segment whose file holds frames up to a position.
func (s *Set) Existing(spec Spec, end int64) *Segment {
	g := &Segment{Spec: spec, Seed: frame.Seed(spec.Nonce), set: s}
	g.index.lowEnd = end
	g.tail.written.Store(nothingHeld)
	return g
}

func (g *Segment) path() string { return g.set.Dir + "/" + g.Name() }

// Begin buffers the header of a New segment.
func (g *Segment) Begin() { g.Buffer(g.header(), 0) }

// Made says whether the file was made: that of a New one is at its first write.
func (g *Segment) Made() bool { return !g.unmade.Load() }

// Cut shortens the file of an existing segment to what was synced, so that a
// later write to what follows is not taken for one that the page cache has
// already (after a failed sync, it may show bytes that the disk never got).
func (g *Segment) Cut(end int64) error {
	h, err := g.open()
	if err != nil {
		return err
	}
	defer h.release()
	size, err := h.f.Size()
	if err == nil && size > vfs.AlignUp(end) && !bug.On(bug.RewrittenInPlace) {
		err = h.f.Truncate(vfs.AlignUp(end))
	}
	if err != nil {
		return fmt.Errorf("cut %s: %w", g.Name(), err)
	}
	return nil
}

// Replace has the file of an existing segment, which is gone, made again at the next
// write, with nothing in it before that but its header.
func (g *Segment) Replace() { g.unmade.Store(true) }

// Added tells the index of a frame that was written.
func (g *Segment) Added(base uint64, pos int64) {
	g.index.high.add(newEntry(g.Base, base, pos), &g.set.indexes)
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

// Parse checks that the bytes at a position are a frame of this segment.
func (g *Segment) parse(b []byte, pos int64) (frame.Header, error) {
	h, err := frame.Parse(b, g.Seed)
	if err != nil {
		return h, err
	}
	if h.Kind != frame.Records && h.Kind != frame.Lost || h.Log != g.Log || h.Segment != g.Number || h.Position != uint64(pos) || h.Count == 0 {
		return h, fmt.Errorf("%w: it belongs elsewhere", frame.ErrHeader)
	}
	return h, nil
}

package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
)

// IndexStride is how far apart, in bytes, the frames are that have an entry in
// the index. A read looks at this much plus a frame, at most.
const IndexStride = 1024

// An entry of the index says where the frame that begins with an offset is:
// the offset above the base in the high half, the position in the low one. So
// segments stay under 4 GiB and 4 Gi records.
type entry uint64

func newEntry(base, offset uint64, pos int64) entry { return entry((offset-base)<<32 | uint64(pos)) }

func (e entry) offset(base uint64) uint64 { return base + uint64(e>>32) }
func (e entry) position() int64           { return int64(uint32(e)) }

// index is sparse and derived: it can always be made again from the store, and
// every lookup ends at a frame that is checked. The part below lowEnd is
// loaded when it is needed and may be dropped; the part above grows as frames
// are written and is never on the ack path.
type index struct {
	lowEnd int64
	low    atomic.Pointer[[]entry] // nil: not loaded
	bad    atomic.Bool             // the sidecar led a read astray: do not use it
	high   growing
	mu     sync.Mutex // one load at a time
}

// lookup returns where the last indexed frame is that begins at or below the
// offset, and where the next one is; 0 if that is not known.
func (g *Segment) lookup(offset uint64) (frameOffset uint64, pos, next int64, err error) {
	high := g.index.high.entries()
	if len(high) > 0 && offset >= high[0].offset(g.Base) {
		frameOffset, pos, next = find(high, g.Base, offset)
		return frameOffset, pos, next, nil
	}
	low, err := g.lowIndex()
	if err != nil {
		return 0, 0, 0, err
	}
	if len(low) == 0 || offset < low[0].offset(g.Base) {
		return g.Base, HeaderSize, 0, nil // the first frame may be damaged, and so not in the index
	}
	frameOffset, pos, next = find(low, g.Base, offset)
	return frameOffset, pos, next, nil
}

// find returns the last entry at or below an offset that is not below the
// first, and the position of the entry after it; 0 behind the last.
func find(entries []entry, base, offset uint64) (frameOffset uint64, pos, next int64) {
	lo, hi := bracket(entries, base, offset)
	for lo+1 < hi {
		if mid := (lo + hi) / 2; entries[mid].offset(base) <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	if lo+1 < len(entries) {
		next = entries[lo+1].position()
	}
	return entries[lo].offset(base), entries[lo].position(), next
}

// bracket returns two entries between which the one that is looked for is: lo is
// at or below the offset, hi above it, or the end. Records of one log are mostly
// of about one size, so it looks where the offset would be if all were, and goes
// on from there in doubled steps: the whole of a large index is not in the
// processor's cache, and a bisection misses it a dozen times.
func bracket(entries []entry, base, offset uint64) (lo, hi int) {
	first, last := entries[0].offset(base), entries[len(entries)-1].offset(base)
	if offset >= last {
		return len(entries) - 1, len(entries)
	}
	at := int(float64(offset-first) / float64(last-first) * float64(len(entries)-1))
	step := 1
	if entries[at].offset(base) <= offset {
		for lo, hi = at, at+step; hi < len(entries) && entries[hi].offset(base) <= offset; hi = lo + step {
			lo, step = hi, 2*step
		}
		return lo, min(hi, len(entries))
	}
	for lo, hi = at-step, at; lo > 0 && entries[lo].offset(base) > offset; lo = hi - step {
		hi, step = lo, 2*step
	}
	return max(lo, 0), hi
}

// lowIndex returns the part of the index below lowEnd: from memory, from the
// sidecar, or made again from the store.
func (g *Segment) lowIndex() ([]entry, error) {
	if p := g.index.low.Load(); p != nil {
		return *p, nil
	}
	g.index.mu.Lock()
	defer g.index.mu.Unlock()
	if p := g.index.low.Load(); p != nil {
		return *p, nil
	}
	low, err := g.readSidecar()
	if err != nil || g.index.bad.Load() {
		if low, err = g.scanIndex(); err != nil {
			return nil, err
		}
	}
	g.index.low.Store(&low)
	g.set.indexes.loaded(g, &low)
	return low, nil
}

// distrust makes the index again from the store, once, after a read that did not
// find what the index promised. It says whether the read may be tried again.
func (g *Segment) distrust() bool {
	if g.index.bad.Swap(true) {
		return false
	}
	g.index.mu.Lock()
	defer g.index.mu.Unlock()
	g.index.low.Store(nil)
	return true
}

// scanIndex makes the index of all below lowEnd from the store. It steps over
// damage: what it cannot find there, a read will not either.
func (g *Segment) scanIndex() ([]entry, error) {
	var made growing
	w := walker{g: g, end: g.index.lowEnd}
	for {
		h, pos, err := w.next()
		if err != nil {
			return nil, err
		}
		if h == nil {
			break
		}
		made.add(newEntry(g.Base, h.Base, pos), nil)
	}
	return slices.Concat(made.entries()), nil // as long as it is, and no longer
}

// Seal ends the segment at a position and writes the sidecar. It is the
// writer's, and no part of durability: the sidecar is not synced, and it is
// checked when it is read. One that was removed meanwhile gets none.
func (g *Segment) Seal(end int64) error {
	g.fileMu.Lock()
	defer g.fileMu.Unlock()
	if g.removed {
		return nil
	}
	low, err := g.lowIndex()
	if err != nil {
		return err
	}
	all := slices.Concat(low, g.index.high.entries())
	g.index.mu.Lock()
	g.index.lowEnd = end
	g.index.low.Store(&all)
	g.index.high.clear()
	g.index.mu.Unlock()
	g.set.indexes.grown(&g.index.high)
	g.set.indexes.loaded(g, &all)
	return g.writeSidecar(all)
}

const (
	sidecarMagic  = 0x31494c50 // "PLI1"
	sidecarHeader = 64
)

func (g *Segment) writeSidecar(entries []entry) error {
	b := make([]byte, sidecarHeader, sidecarHeader+8*len(entries))
	le := binary.LittleEndian
	le.PutUint32(b[0:], sidecarMagic)
	le.PutUint16(b[8:], formatMajor)
	le.PutUint32(b[12:], g.Number)
	le.PutUint64(b[16:], g.Log)
	le.PutUint64(b[24:], g.Base)
	le.PutUint64(b[32:], g.Nonce)
	le.PutUint64(b[40:], uint64(g.index.lowEnd))
	le.PutUint64(b[48:], uint64(len(entries)))
	for _, e := range entries {
		b = le.AppendUint64(b, uint64(e))
	}
	le.PutUint32(b[4:], frame.Checksum(b[8:]))
	name := g.set.Dir + "/" + g.indexName()
	_ = g.set.FS.Remove(name) // usually it is not there
	f, err := g.set.FS.Create(name, vfs.Buffered)
	if err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}

var errSidecar = errors.New("no usable index file")

func (g *Segment) readSidecar() ([]entry, error) {
	f, err := g.set.FS.Open(g.set.Dir+"/"+g.indexName(), vfs.Buffered)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size < sidecarHeader || size > sidecarHeader+g.index.lowEnd/frame.HeaderSize*8 {
		return nil, errSidecar
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if le.Uint32(b) != sidecarMagic || le.Uint32(b[4:]) != frame.Checksum(b[8:]) ||
		le.Uint16(b[8:]) != formatMajor || le.Uint32(b[12:]) != g.Number || le.Uint64(b[16:]) != g.Log ||
		le.Uint64(b[24:]) != g.Base || le.Uint64(b[32:]) != g.Nonce || le.Uint64(b[40:]) != uint64(g.index.lowEnd) {
		return nil, errSidecar
	}
	entries := slices.Grow([]entry(nil), int(size-sidecarHeader)/8)
	for rest := b[sidecarHeader:]; len(rest) >= 8; rest = rest[8:] {
		entries = append(entries, entry(le.Uint64(rest)))
	}
	if uint64(len(entries)) != le.Uint64(b[48:]) {
		return nil, errSidecar
	}
	return entries, nil
}

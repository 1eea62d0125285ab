package segment

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"sync"
	"sync/atomic"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
)

// FlushSize is how much of a segment's tail is worth a write of its own.
const FlushSize = 128 << 10

// A tail is the end of a segment that is not yet in its file: frames that the
// journal holds, and readers see, in memory until they are written.
//
// What lies below from is in the file and stays there; what lies above is in buf.
// Readers of what the file has take no lock.
type tail struct {
	written atomic.Int64 // from; nothingHeld without anything in buf

	mu       sync.RWMutex
	from     int64
	buf      []byte
	flushing bool // the file is being written from buf
	taken    int  // with flushing: how much of buf that is
	gap      int  // zeros in buf right behind that
	busy     bool // it filled up before a checkpoint came, and will again
}

// nothingHeld is the position from which on a tail with nothing in it has all.
const nothingHeld = math.MaxInt64

// buffers are those of busy tails, used again. All have pooledSize.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, pooledSize); return &b }}

const pooledSize = 2 * FlushSize

// add appends bytes that belong at a position, behind what is there, with zeros
// between. It returns how many there are now, and by how many they have grown.
func (t *tail) add(b []byte, pos int64) (size, grown int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.buf) == 0 {
		t.from = pos
		t.written.Store(pos)
	}
	had := len(t.buf)
	gap := int(pos - t.from - int64(had))
	if t.flushing && had == t.taken {
		t.gap = gap
	}
	t.room(gap + len(b))
	t.buf = t.buf[:had+gap]
	clear(t.buf[had:])
	t.buf = append(t.buf, b...)
	return len(t.buf), len(t.buf) - had
}

// room makes sure that n bytes can be appended without moving.
func (t *tail) room(n int) {
	need := len(t.buf) + n
	if need <= cap(t.buf) {
		return
	}
	var next []byte
	switch {
	case need <= pooledSize && (t.busy || need > FlushSize/2):
		next = (*buffers.Get().(*[]byte))[:0]
	case need <= FlushSize/2:
		next = make([]byte, 0, min(FlushSize/2, max(need, 2*cap(t.buf))))
	default:
		next = make([]byte, 0, max(need, 2*cap(t.buf)))
	}
	next = append(next, t.buf...)
	t.recycle()
	t.buf = next
}

// recycle lets go of the buffer, unless the file is being written from it.
func (t *tail) recycle() {
	if cap(t.buf) == pooledSize && !t.flushing {
		b := t.buf[:0]
		buffers.Put(&b)
	}
	t.buf = nil
}

// read copies what is in memory of the bytes at a position. It returns how many
// of them, from the first on, are below that, and how many there are in all; held
// says whether there is anything in memory.
func (t *tail) read(b []byte, pos int64) (below, all int, held bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.buf) == 0 {
		return len(b), len(b), false
	}
	below = int(min(max(t.from-pos, 0), int64(len(b))))
	skip := min(max(pos-t.from, 0), int64(len(t.buf)))
	return below, below + copy(b[below:], t.buf[skip:]), true
}

// begin returns what is to be written, and where. It stays as it is until end.
func (t *tail) begin() (b []byte, pos int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flushing, t.taken, t.gap = len(t.buf) > 0, len(t.buf), 0
	return t.buf, t.from
}

// end says that the first n bytes, what begin returned or none, are in the file
// now. It returns how many less there are in memory. Zeros behind them, up to where
// a checkpoint made its cut meanwhile, are left out: their first block is that of
// the last frames which the checkpoint calls durable, and is not written again.
func (t *tail) end(n int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flushing = false
	if n == 0 {
		return 0
	}
	t.busy = n >= FlushSize
	if !bug.On(bug.GapWritten) {
		n += t.gap
	}
	t.from += int64(n)
	rest := copy(t.buf, t.buf[n:])
	t.buf = t.buf[:rest]
	if rest == 0 {
		t.recycle()
		t.written.Store(nothingHeld)
		return n
	}
	t.written.Store(t.from)
	return n
}

// Buffer appends frames at a position, to be written later. It returns how many
// bytes wait to be written. They are read as if they were in the file.
func (g *Segment) Buffer(frames []byte, pos int64) int {
	size, grown := g.tail.add(frames, pos)
	g.set.buffered.Add(int64(grown))
	return size
}

// Flush writes what waits to the file, not durably, and makes the file if need
// be. The file stays open until Persist: closing it earlier could lose the news
// of a failed write-back. After an error it can be called again.
func (g *Segment) Flush() error {
	g.fileMu.Lock()
	defer g.fileMu.Unlock()
	return g.flush()
}

func (g *Segment) flush() error {
	if g.removed {
		return nil
	}
	b, pos := g.tail.begin()
	if len(b) == 0 {
		return nil
	}
	err := g.write(b, pos)
	if err != nil {
		g.tail.end(0)
		return err
	}
	g.set.buffered.Add(-int64(g.tail.end(len(b))))
	return nil
}

// write is the one place where bytes get into a segment's file. Large pieces are
// on their way to the device at once, so that the sync of a checkpoint does not
// find all that was written since the last one, and hold up the journal's writes
// meanwhile.
func (g *Segment) write(b []byte, pos int64) error {
	if g.pin == nil {
		open := g.open
		if g.unmade.Load() {
			open = g.make
		}
		h, err := open()
		if err != nil {
			return err
		}
		g.pin = h
		g.set.pinned.Add(1)
	}
	g.writes++
	if _, err := g.pin.f.WriteAt(b, pos); err != nil && !bug.On(bug.FullIgnored) {
		return fmt.Errorf("write %s at position %d: %w", g.Name(), pos, err)
	}
	if f, can := g.pin.f.(vfs.Starter); can && len(b) >= FlushSize {
		f.StartSync(pos, int64(len(b)))
	}
	return nil
}

// FlushAndLet writes what waits to the file, and lets go of it: someone else will
// sync it, and hears of what cannot be written. What was written since, done
// leaves for the next time.
func (g *Segment) FlushAndLet() (done func(), err error) {
	g.fileMu.Lock()
	defer g.fileMu.Unlock()
	pinned := g.pin != nil
	if err := g.flush(); err != nil {
		return nil, err
	}
	if !pinned {
		g.unpin()
		return func() {}, nil
	}
	writes := g.writes
	return func() {
		g.fileMu.Lock()
		defer g.fileMu.Unlock()
		if g.writes == writes || bug.On(bug.LetGo) {
			g.unpin()
		}
	}, nil
}

// Persist writes what waits to the file, and makes all of it durable, but for
// the entry of a new file in its directory. A *SyncError says that nobody knows
// what the disk holds; after other errors it can be called again.
func (g *Segment) Persist() error {
	g.fileMu.Lock()
	defer g.fileMu.Unlock()
	if err := g.flush(); err != nil {
		return err
	}
	if g.pin == nil || bug.On(bug.SyncSkipped) && g.Nonce%32 == 0 {
		return nil
	}
	err := g.pin.f.Sync()
	if err != nil && bug.On(bug.SyncRetried) {
		err = g.pin.f.Sync()
	}
	if err != nil {
		return &SyncError{fmt.Errorf("sync %s: %w", g.Name(), err)}
	}
	g.unpin()
	return nil
}

// SyncError is a failed sync.
type SyncError struct{ Err error }

func (e *SyncError) Error() string { return e.Err.Error() }

func (e *SyncError) Unwrap() error { return e.Err }

// unpin lets the file be closed. The caller holds fileMu.
func (g *Segment) unpin() {
	if g.pin != nil {
		g.pin.release()
		g.pin = nil
		g.set.pinned.Add(-1)
	}
}

// Remove removes the segment's files. Those who read it at this moment go on.
func (g *Segment) Remove() error {
	g.fileMu.Lock()
	defer g.fileMu.Unlock()
	g.discard()
	g.set.files.drop(g)
	err := g.set.FS.Remove(g.path())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	_ = g.set.FS.Remove(g.set.Dir + "/" + g.indexName()) // there may be none
	return err
}

// discard gives up what waits to be written, since the segment is to be removed.
// Readers still see it. The caller holds fileMu.
func (g *Segment) discard() {
	if g.removed {
		return
	}
	g.removed = true
	g.set.indexes.grown(&g.index.high)
	b, _ := g.tail.begin()
	g.tail.end(0)
	g.set.buffered.Add(-int64(len(b)))
	g.unpin()
}

// readAt fills b from the file and from memory as far as the segment goes.
func (g *Segment) readAt(b []byte, pos int64) ([]byte, error) {
	written := g.tail.written.Load()
	below, all, held := len(b), len(b), written != nothingHeld
	if pos+int64(len(b)) > written {
		below, all, held = g.tail.read(b, pos)
	}
	if below == 0 {
		return b[:all], nil
	}
	h, err := g.open()
	if err != nil {
		return nil, err
	}
	defer h.release()
	n, err := h.f.ReadAt(b[:below], pos)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !held {
		return b[:n], nil
	}
	clear(b[n:below]) // the file ends before the block where the memory begins
	return b[:all], nil
}

// Buffered is how many bytes wait to be written, of all segments.
func (s *Set) Buffered() int64 { return s.buffered.Load() }

// Pinned is how many files are open because they were written to and not synced.
func (s *Set) Pinned() int64 { return s.pinned.Load() }

// TakeMade says whether files were made since it was last called, whose entries
// in their directory are not durable.
func (s *Set) TakeMade() bool { return s.made.Swap(false) }

// make makes the file anew. What an earlier life left under the name is removed
// first.
func (g *Segment) make() (*handle, error) {
	f, err := g.set.FS.Create(g.path(), vfs.Buffered)
	if errors.Is(err, fs.ErrExist) {
		if err = g.set.FS.Remove(g.path()); err == nil {
			f, err = g.set.FS.Create(g.path(), vfs.Buffered)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make segment: %w", err)
	}
	g.unmade.Store(false)
	g.set.made.Store(true)
	return g.set.files.adopt(g, f), nil
}

package segment

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
)

// FlushSize is how much of a segment's tail is worth a write of its own.
const FlushSize = 128 << 10

// Buffer appends frames at a position, to be written later. It returns how many
// bytes wait to be written. They are read as if they were in the file.
func (g *Segment) Buffer(frames []byte, pos int64) int {
	size, taken := g.tail.add(frames, pos)
	g.set.buffered.Add(int64(taken))
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
	parts, pos, n := g.tail.begin()
	if n == 0 {
		return nil
	}
	err := g.write(parts, pos)
	if err != nil {
		g.tail.end(0)
		return err
	}
	g.set.buffered.Add(-int64(g.tail.end(n)))
	return nil
}

// write is the one place where bytes get into a segment's file. Large pieces are
// on their way to the device at once, so that the sync of a checkpoint does not
// find all that was written since the last one, and hold up the journal's writes
// meanwhile.
func (g *Segment) write(parts [][]byte, pos int64) error {
	if g.pin == nil {
		var h *handle
		var err error
		if g.unmade.Load() {
			h, err = g.make(pos)
		} else {
			h, err = g.open()
		}
		if err != nil {
			return err
		}
		g.pin = h
		g.set.pinned.Add(1)
	}
	g.writes++
	end := pos
	for _, b := range parts {
		if _, err := g.pin.f.WriteAt(b, end); err != nil && !bug.On(bug.FullIgnored) {
			return fmt.Errorf("write %s at position %d: %w", g.Name(), end, err)
		}
		end += int64(len(b))
	}
	if f, can := g.pin.f.(vfs.Starter); can && end-pos >= FlushSize {
		f.StartSync(pos, end-pos)
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

// Discard gives up what waits to be written, since the segment's files are to be
// removed. Readers still see it.
func (g *Segment) Discard() {
	g.fileMu.Lock()
	defer g.fileMu.Unlock()
	g.discard()
}

func (g *Segment) discard() {
	if g.removed {
		return
	}
	g.removed = true
	g.set.indexes.grown(&g.index.high)
	g.set.buffered.Add(-int64(g.tail.uncount()))
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

// Buffered is how many bytes of memory the tails of all segments take.
func (s *Set) Buffered() int64 { return s.buffered.Load() }

// Pinned is how many files are open because they were written to and not synced.
func (s *Set) Pinned() int64 { return s.pinned.Load() }

// TakeMade says whether files were made since it was last called, whose entries
// in their directory are not durable.
func (s *Set) TakeMade() bool { return s.made.Swap(false) }

// make makes the file anew. What an earlier life left under the name is removed
// first. If the write that it is for is not of the header, the file gets that too.
func (g *Segment) make(pos int64) (*handle, error) {
	f, err := g.set.FS.Create(g.path(), vfs.Buffered)
	if errors.Is(err, fs.ErrExist) {
		if err = g.set.FS.Remove(g.path()); err == nil {
			f, err = g.set.FS.Create(g.path(), vfs.Buffered)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make segment: %w", err)
	}
	if pos > 0 {
		if _, err := f.WriteAt(g.header(), 0); err != nil {
			return nil, errors.Join(fmt.Errorf("write the header of %s: %w", g.Name(), err), f.Close())
		}
	}
	g.unmade.Store(false)
	g.set.made.Store(true)
	return g.set.files.adopt(g, f), nil
}

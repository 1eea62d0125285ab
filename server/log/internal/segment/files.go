package segment

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/proglog/proglog/server/internal/vfs"
)

// files keeps a bounded number of stores open. Readers of an open store take
// no lock: they count themselves on its handle.
type files struct {
	limit int

	mu   sync.Mutex
	open []*handle // in no order; hand goes round it
	hand int
}

// A handle is an open store. It is closed when the last of its users lets go;
// one use is the cache's own.
type handle struct {
	f    vfs.File
	g    *Segment
	refs atomic.Int32
	used atomic.Bool // since the hand last came by
	err  atomic.Pointer[error]
}

func (h *handle) retain() bool {
	for {
		n := h.refs.Load()
		if n == 0 {
			return false
		}
		if h.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (h *handle) release() {
	if h.refs.Add(-1) == 0 {
		if err := h.f.Close(); err != nil {
			h.err.Store(&err)
		}
	}
}

// open returns the store's handle, which the caller releases.
func (g *Segment) open() (*handle, error) {
	if h := g.handle.Load(); h != nil && h.retain() {
		if !h.used.Load() {
			h.used.Store(true)
		}
		return h, nil
	}
	c := &g.set.files
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := g.handle.Load(); h != nil && h.retain() {
		return h, nil
	}
	f, err := g.set.FS.Open(g.path(), vfs.Buffered)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	return c.addLocked(g, f), nil
}

// adopt takes over a file that was just made, and returns its handle, which the
// caller releases.
func (c *files) adopt(g *Segment, f vfs.File) *handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addLocked(g, f)
}

func (c *files) addLocked(g *Segment, f vfs.File) *handle {
	h := &handle{f: f, g: g}
	h.refs.Store(2)
	h.used.Store(true)
	g.handle.Store(h)
	c.open = append(c.open, h)
	c.evictLocked()
	return h
}

// evictLocked closes stores that nobody uses until the limit holds, those first
// that were not used since it last looked.
func (c *files) evictLocked() {
	for looks := 2 * len(c.open); len(c.open) > c.limit && looks > 0; looks-- {
		if c.hand >= len(c.open) {
			c.hand = 0
		}
		h := c.open[c.hand]
		if h.refs.Load() > 1 || h.used.Swap(false) {
			c.hand++
			continue
		}
		c.dropLocked(c.hand)
	}
}

// drop closes a store once its users let go.
func (c *files) drop(g *Segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, h := range c.open {
		if h.g == g {
			c.dropLocked(i)
			return
		}
	}
}

func (c *files) dropLocked(i int) {
	h := c.open[i]
	last := len(c.open) - 1
	c.open[i] = c.open[last]
	c.open[last] = nil
	c.open = c.open[:last]
	h.g.handle.CompareAndSwap(h, nil)
	h.release()
}

func (c *files) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for len(c.open) > 0 {
		h := c.open[len(c.open)-1]
		c.dropLocked(len(c.open) - 1)
		if err := h.err.Load(); err != nil {
			errs = append(errs, *err)
		}
	}
	return errors.Join(errs...)
}

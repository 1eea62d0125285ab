package log

import (
	"errors"
	"sync"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// What was appended is durable in the journal, and in memory until it gets to its
// segment: in large pieces while a log is busy, or with the next checkpoint. So a
// group costs no write for each log that it touches, and 10,000 logs that get a
// record now and then cost one write each for thousands of groups.
//
// tails bounds that memory, and writes the tails that have grown large.
type tails struct {
	engine *Engine

	mu      sync.Mutex
	changed sync.Cond // less is held, or full
	full    error     // why no checkpoint can be made now
	large   []*segment.Segment
	work    chan struct{}
}

// added tells of a segment that now has size bytes to be written. The caller
// holds commitMu.
func (t *tails) added(g *segment.Segment, size int) error {
	e := t.engine
	if e.options.eager {
		return e.flush(g)
	}
	if size < e.options.flushBytes {
		if e.segments.Buffered() > e.options.TailBytes*3/4 {
			e.wantCheckpoint()
		}
		return nil
	}
	if e.segments.Pinned() >= int64(e.options.OpenFiles) {
		e.wantCheckpoint()
		return nil
	}
	if e.options.inline {
		return e.flush(g)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, known := range t.large {
		if known == g {
			return nil
		}
	}
	t.large = append(t.large, g)
	select {
	case t.work <- struct{}{}:
	default:
	}
	return nil
}

// run writes large tails until the engine closes.
func (t *tails) run() {
	for {
		select {
		case <-t.work:
		case <-t.engine.closing:
			return
		}
		for {
			t.mu.Lock()
			if len(t.large) == 0 {
				t.mu.Unlock()
				break
			}
			g := t.large[0]
			t.large = t.large[1:]
			t.mu.Unlock()
			_ = t.engine.flush(g) // appends have ended if it is for good
			t.cleared()
		}
	}
}

// over says whether more is held than may be.
func (t *tails) over() bool { return t.engine.segments.Buffered() > t.engine.options.TailBytes }

// wait waits until less is held. The error says why that cannot be.
func (t *tails) wait() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.over() {
		if t.full != nil {
			return t.full
		}
		t.engine.wantCheckpoint()
		t.changed.Wait()
	}
	return nil
}

// cleared wakes those who wait.
func (t *tails) cleared() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed.Broadcast()
}

// room says that a checkpoint was made.
func (t *tails) room() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.full = nil
	t.changed.Broadcast()
}

// fail says that no checkpoint can be made now, so that nobody waits for it
// until one is.
func (t *tails) fail(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.full = why
	t.changed.Broadcast()
}

// flush writes a tail. What cannot be written now stays in memory, and the next
// checkpoint tries again; the error is of what has failed for good.
func (e *Engine) flush(g *segment.Segment) error {
	err := g.Flush()
	if err == nil {
		return nil
	}
	if err = e.writeFailed(err); errors.Is(err, commitlog.ErrStorageFailed) {
		return err
	}
	e.options.Logger.Warn("cannot write to a segment now; the next checkpoint will", "error", err)
	e.wantCheckpoint()
	return nil
}

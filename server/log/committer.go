package log

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
	"github.com/proglog/proglog/server/log/internal/journal"
)

// The committer makes appends of all logs durable, a group at a time. There is
// no timer: while one group is written, callers queue, and whatever has queued
// by then is the next group. A caller who finds nobody at work commits its own
// batch, without a change of goroutine; if others have queued meanwhile, the
// committer's own goroutine goes on with those.
type committer struct {
	engine  *Engine
	options *Options

	mu      sync.Mutex // guards the queue
	queue   []*pending
	seen    map[*Log]bool  // of take
	waits   map[*Log]int64 // of takeLight
	light   bool           // the last group was of light calls
	bytes   int64          // queued
	batches int            // queued
	busy    bool           // someone commits
	stopped error          // set once: no more appends
	idle    sync.Cond
	work    chan struct{} // to the committer's goroutine: the queue is yours

	// commitMu is held while a group is built, written and published, and by
	// whoever needs logs and journal to stand still.
	commitMu sync.Mutex
	journal  *journal.Journal
	group    journal.Group
	builder  builder
	touched  []*Log
	taken    []*pending
	space    space

	started    time.Time    // by the monotonic clock
	lastCommit atomic.Int64 // nanoseconds since started
	sealArmed  atomic.Bool
	sealTimer  *time.Timer
}

// handOver ends a caller's own commit: what has queued meanwhile is for the
// committer's goroutine.
func (c *committer) handOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 {
		c.work <- struct{}{}
		return
	}
	c.busy = false
	c.idle.Broadcast()
}

// run is the committer's goroutine. It ends when work is closed.
func (c *committer) run() {
	for {
		select {
		case _, ok := <-c.work:
			if !ok {
				return
			}
			c.drain()
		case <-c.sealTimer.C:
			c.sealJournal()
		}
	}
}

// drain commits until the queue is empty. After a group it lets those run who were
// just answered. Otherwise, beside a goroutine that is in short system calls all
// the time, as a checkpoint's is, it finds one caller in the queue again and again
// while the others wait for a processor until the scheduler's 10 ms are over: on
// two cores the median group was of 1 instead of 120, and half as many were acked.
func (c *committer) drain() {
	for ; ; runtime.Gosched() {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.busy = false
			c.idle.Broadcast()
			c.mu.Unlock()
			return
		}
		group := c.take()
		c.mu.Unlock()
		c.commit(group)
	}
}

// commit makes a group durable and answers its callers.
func (c *committer) commit(group []*pending) {
	if len(group) == 0 {
		return
	}
	wanted := false
	err := c.lockWithRoom(group)
	if err == nil {
		if err = c.stoppedBy(); err == nil {
			err = c.commitLocked(group)
		}
		wanted = c.journal.Live() > c.engine.checkpointAt
		c.commitMu.Unlock()
	}
	for i, p := range group {
		if err != nil {
			c.undo(p, err)
		}
		group[i] = nil
		p.done <- struct{}{}
	}
	if wanted {
		c.engine.wantCheckpoint()
	}
}

// lockWithRoom takes commitMu when the journal has room for the group. It waits
// for that without the lock, since room may take a checkpoint, which needs the
// lock. After an error, which says that nothing of the group was written, the
// lock is not held.
func (c *committer) lockWithRoom(group []*pending) error {
	need := int64(journal.GroupHeaderSize)
	for _, p := range group {
		need += p.size + markOverhead
	}
	need = vfs.AlignUp(need)
	for {
		c.commitMu.Lock()
		over := !c.options.inline && c.engine.tails.over()
		if !over && c.journal.Room(need) {
			return nil
		}
		if c.options.inline {
			err := c.engine.checkpointLocked()
			if err == nil && c.journal.Room(need) {
				return nil
			}
			c.commitMu.Unlock()
			return commitlog.ErrStorageFull
		}
		c.commitMu.Unlock()
		if err := c.engine.tails.wait(); err != nil {
			return err
		}
		if err := c.journal.WaitRoom(need); err != nil {
			return err
		}
	}
}

// undo takes back what was judged of a call whose group has failed. If nothing
// of it was in the group, it is refused for certain; and not with what it was
// judged by, since that may never have been.
func (c *committer) undo(p *pending, err error) {
	if stopped := c.stoppedBy(); p.err != nil && len(p.acks) == 0 && stopped != nil {
		err = stopped
	}
	p.acks, p.err = nil, err
}

// stoppedBy returns the failure after which nothing may be written. Appends
// that had queued before Close are still served.
func (c *committer) stoppedBy() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.stopped, commitlog.ErrStorageFailed) {
		return c.stopped
	}
	return nil
}

// commitLocked builds the group, writes it, and publishes it. Its error is that
// of all whose batches were judged good.
func (c *committer) commitLocked(group []*pending) error {
	if c.options.inline && (c.journal.Live() > c.engine.checkpointAt || c.engine.tails.over()) {
		if err := c.engine.checkpointLocked(); err != nil {
			return err
		}
	}
	if err := c.build(group); err != nil {
		return err
	}
	if !c.group.Empty() {
		c.publishEarly()
		if err := c.journal.Write(&c.group); err != nil {
			return c.fail(err)
		}
		// Until here, nothing of the group is in a segment; from here on, all of
		// it is found again after a restart, whatever happens.
		if err := c.apply(); err != nil {
			return err
		}
	}
	for _, l := range c.touched {
		l.publish()
	}
	c.engine.publishNames()
	if c.options.SealAfter > 0 {
		c.lastCommit.Store(int64(time.Since(c.started)))
		if !c.sealArmed.Swap(true) {
			c.sealTimer.Reset(c.options.SealAfter)
		}
	}
	return nil
}

// build judges the batches of a group, log after log, and encodes the good ones.
func (c *committer) build(group []*pending) error {
	clear(c.touched)
	c.touched = c.touched[:0]
	b := &c.builder
	b.reset(c.options.Now())
	full, err := c.space.check(c)
	if err != nil {
		_ = c.fail(err)
		return c.stoppedBy() // nothing of the group was written
	}
	for _, p := range group {
		if p.log == nil {
			p.err = p.change(full)
			continue
		}
		if len(p.log.waiting) == 0 {
			c.touched = append(c.touched, p.log)
		}
		p.log.waiting = append(p.log.waiting, p)
	}
	for _, l := range c.touched {
		b.begin(l)
		for i, p := range l.waiting {
			c.judge(p, full)
			l.waiting[i] = nil
		}
		l.waiting = l.waiting[:0]
		b.finish()
	}
	c.touched = append(c.touched, c.engine.changed...)
	clear(c.engine.changed)
	c.engine.changed = c.engine.changed[:0]
	return nil
}

// judge appends the batches of one call, up to the first that is refused.
func (c *committer) judge(p *pending, full bool) {
	p.acks = make([]commitlog.Ack, 0, len(p.batches))
	for i := range p.batches {
		ack, err := c.judgeBatch(p.log, &p.batches[i], full)
		if err != nil {
			p.err = err
			return
		}
		p.acks = append(p.acks, ack)
	}
}

// judgeBatch judges in the order that the contract gives.
func (c *committer) judgeBatch(l *Log, b *commitlog.Batch, full bool) (commitlog.Ack, error) {
	if l.deleted() {
		return commitlog.Ack{}, l.notFound()
	}
	if b.Producer != nil {
		if ack, replayed, err := l.producers.replay(b, c.builder.now, c.options.Dedup); replayed || err != nil {
			return ack, err
		}
	}
	if l.meta.flags&metaSealed != 0 {
		return commitlog.Ack{}, &commitlog.LogSealedError{Next: l.end}
	}
	if b.Producer != nil {
		if err := l.producers.gap(b); err != nil {
			return commitlog.Ack{}, err
		}
	}
	switch {
	case b.ExpectedOffset != nil && *b.ExpectedOffset != l.end:
		return commitlog.Ack{}, &commitlog.OffsetMismatchError{Expected: *b.ExpectedOffset, Next: l.end}
	case full:
		return commitlog.Ack{}, commitlog.ErrStorageFull
	}
	return c.builder.add(b), nil
}

// apply gives what the journal now holds to the segments.
func (c *committer) apply() error {
	e := c.engine
	for i := range c.builder.spans {
		s := &c.builder.spans[i]
		e.dirty.list(s.segment)
		if s.create {
			s.segment.Begin()
			if s.sealed.Segment != nil {
				e.dirty.sealed = append(e.dirty.sealed, s.sealed)
			}
		}
		size := s.segment.Buffer(c.group.Written(s.from, s.to), s.position)
		if err := e.tails.added(s.segment, size); err != nil {
			return err
		}
	}
	return nil
}

// fail ends all appends after a failed write or sync. What was in flight is
// undecided: it may be on the disk.
func (c *committer) fail(cause error) error {
	if bug.On(bug.AppendsGoOn) {
		return commitlog.OutcomeUnknown(cause)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !errors.Is(c.stopped, commitlog.ErrStorageFailed) {
		c.stopped = fmt.Errorf("%w: %w", commitlog.ErrStorageFailed, cause)
		c.options.Logger.Error("storage failed: appends are refused until a restart, reads go on", "error", cause)
		close(c.engine.failed)
	}
	return commitlog.OutcomeUnknown(c.stopped)
}

// sealJournal proves the last group once the journal has been idle for a while.
func (c *committer) sealJournal() {
	idle := time.Since(c.started) - time.Duration(c.lastCommit.Load())
	if idle < c.options.SealAfter {
		c.sealTimer.Reset(c.options.SealAfter - idle)
		return
	}
	c.sealArmed.Store(false)
	c.commitMu.Lock()
	defer c.commitMu.Unlock()
	if c.stoppedBy() != nil {
		return
	}
	if err := c.journal.Seal(&c.group); err != nil {
		_ = c.fail(err)
	}
}

// stop refuses further appends and waits until those that queued are done.
func (c *committer) stop(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped == nil {
		c.stopped = err
	}
	for c.busy {
		c.idle.Wait()
	}
}

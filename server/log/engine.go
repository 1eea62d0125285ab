package log

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// Engine is a data directory with all its logs. It implements
// [commitlog.Engine].
type Engine struct {
	options  Options
	fs       vfs.FS
	id       [16]byte
	lock     io.Closer
	segments *segment.Set

	committer    committer
	checkpointAt int64 // live bytes of the journal that ask for a checkpoint

	namesMu sync.RWMutex
	names   map[string]*Log

	// These belong to whoever holds committer.commitMu.
	logs    []*Log // in no order that matters
	numbers uint64 // given to logs so far
	created []*Log // in the group that is being built
	dirty   dirty

	checkpointMu sync.Mutex // one checkpoint at a time
	tableSeq     uint64     // guarded by checkpointMu
	wanted       chan struct{}

	closing   chan struct{} // closed when Close begins
	failed    chan struct{} // closed when storage has failed
	closeOnce sync.Once
	closeErr  error
	tasks     sync.WaitGroup
}

var _ commitlog.Engine = (*Engine)(nil)

// Log implements [commitlog.Engine].
func (e *Engine) Log(_ context.Context, name string) (commitlog.CommitLog, error) {
	if l := e.named(name); l != nil {
		return l, nil
	}
	return nil, &commitlog.LogNotFoundError{Name: name}
}

func (e *Engine) named(name string) *Log {
	e.namesMu.RLock()
	defer e.namesMu.RUnlock()
	return e.names[name]
}

// Create implements [commitlog.Engine].
func (e *Engine) Create(ctx context.Context, name string) (commitlog.CommitLog, bool, error) {
	if err := commitlog.CheckLogName(name); err != nil {
		return nil, false, err
	}
	if l := e.named(name); l != nil {
		return l, false, nil
	}
	return e.create(ctx, name)
}

func (e *Engine) create(ctx context.Context, name string) (commitlog.CommitLog, bool, error) {
	p := pendings.Get().(*pending)
	p.create, p.size = name, frame.HeaderSize+256
	acks, err := e.committer.submit(ctx, p)
	if err != nil {
		return nil, false, err
	}
	return e.named(name), len(acks) > 0, nil
}

// buildCreate makes a log, unless there is one of that name. One ack, whatever
// is in it, says that this call made it.
func (c *committer) buildCreate(p *pending, full bool) {
	e := c.engine
	if e.named(p.create) != nil {
		return
	}
	for _, l := range e.created {
		if l.meta.name == p.create {
			return
		}
	}
	if full {
		p.err = commitlog.ErrStorageFull
		return
	}
	e.numbers++
	l := &Log{engine: e, meta: meta{number: e.numbers, name: p.create, created: c.builder.now}}
	e.options.random(l.meta.id[:])
	c.builder.mark(frame.Meta, l.meta.number, 0, l.meta.append(nil))
	e.created = append(e.created, l)
	p.acks = []commitlog.Ack{{}}
}

// publishCreated lets others see the logs of a group that is durable.
func (e *Engine) publishCreated() {
	if len(e.created) == 0 {
		return
	}
	e.namesMu.Lock()
	defer e.namesMu.Unlock()
	for _, l := range e.created {
		l.publish()
		e.names[l.meta.name] = l
		e.logs = append(e.logs, l)
	}
	e.created = nil
}

// Check implements [commitlog.Engine].
func (e *Engine) Check() error {
	e.committer.mu.Lock()
	defer e.committer.mu.Unlock()
	return e.committer.stopped
}

// Capabilities implements [commitlog.Engine].
func (e *Engine) Capabilities() commitlog.Capabilities {
	return commitlog.Capabilities{ExpectedOffset: true, NamedLogs: true, Durability: commitlog.Synced}
}

func (e *Engine) closed() bool {
	select {
	case <-e.closing:
		return true
	default:
		return false
	}
}

// Close refuses further appends, waits for those under way, wakes all waiters
// with [commitlog.ErrClosed], makes a last checkpoint and lets go of the data
// directory. Every read must have ended.
func (e *Engine) Close() error {
	e.closeOnce.Do(func() { e.closeErr = e.close() })
	return e.closeErr
}

func (e *Engine) close() error {
	c := &e.committer
	c.stop(commitlog.ErrClosed)
	close(e.closing)
	close(c.work)
	c.sealTimer.Stop()
	e.tasks.Wait()
	var errs []error
	if !errors.Is(e.Check(), commitlog.ErrStorageFailed) {
		errs = append(errs, e.checkpoint())
	}
	errs = append(errs, c.journal.Close(), e.segments.Close(), e.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the data directory: %w", err)
	}
	return nil
}

// space knows whether there is room for more records.
type space struct {
	asked time.Time
	live  int64 // of the journal, when it was asked
	full  bool
}

// Between two looks at the free space at most this much time passes, and at
// most this much is written.
const (
	spaceEvery      = 500 * time.Millisecond
	spaceEveryBytes = 16 << 20
)

// check says whether the disk is too full to take more. What the journal holds
// may still have to go to segments, so that much must be free, and the floor.
func (s *space) check(c *committer) bool {
	now, live := c.options.Now(), c.journal.Live()
	if wait := now.Sub(s.asked); wait >= 0 && wait < spaceEvery && live >= s.live && live-s.live < spaceEveryBytes {
		return s.full
	}
	free, err := c.engine.fs.Free()
	if err != nil {
		c.options.Logger.Warn("cannot tell the free space", "error", err)
		return s.full
	}
	full := free < uint64(live)+uint64(c.options.FreeBytes)
	if full != s.full {
		c.options.Logger.Warn("free space", "full", full, "free_bytes", free, "journal_live_bytes", live)
	}
	*s = space{asked: now, live: live, full: full}
	return full
}

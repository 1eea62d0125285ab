package log

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"sync"
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// Engine is a data directory with all its logs. It implements
// [commitlog.Engine].
type Engine struct {
	options           Options
	fs                vfs.FS
	id                [16]byte
	life              [16]byte // see life.go
	copied, unstamped bool     // what recognise found
	lock              io.Closer
	segments          *segment.Set
	watch             vfs.Watch // nil: files are synced one by one

	committer    committer
	checkpointAt int64 // live bytes of the journal that ask for a checkpoint

	namesMu sync.RWMutex
	names   map[string]*Log
	sorted  []string // the names, nil if they changed since it was made

	// These belong to whoever holds committer.commitMu.
	logs     []*Log // deleted ones too
	numbers  uint64 // given to logs so far
	graves   map[string]*Log
	renamed  map[string]*Log // names made (or, nil, deleted) in the group that is being built
	changed  []*Log          // whose settings changed in it
	dirty    dirty
	tails    tails              // its own lock
	garbage  []*segment.Segment // durably out of their logs, their files still there
	removing int                // callers that remove what they took of it

	checkpointMu sync.Mutex // one checkpoint at a time
	tableSeq     uint64     // this and the next two are guarded by checkpointMu
	tableSize    int64      // bytes of the latest one
	reserve      int64      // bytes of the reserve; 0: not known to be there
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

// Check implements [commitlog.Engine].
func (e *Engine) Check() error {
	e.committer.mu.Lock()
	defer e.committer.mu.Unlock()
	return e.committer.stopped
}

// Capabilities implements [commitlog.Engine].
func (e *Engine) Capabilities() commitlog.Capabilities {
	return commitlog.Capabilities{
		ExpectedOffset: true, Producers: true, NamedLogs: true, Trim: true, Seal: true, FindTime: true,
		Durability: commitlog.Synced, Dedup: e.options.Dedup,
	}
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
		errs = append(errs, e.lastCheckpoint())
	}
	errs = append(errs, c.journal.Close(), e.segments.Close())
	if e.watch != nil {
		errs = append(errs, e.watch.Close())
	}
	errs = append(errs, e.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the data directory: %w", err)
	}
	return nil
}

// lastCheckpoint spares the next start the journal. A disk without room for it is
// no failure: what is acked is in the journal, and that start goes on from there.
func (e *Engine) lastCheckpoint() error {
	err := e.checkpoint()
	if isFull(err) {
		e.options.Logger.Warn("no room for the last checkpoint: the journal keeps what it would have written, and the next start reads it", "error", err)
		return nil
	}
	return err
}

// space knows whether there is room for more records.
type space struct {
	asked time.Time
	live  int64 // pending in the journal, when it was asked
	left  int64 // how much could have come then; what comes takes it twice, in journal and segment
	full  bool
}

// Between two looks at the free space at most this much time passes, and at
// most this much is written, or half of what is left.
const (
	spaceEvery      = 500 * time.Millisecond
	spaceEveryBytes = 16 << 20
)

// check says whether the disk is too full to take more. What the journal holds
// and no checkpoint has covered may still have to go to segments, so that much
// must be free, and the floor. On a disk that is too full for both, a checkpoint
// is asked for, behind which it may not be: much of it has often gone there
// already. The error says that the data directory is gone: what is written to its files now
// goes with the process.
func (s *space) check(c *committer) (full bool, err error) {
	now, live := c.options.Now(), c.journal.Pending()
	if wait := now.Sub(s.asked); wait >= 0 && wait < spaceEvery && live >= s.live && live-s.live < min(spaceEveryBytes, s.left/2) {
		return s.full, nil
	}
	free, err := c.engine.fs.Free()
	if errors.Is(err, fs.ErrNotExist) {
		return true, err
	}
	if err != nil {
		c.options.Logger.Warn("cannot tell the free space", "error", err)
		return s.full, nil
	}
	if bug.On(bug.JournalNotCounted) {
		live = 0
	}
	need := live + c.options.FreeBytes + vfs.BlockSize // one block for what comes
	left := int64(min(free, math.MaxInt64)) - need
	full = left < 0
	if full != s.full {
		c.options.Logger.Warn("free space", "full", full, "free_bytes", free, "journal_pending_bytes", live)
	}
	if full && live > 0 {
		c.engine.wantCheckpoint()
	}
	*s = space{asked: now, live: live, left: max(0, left), full: full}
	return full, nil
}

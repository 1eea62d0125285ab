package log

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
	"github.com/proglog/proglog/server/log/internal/journal"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// dirty is what a checkpoint has to make durable.
type dirty struct {
	segments []*segment.Segment // written to, oldest first
	sealed   []sealable         // since the last cut
}

// list puts a segment that was written to on the list, unless it is there.
func (d *dirty) list(g *segment.Segment) {
	if !g.Listed {
		g.Listed = true
		d.segments = append(d.segments, g)
	}
}

// take empties the list.
func (d *dirty) take() []*segment.Segment {
	list := d.segments
	d.segments = nil
	for _, g := range list {
		g.Listed = bug.On(bug.ListedForLong)
	}
	return list
}

// forget lets go of segments that are to be removed.
func (d *dirty) forget(dropped []*segment.Segment) {
	if len(dropped) == 0 {
		return
	}
	gone := make(map[*segment.Segment]bool, len(dropped))
	for _, g := range dropped {
		gone[g] = true
	}
	d.segments = slices.DeleteFunc(d.segments, func(g *segment.Segment) bool { return gone[g] })
	d.sealed = slices.DeleteFunc(d.sealed, func(s sealable) bool { return gone[s.Segment] })
}

// A cut is what one checkpoint takes with it.
type cut struct {
	table  table
	logs   []*Log // of its rows
	dirty  []*segment.Segment
	sealed []sealable
}

// cutNow fixes how everything stands between two groups. The caller holds
// commitMu.
func (e *Engine) cutNow() cut {
	e.committer.group.Release() // not at each group, or a bulk writer would pay for it
	e.bury()
	cutPositions(e.logs)
	k := cut{
		table:  table{cut: e.committer.journal.Cut(), logs: e.numbers, life: e.life, rows: make([]row, len(e.logs))},
		logs:   slices.Clone(e.logs),
		dirty:  e.dirty.take(),
		sealed: e.dirty.sealed,
	}
	for i, l := range e.logs {
		k.table.rows[i] = l.row()
	}
	e.dirty.sealed = nil
	return k
}

// putBack takes back a cut whose checkpoint was not completed. The caller holds
// commitMu.
func (e *Engine) putBack(k cut) {
	unlistLate(k.dirty)
	for _, g := range k.dirty {
		e.dirty.list(g)
	}
	e.dirty.sealed = append(k.sealed, e.dirty.sealed...)
}

// bury drops deleted logs whose files are gone and whose name another log has
// taken over: nobody has to know of them any more.
func (e *Engine) bury() {
	if len(e.graves) == 0 || len(e.garbage) > 0 || e.removing > 0 {
		return
	}
	e.logs = slices.DeleteFunc(e.logs, func(l *Log) bool {
		return l.deleted() && (e.graves[l.name] != l || e.named(l.name) != nil)
	})
	for name := range e.graves {
		if e.named(name) != nil {
			delete(e.graves, name)
		}
	}
}

// checkpoint makes all that the journal holds durable in the segments and the
// table, in this order, and then lets the journal use its files again. Appends
// go on meanwhile, but for the moment of the cut.
func (e *Engine) checkpoint() error {
	e.checkpointMu.Lock()
	defer e.checkpointMu.Unlock()
	e.committer.commitMu.Lock()
	if err := e.committer.stoppedBy(); err != nil {
		e.committer.commitMu.Unlock()
		return err
	}
	began := time.Now()
	k := e.cutNow()
	e.committer.commitMu.Unlock()
	err := e.complete(k)
	e.options.Logger.Debug(CheckpointMade, "segments", len(k.dirty), "took", time.Since(began), "error", err)
	if err != nil {
		e.committer.commitMu.Lock()
		defer e.committer.commitMu.Unlock()
		e.putBack(k)
	}
	return err
}

// CheckpointMade is the debug message of a checkpoint that was made beside
// appends: of how many segments, how long it took, and why it failed if it did.
const CheckpointMade = "checkpoint"

// checkpointLocked is checkpoint for a caller that holds commitMu.
func (e *Engine) checkpointLocked() error {
	e.checkpointMu.Lock()
	defer e.checkpointMu.Unlock()
	k := e.cutNow()
	err := e.complete(k)
	if err != nil {
		e.putBack(k)
	}
	return err
}

// complete does what a cut asks for. The caller holds checkpointMu.
func (e *Engine) complete(k cut) error {
	e.completeEarly(&k)
	if err := e.persist(k.dirty); err != nil {
		return e.writeFailed(err)
	}
	if e.segments.TakeMade() && !bug.On(bug.SegmentNotInDir) {
		if err := e.fs.SyncDir(segmentsDir); err != nil {
			return e.committer.fail(fmt.Errorf("sync directory: %w", err))
		}
	}
	for _, s := range k.sealed {
		if err := s.Seal(s.end); err != nil {
			e.options.Logger.Warn("no index file; the index will be made again from the segment when it is needed", "error", err)
		}
	}
	e.completeLate(&k)
	if err := e.writeTable(&k.table); err != nil {
		return err
	}
	for i, l := range k.logs {
		l.saved.Store(k.table.rows[i].next)
	}
	saveLate(k.logs)
	e.committer.journal.Free(k.table.cut)
	// After a start the table comes before the journal's next file: what it frees
	// may be all the space there is.
	if err := e.committer.journal.Start(); err != nil {
		return err
	}
	e.tails.room()
	e.keepReserve()
	return nil
}

// writeFailed judges an error of writing segments, which the journal still has:
// what space or a descriptor makes good can be tried again, all else has failed
// for good.
func (e *Engine) writeFailed(err error) error {
	if unsure := (*segment.SyncError)(nil); !errors.As(err, &unsure) && (isFull(err) || segment.Passing(err)) {
		return err
	}
	return e.committer.fail(err)
}

// writeTable makes a table the current one. If it cannot be written, as on a
// full disk, the one before stays and the checkpoint can be tried again; if it
// cannot be synced, storage has failed.
func (e *Engine) writeTable(t *table) error {
	e.tableSeq++
	t.seq = e.tableSeq
	content := func(stamp vfs.Stamp) []byte {
		t.stamp = stamp
		b := t.encode(e.id)
		e.tableSize = int64(len(b))
		return b
	}
	err := replaceFile(e.fs, checkpointName, content)
	if isFull(err) && spendReserve(e.fs) {
		e.reserve = 0
		err = replaceFile(e.fs, checkpointName, content)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("write the checkpoint table: %w", err)
	if unsure := (*syncError)(nil); errors.As(err, &unsure) {
		return e.committer.fail(err)
	}
	return err
}

// wantCheckpoint asks for a checkpoint soon.
func (e *Engine) wantCheckpoint() {
	select {
	case e.wanted <- struct{}{}:
	default:
	}
}

// After a checkpoint that could not be written, the next one is tried after
// checkpointRetry, well within the 2 s in which appends have to go on when there
// is room again. That it fails still is told every checkpointTold.
const (
	checkpointRetry = 250 * time.Millisecond
	checkpointTold  = 10 * time.Second
)

// checkpointer makes checkpoints when they are wanted, until the engine closes.
func (e *Engine) checkpointer() {
	for {
		select {
		case <-e.wanted:
		case <-e.closing:
			return
		}
		var told time.Time
		for {
			err := e.checkpoint()
			if errors.Is(err, commitlog.ErrStorageFailed) {
				e.giveUpWaits(e.committer.stoppedBy())
			}
			if err == nil || errors.Is(err, commitlog.ErrStorageFailed) {
				break
			}
			if time.Since(told) >= checkpointTold {
				e.options.Logger.Warn("checkpoint failed; it will be tried again", "error", err)
				told = time.Now()
			}
			e.giveUpWaits(fmt.Errorf("%w: %w", commitlog.ErrStorageFull, err))
			select {
			case <-time.After(checkpointRetry):
			case <-e.closing:
				return
			}
		}
	}
}

// giveUpWaits ends the waits for what only a checkpoint gives.
func (e *Engine) giveUpWaits(why error) {
	e.committer.journal.Full(why)
	e.tails.fail(why)
}

// journalConfig is how the engine runs its journal.
func (e *Engine) journalConfig() journal.Config {
	return journal.Config{
		FS: e.fs, Dir: journalDir, ID: e.id,
		FileBytes: e.options.JournalFileBytes, Files: e.options.JournalFiles,
		Logger: e.options.Logger, Wanted: e.wantCheckpoint, Nonce: e.options.nonce, Inline: e.options.inline,
	}
}

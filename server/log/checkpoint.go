package log

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/journal"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// dirty is what a checkpoint has to make durable.
type dirty struct {
	segments []*segment.Segment // written to, oldest first
	sealed   []sealable         // since the last cut
	created  bool               // files were made
}

// syncers is how many segments are synced at a time: the disk does more with
// several in flight, up to about this many.
const syncers = 8

// syncAll syncs segments, several at a time unless inline.
func syncAll(list []segment.Dirty, inline bool) error {
	if inline || len(list) < 2 {
		var errs []error
		for _, d := range list {
			errs = append(errs, d.Sync())
		}
		return errors.Join(errs...)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	next := make(chan segment.Dirty)
	for range min(syncers, len(list)) {
		wg.Go(func() {
			for d := range next {
				if err := d.Sync(); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, d := range list {
		next <- d
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}

// take gives up the pins of the first n segments, for syncAll.
func (d *dirty) take(n int) []segment.Dirty {
	list := make([]segment.Dirty, n)
	for i, g := range d.segments[:n] {
		list[i] = g.TakeDirty()
	}
	rest := copy(d.segments, d.segments[n:])
	clear(d.segments[rest:])
	d.segments = d.segments[:rest]
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
	kept := d.segments[:0]
	for _, g := range d.segments {
		if gone[g] {
			g.TakeDirty().Release()
			continue
		}
		kept = append(kept, g)
	}
	clear(d.segments[len(kept):])
	d.segments = kept
	d.sealed = slices.DeleteFunc(d.sealed, func(s sealable) bool { return gone[s.Segment] })
}

// boundDirty keeps the number of open files in bounds when very many logs are
// written to between two checkpoints: it asks for the next one, and if that does
// not keep up syncs the oldest itself. The journal still has all that went
// there, so a torn later write of a shared block is made good from it.
func (e *Engine) boundDirty() error {
	switch n := len(e.dirty.segments); {
	case n <= e.options.OpenFiles:
		return nil
	case n <= 2*e.options.OpenFiles && !e.options.inline:
		e.wantCheckpoint()
		return nil
	default:
		return syncAll(e.dirty.take(n/4+1), e.options.inline)
	}
}

// A cut is what one checkpoint takes with it.
type cut struct {
	table   table
	dirty   []segment.Dirty
	sealed  []sealable
	created bool
}

// cutNow fixes how everything stands between two groups. The caller holds
// commitMu.
func (e *Engine) cutNow() cut {
	e.bury()
	cutPositions(e.logs)
	k := cut{
		table:   table{cut: e.committer.journal.Cut(), logs: e.numbers, life: e.life, rows: make([]row, len(e.logs))},
		dirty:   e.dirty.take(len(e.dirty.segments)),
		sealed:  e.dirty.sealed,
		created: e.dirty.created,
	}
	for i, l := range e.logs {
		k.table.rows[i] = l.row()
	}
	e.dirty.sealed, e.dirty.created = nil, false
	return k
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
	k := e.cutNow()
	e.committer.commitMu.Unlock()
	return e.complete(k)
}

// checkpointLocked is checkpoint for a caller that holds commitMu.
func (e *Engine) checkpointLocked() error {
	e.checkpointMu.Lock()
	defer e.checkpointMu.Unlock()
	return e.complete(e.cutNow())
}

// complete does what a cut asks for. The caller holds checkpointMu.
func (e *Engine) complete(k cut) error {
	if err := syncAll(k.dirty, e.options.inline); err != nil {
		return e.committer.fail(err)
	}
	if k.created {
		if err := e.fs.SyncDir(segmentsDir); err != nil {
			return e.committer.fail(fmt.Errorf("sync directory: %w", err))
		}
	}
	for _, s := range k.sealed {
		if err := s.Seal(s.end); err != nil {
			e.options.Logger.Warn("no index file; the index will be made again from the segment when it is needed", "error", err)
		}
	}
	if err := e.writeTable(&k.table); err != nil {
		return err
	}
	e.committer.journal.Free(k.table.cut)
	e.keepReserve()
	return nil
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

// checkpointRetry is how long to wait after a checkpoint that could not be
// written.
const checkpointRetry = time.Second

// checkpointer makes checkpoints when they are wanted, until the engine closes.
func (e *Engine) checkpointer() {
	for {
		select {
		case <-e.wanted:
		case <-e.closing:
			return
		}
		for {
			err := e.checkpoint()
			if err == nil || errors.Is(err, commitlog.ErrStorageFailed) {
				break
			}
			e.options.Logger.Warn("checkpoint failed; it will be tried again", "error", err)
			e.committer.journal.Full(fmt.Errorf("%w: %w", commitlog.ErrStorageFull, err))
			select {
			case <-time.After(checkpointRetry):
			case <-e.closing:
				return
			}
		}
	}
}

// journalConfig is how the engine runs its journal.
func (e *Engine) journalConfig() journal.Config {
	return journal.Config{
		FS: e.fs, Dir: journalDir, ID: e.id,
		FileBytes: e.options.JournalFileBytes, Files: e.options.JournalFiles,
		Logger: e.options.Logger, Wanted: e.wantCheckpoint, Nonce: e.options.nonce, Inline: e.options.inline,
	}
}

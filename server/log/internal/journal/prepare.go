package journal

import (
	"errors"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
)

// startPreparing begins to make the next file, unless there is one or none can
// be made. An Inline journal makes it here and now. The caller holds the lock.
func (j *Journal) startPreparing() {
	if j.active == nil || j.next != nil || j.making || j.closed || j.err != nil {
		return
	}
	var f *file
	var slot int
	if n := len(j.free); n > 0 {
		f, j.free = j.free[n-1], j.free[:n-1]
	} else if len(j.slots) < j.cfg.Files && !j.stuck {
		slot = j.takeSlot()
	} else {
		return
	}
	number, synced := j.active.number+1, j.synced
	if j.cfg.Inline {
		f, err := j.prepare(f, slot, number, synced)
		j.prepared(f, slot, err)
		return
	}
	j.making = true
	j.tasks.Go(func() {
		f, err := j.prepare(f, slot, number, synced)
		j.mu.Lock()
		defer j.mu.Unlock()
		j.making = false
		j.prepared(f, slot, err)
	})
}

// prepared takes the outcome of prepare, with the lock held. No file and no
// error means that none could be made: there may be no space, which is not the
// journal's end, since a checkpoint will free a file.
func (j *Journal) prepared(f *file, slot int, err error) {
	switch {
	case err != nil && j.err == nil:
		j.err = err
	case f == nil:
		j.stuck = true
		delete(j.slots, slot)
	default:
		j.next = f
		j.prove()
	}
	j.changed.Broadcast()
}

// prepare makes a file ready to be written: the one given, or a new one.
func (j *Journal) prepare(f *file, slot int, number, synced uint64) (*file, error) {
	if f == nil {
		var err error
		if f, err = j.create(slot); IsSync(err) {
			return nil, err
		} else if err != nil {
			j.cfg.Logger.Warn("cannot make another journal file; appends wait for a checkpoint when those there are full", "error", err)
			return nil, nil
		}
	}
	return f, f.writeHeader(j.cfg.ID, number, j.cfg.Nonce(), synced)
}

// takeSlot returns the lowest slot that no file has.
func (j *Journal) takeSlot() int {
	slot := 0
	for j.slots[slot] {
		slot++
	}
	j.slots[slot] = true
	return slot
}

// A syncError is a failure after which nobody knows what the disk holds. It ends
// the journal; other failures to make a file only mean that there is none.
type syncError struct{ error }

func (e *syncError) Unwrap() error { return e.error }

// IsSync says whether err is of a sync that failed: what it was to make durable
// may be lost, and another sync does not tell.
func IsSync(err error) bool {
	var s *syncError
	return errors.As(err, &s)
}

// create makes a file, whole and durable, or leaves none.
func (j *Journal) create(slot int) (*file, error) {
	f := &file{name: slotName(j.cfg.Dir, slot), slot: slot, size: j.cfg.FileBytes}
	w, err := j.cfg.FS.Create(f.name, vfs.Buffered)
	if err != nil {
		return nil, err
	}
	err = errors.Join(preWrite(w, f.size), w.Close())
	if err == nil && !bug.On(bug.JournalNotInDir) {
		if err = j.cfg.FS.SyncDir(j.cfg.Dir); err != nil {
			err = &syncError{err}
		}
	}
	if err == nil {
		f.f, err = j.cfg.FS.Open(f.name, groupMode())
	}
	if err != nil {
		return nil, errors.Join(err, j.cfg.FS.Remove(f.name))
	}
	return f, nil
}

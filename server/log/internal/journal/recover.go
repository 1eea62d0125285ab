package journal

import (
	"errors"
	"fmt"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
)

// DamageError reports a journal that does not hold what was once synced to it.
// A mere crash cannot cause it.
type DamageError struct {
	File     string
	Position int64
	Group    uint64
	Why      string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at position %d (group %d): %s", e.File, e.Position, e.Group, e.Why)
}

// An ApplyError is what became of a group that is whole, but that its reader did
// not take.
type ApplyError struct {
	File     string
	Position int64
	Group    uint64
	Err      error
}

func (e *ApplyError) Error() string {
	return fmt.Sprintf("%s at position %d (group %d): %v", e.File, e.Position, e.Group, e.Err)
}

func (e *ApplyError) Unwrap() error { return e.Err }

// Scanned says what a scan found.
type Scanned struct {
	Groups int
	Bytes  int64
	End    Cut // behind the last whole group
	// Torn says that something that is not a whole group follows the last one,
	// and that nothing proves it was ever synced: a group that a crash cut off,
	// which nobody was told of.
	Torn bool
}

// Open reads the groups from the cut on, all of them with check, which changes
// nothing, and then again: it gives each one's frames to apply, in
// order, and returns a journal that its owner is to Start, and may Free before.
// What was read stays in its files until Free. For a new directory, from is the
// zero Cut, and the journal is started.
func Open(cfg Config, from Cut, check, apply func(frames []byte) error) (*Journal, Scanned, error) {
	s := &scan{cfg: cfg}
	if err := s.open(vfs.Direct); err != nil {
		return nil, Scanned{}, errors.Join(err, s.close())
	}
	found, err := s.run(from, check)
	if err == nil && found.Groups > 0 {
		found, err = s.run(from, apply)
	}
	if err != nil {
		return nil, found, errors.Join(err, s.close())
	}
	j := &Journal{
		cfg: cfg, slots: map[int]bool{}, sealed: true,
		// The number of a group that was cut off is not given again.
		seq: found.End.Seq + 1, chain: found.End.Chain, end: found.End, freed: from, highest: from.File,
	}
	if found.End.Seq > 0 {
		j.synced = found.End.Seq - 1
	}
	j.changed.L = &j.mu
	for _, f := range s.files {
		used := f.number >= from.File && f.number <= found.End.File && f.number != 0 && !bug.On(bug.NotIdempotent)
		j.highest = max(j.highest, f.number)
		switch {
		case used:
			j.live = append(j.live, f)
		case f.number == 0 || f.size != cfg.FileBytes:
			// Never finished, or of another size than is wanted now.
			if err := errors.Join(f.f.Close(), cfg.FS.Remove(f.name)); err != nil {
				return nil, found, errors.Join(err, s.close())
			}
			continue
		default:
			j.free = append(j.free, f)
		}
		j.slots[f.slot] = true
	}
	if bug.On(bug.SameRange) && len(j.live) > 0 {
		j.active = j.live[len(j.live)-1]
		j.live, j.pos, j.seq = j.live[:len(j.live)-1], found.End.Position, found.End.Seq
	}
	if from == (Cut{}) {
		if err := j.Start(); err != nil {
			return nil, found, errors.Join(err, s.close())
		}
	}
	return j, found, nil
}

// Start gives the journal a file of its own to go on in, never the range where
// a write may have failed, and the one after. It does nothing when it has that.
func (j *Journal) Start() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.active != nil {
		return nil
	}
	number := j.highest + 1
	for range 2 {
		var f *file
		slot := -1
		if n := len(j.free); n > 0 {
			f, j.free = j.free[n-1], j.free[:n-1]
		} else {
			// One more than Files if a crash found all of them in use.
			var err error
			slot = j.takeSlot()
			if f, err = j.create(slot); err != nil && j.active != nil && !IsSync(err) {
				delete(j.slots, slot)
				j.cfg.Logger.Warn("cannot make a second journal file; appends wait for a checkpoint when the first is full", "error", err)
				return nil
			} else if err != nil {
				return fmt.Errorf("make a journal file, for which there has to be space: %w", err)
			}
		}
		if f, err := j.prepare(f, slot, number, j.synced); err != nil {
			return err
		} else if j.active == nil {
			j.active, j.pos = f, firstGroup
		} else {
			j.next = f
		}
		number++
	}
	return nil
}

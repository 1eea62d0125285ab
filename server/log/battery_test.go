package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/proglog/proglog/server/commitlog"
)

// outcomes counts what became of faults.
type outcomes struct {
	opened, refused, repaired, whole atomic.Int64
	lost, fromJournal                atomic.Int64 // what a flipped bit of a segment cost, or would have cost, in a copy
}

// check damages a copy of the specimen and holds the engine, and with deep also
// verify and repair, to what they promise. The error says what was broken.
func (s *specimen) check(t testing.TB, f fault, deep bool, o *outcomes) error {
	fs := s.fs.CrashKeepNone()
	for name, b := range f.files {
		setFile(t, fs, name, b)
	}
	if f.bit != nil {
		overwrite(t, fs, f.bit.name, f.bit.pos, []byte{f.bit.value})
	}
	problems := -1 // that verify finds, if it was asked
	if deep {
		if err := s.checkRepair(fs, f.costs, o); err != nil {
			return fmt.Errorf("repair: %w", err)
		}
		var err error
		if problems, err = s.checkVerify(fs, f); err != nil {
			return err
		}
	}
	e, err := Open("mem", specimenOptions(fs))
	if err != nil {
		o.refused.Add(1)
		if problems == 0 {
			return fmt.Errorf("verify finds nothing, but: %w", err)
		}
		return s.checkRefusal(f, err)
	}
	o.opened.Add(1)
	err = s.checkReads(e, f.costs)
	return errors.Join(err, e.Close())
}

// checkRefusal: segments and indexes never keep a directory closed, and the
// error names what does.
func (s *specimen) checkRefusal(f fault, err error) error {
	if errors.Is(err, ErrNotDataDir) {
		return nil
	}
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) {
		return s.checkUnread(f, err)
	}
	if _, known := s.files[corrupt.File]; !known && corrupt.File != journalDir || corrupt.Position < 0 {
		return fmt.Errorf("refused for a place that nobody has, %s at %d: %w", corrupt.File, corrupt.Position, err)
	}
	if f.bit != nil && (corrupt.File != f.bit.name || corrupt.Position > f.bit.pos) {
		return fmt.Errorf("refused for %s at %d, which is not what was damaged: %w", corrupt.File, corrupt.Position, err)
	}
	if path.Dir(corrupt.File) == journalDir || corrupt.File == journalDir {
		if err := s.checkStakes(corrupt.Stakes, f); err != nil {
			return err
		}
	}
	for name := range f.files {
		if path.Dir(name) != segmentsDir {
			return nil
		}
	}
	if f.bit != nil && path.Dir(f.bit.name) != segmentsDir {
		return nil
	}
	return fmt.Errorf("damage in segments keeps the directory closed: %w", err)
}

// checkUnread: what is refused without a CorruptError is a file that is not of its
// size, or gone.
func (s *specimen) checkUnread(f fault, err error) error {
	for name := range f.files {
		if path.Dir(name) != segmentsDir && strings.Contains(err.Error(), name) {
			return nil
		}
	}
	return fmt.Errorf("refused without a reason for the operator: %w", err)
}

// checkStakes: every log that there is stands there, with an offset up to which its
// records are told for certain.
func (s *specimen) checkStakes(stakes []Stake, f fault) error {
	if gone, changed := f.files[checkpointName]; changed && gone == nil {
		return nil // nothing is left that tells of logs
	}
	from := map[string]uint64{}
	for _, k := range stakes {
		from[k.Log] = k.From
	}
	for name, l := range s.logs {
		if at, told := from[name]; !told || at > l.next {
			return fmt.Errorf("refused, and of log %q with records up to %d the offset at stake is %d (told: %v)", name, l.next, at, told)
		}
	}
	return nil
}

// checkReads: each log has its bounds, and each record is there as it was
// written or told to be damaged.
func (s *specimen) checkReads(e *Engine, c *cost) error {
	for name, want := range s.logs {
		l := e.named(name)
		if l == nil {
			return fmt.Errorf("log %q is gone without a word", name)
		}
		b := l.Bounds()
		if b.First != want.first || b.Next > want.next || b.Next < want.proven {
			return fmt.Errorf("log %q goes from %d to %d, not from %d to %d", name, b.First, b.Next, want.first, want.next)
		}
		if c != nil && c.log != name {
			continue
		}
		damaged, err := readLog(l, name)
		if err == nil && c != nil {
			err = c.holds(damaged)
		}
		if err != nil {
			return fmt.Errorf("log %q: %w", name, err)
		}
	}
	if e.named("gone") != nil {
		return errors.New("a deleted log is back")
	}
	return nil
}

// readLog reads a log from end to end. It returns the damaged ranges; the error
// is of a record that is wrong, or not there and not told.
func readLog(l *Log, name string) (damaged []LostRange, err error) {
	ctx := context.Background()
	b := l.Bounds()
	for at := b.First; at < b.Next; {
		run, err := l.Read(ctx, at, commitlog.ReadLimit{}, nil)
		if d := (*commitlog.DamagedError)(nil); errors.As(err, &d) {
			if d.First > at || d.Next <= at || d.Next > b.Next {
				return nil, fmt.Errorf("at %d: a damaged range from %d to %d", at, d.First, d.Next)
			}
			damaged = append(damaged, LostRange{First: at, Next: d.Next, Cause: d.Cause.Error()})
			at = d.Next
			continue
		}
		if err != nil {
			return nil, err
		}
		if run.Next <= at {
			return nil, fmt.Errorf("at %d: a read of nothing", at)
		}
		for rec, err := range run.All() {
			if err != nil {
				return nil, err
			}
			if rec.Offset != at || !bytes.Equal(rec.Value, valueAt(name, at)) {
				return nil, fmt.Errorf("WRONG RECORD at %d: offset %d, value %q", at, rec.Offset, rec.Value)
			}
			at++
		}
		if at != run.Next {
			return nil, fmt.Errorf("a run up to %d ends at %d", run.Next, at)
		}
	}
	return damaged, nil
}

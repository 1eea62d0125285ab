package log

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// callFaults are the errors that calls fail with.
var callFaults = []struct {
	name string
	err  error
}{
	{"EIO", syscall.EIO},
	{"ENOSPC", syscall.ENOSPC},
	{"EDQUOT", syscall.EDQUOT},
	{"EROFS", syscall.EROFS},
	{"EMFILE", syscall.EMFILE},
	{"short write", &vfstest.Partial{Err: io.ErrShortWrite, Bytes: 700}},
}

// faultyWork are the workloads whose calls fail. Each goes on after an error as
// a program would that does not know better.
var faultyWork = []struct {
	name  string
	calls int // at least, so that it is known to reach what it is about
	// before is what has happened already, without faults.
	before func(*sim)
	steps  func(*sim) []func() error
}{
	{"one log", 100, nil, func(s *sim) []func() error {
		return times(24, func(i int) error { return s.appendSizes("", i%3 == 0, 90*i, 40) })
	}},
	{"many logs", 100, nil, func(s *sim) []func() error {
		steps := times(6, func(i int) error { return s.create(fmt.Sprintf("log-%d", i+1)) })
		return append(steps, times(18, func(i int) error { return s.appendSizes(s.names[i%len(s.names)], i%2 == 0, 1500, 1500) })...)
	}},
	{"changes", 100, nil, func(s *sim) []func() error {
		steps := append([]func() error{func() error { return s.create("log-1") }, func() error { return s.create("log-2") }},
			times(10, func(int) error { return s.appendSizes("log-1", true, 1900, 1900) })...)
		return append(steps,
			func() error { return s.appendSizes("log-2", true, 10) },
			func() error { return s.trimTo("log-1", 9) },
			func() error { return s.keep("log-1") },
			s.retain,
			func() error { return s.remove("log-2") },
			func() error { return s.appendSizes("", true, 10) },
			func() error { return s.seal("log-1") },
			func() error { return s.appendSizes("log-1", false, 10) },
			s.checkpoint,
			func() error { return s.appendSizes("", true, 20) })
	}},
	{"journal files used again", 140, nil, func(s *sim) []func() error {
		return times(64, func(i int) error { return s.appendSizes("", i%4 == 0, 3) })
	}},
	{"checkpoints and restarts", 100, nil, func(s *sim) []func() error {
		return times(20, func(i int) error {
			switch i % 5 {
			case 1:
				return s.prove()
			case 3:
				return s.checkpoint()
			case 4:
				return s.restart()
			default:
				return s.appendSizes("", i%2 == 0, 700*i)
			}
		})
	}},
	{"recovery", 60, func(s *sim) {
		require.NoError(s.t, s.script())
		require.NoError(s.t, s.open())
		for range 9 {
			require.NoError(s.t, s.appendSizes("", true, 1500, 1500))
		}
		s.fs = s.fs.CrashKeepAll()
	}, func(s *sim) []func() error {
		return times(4, func(int) error { return s.appendSizes("", true, 100) })
	}},
	{"groups of several logs", 100, nil, func(s *sim) []func() error {
		steps := times(3, func(i int) error { return s.create(fmt.Sprintf("log-%d", i+1)) })
		return append(steps, times(14, func(i int) error {
			if i%4 == 3 {
				return s.group()
			}
			return s.threeLogs()
		})...)
	}},
	{"appends within checkpoints", 100, nil, func(s *sim) []func() error {
		return times(24, func(i int) error {
			switch {
			case i < 3:
				return s.create(fmt.Sprintf("log-%d", i+1))
			case i%3 == 0:
				return s.checkpoint()
			default:
				return s.threeLogs()
			}
		})
	}},
	{"at random", 150, nil, func(s *sim) []func() error {
		return times(40, func(int) error {
			switch name := s.names[s.rng.IntN(len(s.names))]; s.rng.IntN(12) {
			case 0:
				return s.checkpoint()
			case 1:
				return s.create(s.newName(nil))
			case 2, 3:
				return s.group()
			default:
				return s.append(name)
			}
		})
	}},
}

func times(n int, step func(i int) error) (steps []func() error) {
	for i := range n {
		steps = append(steps, func() error { return step(i) })
	}
	return steps
}

// Whichever call of the file system fails, with whatever error, once or from
// then on: no acked record is lost, nothing that was refused appears, an error
// says truly whether its batch is open, storage that may have lost something
// takes nothing more, what is durable can be read, no failed sync is tried
// again, and a restart after the fault takes appends again.
//
// Method: each workload runs again and again, each time with the next call
// failing, until none is left to fail: with each error, once and for good in
// turn, or both in a deep run. Then the directory is opened as the
// process left it, and as a power cut would leave it; and, after some more
// appends, as a power cut would leave that. PROGLOG_SEED draws other workloads.
func TestEveryCallFails(t *testing.T) {
	t.Parallel()
	deep := numberFrom(t, "PROGLOG_CRASHES", 0) > normalCrashes
	series := numberFrom(t, "PROGLOG_SEED", 1)
	step := 1
	if testing.Short() || raceEnabled {
		step = 13
	}
	for w := range faultyWork {
		t.Run(faultyWork[w].name, func(t *testing.T) {
			t.Parallel()
			n := 1
			for some := true; some; n += step {
				some = false
				seed := (series-1)*uint64(len(faultyWork)) + uint64(w) + 1
				for i, f := range callFaults {
					once, forGood := deep || (n+i)%2 == 0, deep || (n+i)%2 == 1
					some = once && runFault(t, w, seed, vfstest.Fault{Nth: n, Err: f.err}, f.name) || some
					some = forGood && runFault(t, w, seed, vfstest.Fault{Nth: n, Err: f.err, Sticky: true}, f.name) || some
				}
			}
			if series == 1 {
				require.Greater(t, n, faultyWork[w].calls, "the workload makes many calls")
			}
		})
	}
}

// runFault reports whether the workload got as far as the fault.
func runFault(t *testing.T, work int, seed uint64, fault vfstest.Fault, name string) bool {
	w := &faultyWork[work]
	s := newSim(t, seed)
	if w.before != nil {
		w.before(s)
		s.engine = nil
		s.rng = rand.New(rand.NewPCG(s.seed, 13))
	}
	faults := vfstest.NewFaults(fault)
	what := fmt.Sprintf("%s: call %d fails with %s, for good: %v", w.name, fault.Nth, name, fault.Sticky)
	var poisoned *Engine
	s.hook = func(op vfstest.Op) error {
		err := faults.Hook(op)
		if err != nil {
			what += fmt.Sprintf(": %v %s", op.Kind, op.Name)
			if mustPoison(op) {
				poisoned = s.engine
			}
		}
		return err
	}
	s.setHook(s.hook)
	if err := s.open(); err == nil {
		for _, step := range w.steps(s) {
			s.faulty(what, step)
		}
	}
	if s.engine != nil {
		if poisoned == s.engine {
			require.ErrorIs(t, s.engine.Check(), commitlog.ErrStorageFailed, what)
		}
		faults.Heal()
		s.readsGoOn(what)
		_ = s.engine.Close() // it may fail: that is the point
		s.engine = nil
	}
	if faults.Fired() == 0 {
		return false
	}
	require.Zero(t, s.fs.SyncsAfterFailure(), what)
	s.setHook(nil)
	for _, after := range []*sim{s.after(s.fs.CrashKeepNone()), s} {
		after.neverCrash()
		after.goesOn(what)
		after.after(after.fs.CrashKeepNone()).check(what + ", then a power cut")
	}
	return true
}

// mustPoison says whether, after this call has failed, nobody knows what the
// disk holds.
func mustPoison(op vfstest.Op) bool {
	inJournal := path.Dir(op.Name) == journalDir
	switch op.Kind {
	case vfstest.OpWriteAt:
		return inJournal && op.Off >= vfs.BlockSize // to a segment it can be tried again, from memory
	case vfstest.OpSync, vfstest.OpSyncDir:
		// A journal file that could not be made ends appends when it is needed; nothing
		// needs what is in the reserve.
		return !inJournal && op.Name != reserveName
	default:
		return op.Kind == vfstest.OpRename
	}
}

// goesOn opens what a fault left, compares it and appends.
func (s *sim) goesOn(what string) {
	if err := s.open(); err != nil {
		s.fail("%s: open: %v", what, err)
	}
	s.verify()
	for range 3 {
		if err := s.append(""); err != nil {
			s.fail("%s: append after it: %v", what, err)
		}
	}
	s.verify()
	s.close()
}

// restart closes the engine, whatever comes of it, and opens it again, as
// another process with descriptors of its own.
func (s *sim) restart() error {
	err := s.engine.Close()
	s.engine = nil
	require.Zero(s.t, s.fs.SyncsAfterFailure())
	s.fs = s.fs.CrashKeepAll()
	s.setHook(s.hook)
	if openErr := s.open(); openErr != nil {
		return errors.Join(err, openErr)
	}
	return nil
}

// faulty does one piece of work that may fail, and holds the engine to what its
// error says: open, or nothing was done.
func (s *sim) faulty(what string, step func() error) {
	if s.engine == nil {
		return // it could not be opened again
	}
	for _, l := range s.logs {
		if len(l.pending) > 0 || l.deleting || l.sealing || l.keeping != nil || l.trim > 0 {
			return // how it ends is open since an earlier error
		}
	}
	err := step()
	if err == nil {
		return
	}
	if errors.Is(err, commitlog.ErrOutcomeUnknown) {
		if s.engine != nil && s.engine.Check() == nil {
			s.fail("%s: %v, but storage is said to be well", what, err)
		}
		return
	}
	s.names = slices.DeleteFunc(s.names, func(name string) bool { return name != "" && !s.logs[name].made })
	for _, l := range s.logs {
		l.pending, l.deleting, l.sealing, l.keeping = nil, false, false, nil
	}
	s.settleTrims()
}

func (s *sim) named(name string) *Log {
	if s.engine == nil {
		return nil
	}
	return s.engine.named(name)
}

// readsGoOn reads all that is acked from an engine whose faults are over, but
// which may have ended appends.
func (s *sim) readsGoOn(what string) {
	for _, name := range s.names {
		model, l := s.logs[name], s.engine.named(name)
		if l == nil {
			if model.made && !model.deleting {
				s.fail("%s: log %q is not there", what, name)
			}
			continue
		}
		got := s.readAll(l, name)
		want := model.acked[l.Bounds().First-model.base:]
		if len(got) != len(want) {
			s.fail("%s: log %q: %d records can be read, want %d", what, name, len(got), len(want))
		}
		for i := range want {
			if string(got[i]) != string(want[i]) {
				s.fail("%s: log %q: record %d is not what was acked", what, name, l.Bounds().First+uint64(i))
			}
		}
	}
}

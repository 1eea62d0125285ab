package log

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// Whichever call of the file system fails, with whatever error, once or from
// then on: no acked record is lost, nothing that was refused appears, an error
// says truly whether its batch is open, no failed sync is tried again, and a
// restart after the fault takes appends again.
//
// Method: a workload of fixed seed runs again and again, each time with the
// next call failing, until none is left to fail. Then the directory is opened
// as the process left it, and as a power cut would leave it.
func TestEveryCallFailsOnce(t *testing.T) {
	faults := []struct {
		err    error
		sticky bool
	}{
		{syscall.EIO, false}, {syscall.EIO, true}, {syscall.ENOSPC, true}, {syscall.EMFILE, false},
		{&vfstest.Partial{Err: io.ErrShortWrite, Bytes: 700}, false},
	}
	step := 1
	if testing.Short() {
		step = 13
	}
	for seed := uint64(1); seed <= 2; seed++ {
		for _, f := range faults {
			t.Run(fmt.Sprintf("seed %d, %v, sticky %v", seed, f.err, f.sticky), func(t *testing.T) {
				t.Parallel()
				for n := 1; ; n += step {
					if !runFault(t, seed, vfstest.Fault{Nth: n, Err: f.err, Sticky: f.sticky}) {
						require.Greater(t, n, 150, "the workload makes many calls")
						return
					}
				}
			})
		}
	}
}

// runFault reports whether the workload got as far as the fault.
func runFault(t *testing.T, seed uint64, fault vfstest.Fault) bool {
	s := newSim(t, seed)
	s.crasher = vfstest.CrashAt(s.fs, 1<<30, (*vfstest.Mem).CrashKeepNone) // never
	faults := vfstest.NewFaults(fault)
	s.fs.SetHook(faults.Hook)
	what := func() string { return fmt.Sprintf("seed %d, call %d fails with %v", seed, fault.Nth, fault.Err) }
	if err := s.open(); err == nil {
		for range 40 {
			s.faulty(what)
		}
	}
	if s.engine != nil {
		_ = s.engine.Close() // it may fail: that is the point
		s.engine = nil
	}
	if faults.Fired() == 0 {
		return false
	}
	require.Zero(t, s.fs.SyncsAfterFailure(), what())
	s.fs.SetHook(nil)
	power := *s
	power.fs = s.fs.CrashKeepNone()
	power.logs = map[string]*simLog{}
	for name, l := range s.logs {
		model := *l
		power.logs[name] = &model
	}
	for _, after := range []*sim{s, &power} {
		if err := after.open(); err != nil {
			t.Fatalf("%s: open: %v", what(), err)
		}
		after.verify()
		require.NoError(t, after.append(""), what())
		after.verify()
		after.close()
	}
	return true
}

// faulty does one piece of work that may fail, and holds the engine to what its
// error says.
func (s *sim) faulty(what func() string) {
	name := s.names[s.rng.IntN(len(s.names))]
	switch s.rng.IntN(12) {
	case 0:
		_ = s.engine.checkpoint()
		return
	case 1:
		_ = s.create(fmt.Sprintf("log-%d", len(s.names)))
		return
	}
	if s.engine.named(name) == nil {
		return
	}
	model := s.logs[name]
	if len(model.pending) > 0 {
		return // its end is open since an earlier error
	}
	err := s.append(name)
	if err == nil {
		return
	}
	if !errors.Is(err, commitlog.ErrOutcomeUnknown) {
		model.pending, model.retry = nil, nil
	}
	if errors.Is(err, commitlog.ErrOutcomeUnknown) != (len(model.pending) > 0) {
		s.fail("%s: %v", what(), err)
	}
}

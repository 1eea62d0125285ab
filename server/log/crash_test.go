package log

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// normalCrashes is how many crash states a plain test run tries. With the race
// detector it is a tenth: all is done by one goroutine.
const normalCrashes = 20_000

// A power cut at any call leaves every acked record of every log, nothing of a
// batch or all of it, no gap, and a directory that opens.
//
// Method: a random workload runs over a file system in memory, with segments and
// journal files so small that it rolls, checkpoints and reuses journal files all
// the time. It is cut off at a call; what of the unsynced sectors, sizes and
// names survives is drawn. The engine opens what is left, at times on a disk that is
// full to the last byte, often is cut off in that too, and must hold what was acked;
// then the workload goes on from there, up to the next cut. It has groups of several callers, logs and batches of one
// producer, and appends and changes at the calls that a checkpoint makes.
//
// PROGLOG_SEED replays the run of one seed. PROGLOG_CRASHES says how many crash
// states to try, from that seed on if both are given. PROGLOG_LEDGER names a
// file that gets a line of JSON about what was tried: the next run of a long
// series begins at its "next".
func TestCrashAnywhere(t *testing.T) {
	t.Parallel()
	usual := uint64(normalCrashes)
	if raceEnabled {
		usual /= 10
	}
	states := numberFrom(t, "PROGLOG_CRASHES", usual)
	if testing.Short() {
		states /= 10
	}
	first := numberFrom(t, "PROGLOG_SEED", uint64(time.Now().UnixNano())) // printed with every failure
	if os.Getenv("PROGLOG_SEED") != "" && os.Getenv("PROGLOG_CRASHES") == "" {
		states = 1
	}
	entry := ledgerEntry{Test: t.Name(), First: first}
	started := time.Now()
	var tried, runs, failures atomic.Uint64
	t.Run("runs", func(t *testing.T) {
		for worker := range min(runtime.GOMAXPROCS(0), int(states)) {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				defer func() {
					if t.Failed() {
						failures.Add(1)
					}
				}()
				for tried.Load() < states && failures.Load() == 0 {
					s := newSim(t, first+runs.Add(1)-1)
					s.run()
					tried.Add(uint64(s.crashes))
				}
			})
		}
	})
	entry.Next, entry.States, entry.Failures = first+runs.Load(), tried.Load(), failures.Load()
	entry.Seconds = time.Since(started).Seconds()
	entry.write(t)
}

// A ledgerEntry says what a simulation tried: the seeds from First up to, but
// not including, Next.
type ledgerEntry struct {
	Test     string    `json:"test"`
	Time     time.Time `json:"time"`
	First    uint64    `json:"first"`
	Next     uint64    `json:"next"`
	States   uint64    `json:"states"`
	Of       uint64    `json:"of,omitempty"` // how many there are in all, if that is known
	Failures uint64    `json:"failures"`
	Seconds  float64   `json:"seconds"`
}

func (e ledgerEntry) write(t *testing.T) {
	t.Helper()
	e.Time = time.Now().UTC().Truncate(time.Second)
	line, err := json.Marshal(e)
	require.NoError(t, err)
	t.Logf("%s", line)
	name := os.Getenv("PROGLOG_LEDGER")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	_, err = f.Write(append(line, '\n'))
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func numberFrom(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	require.NoError(t, err, name)
	return n
}

// The same seed makes the same calls with the same bytes and ends with the same
// files, or a failure could not be replayed.
func TestSimulationIsDeterministic(t *testing.T) {
	t.Parallel()
	crashes := 0
	for seed := uint64(1); seed <= 20; seed++ {
		trace := func() []string {
			s := newSim(t, seed)
			s.trace = []string{}
			s.run()
			crashes += s.crashes
			return append(s.trace, "end "+digest(s.fs))
		}
		require.Equal(t, trace(), trace(), "seed %d", seed)
	}
	require.Greater(t, crashes, 100)
}

// script is a short workload with everything in it that the engine does.
func (s *sim) script() error {
	steps := []func() error{
		s.open,
		func() error { return s.appendSizes("", false, 10) },
		func() error { return s.appendSizes("", true, 20, 30) },
		func() error { return s.create("log-1") },
		func() error { return s.appendSizes("log-1", true, 1900, 1900, 1900) }, // several frames
		func() error { return s.appendSizes("log-1", false, 1900, 1900) },      // the segment is full
		func() error { return s.appendSizes("log-1", true, 100) },              // and the next begins
		s.checkpoint,
		func() error { return s.appendSizes("", true, 40) },
		func() error { return s.trimTo("log-1", 5) }, // all of a segment
		func() error { return s.prove() },
		func() error { return s.create("log-2") },
		func() error { return s.appendSizes("log-2", true, 50, 60) },
		func() error { return s.remove("log-2") },
		func() error { return s.create("log-3") },
		func() error { return s.appendSizes("log-3", false, 5000) },
		func() error { return s.seal("log-3") },
		func() error { return s.appendSizes("log-3", false, 1) },
		func() error { return s.keep("log-1") },
		s.retain,
		s.threeLogs, // in one group, with several batches of each one's producer
		s.checkpoint,
		s.threeLogs,
		func() error { s.close(); return s.open() },
	}
	for range 3 {
		steps = append(steps, s.group, s.group, s.checkpoint)
	}
	for i := range 50 { // each in a block of the journal: its files are used again
		steps = append(steps, func() error { return s.appendSizes("", i%5 == 0, 10*i) })
	}
	for i, step := range append(steps, s.retain, func() error { s.close(); return nil }) {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// A power cut at every single call of a workload that has everything in it:
// with nothing kept of what was not synced, with all, and with what is drawn.
func TestCrashAtEveryCall(t *testing.T) {
	t.Parallel()
	s := newSim(t, 1)
	calls, reused := 0, map[string]int{}
	s.setHook(func(op vfstest.Op) error {
		if !op.Kind.Changes() {
			return nil
		}
		calls++
		if op.Kind == vfstest.OpWriteAt && op.Off == 0 && op.Phase == vfstest.Before {
			reused[op.Name]++
		}
		for kind := range 4 {
			s.after(crashed(s.fs, kind, uint64(op.N))).check(fmt.Sprintf("call %d, %v, crash kind %d", calls, op, kind))
		}
		return nil
	})
	require.NoError(t, s.script())
	require.Greater(t, calls, 250, "the workload makes many calls")
	require.GreaterOrEqual(t, s.widest, 3, "there are groups of several logs")
	require.Greater(t, s.within.done, 20, "others go on while checkpoints are made")
	require.Greater(t, reused["journal/0000.journal"], 2, "journal files are used again")
}

// A power cut at every call of a recovery, and at every few calls of the
// recovery from that: each starts from what the one before left.
func TestCrashAtEveryCallOfRecovery(t *testing.T) {
	t.Parallel()
	s := newSim(t, 2)
	calls, states, deepest := 0, 0, 0
	var inRecovery func(s *sim, kind, stride, depth int)
	inRecovery = func(s *sim, kind, stride, depth int) {
		deepest = max(deepest, depth)
		for at := 1; ; at += stride {
			one := s.after(crashed(s.fs, kind, uint64(at)))
			one.crasher = vfstest.CrashAt(one.fs, at, func(m *vfstest.Mem) *vfstest.Mem { return crashed(m, kind, uint64(at)) })
			one.setHook(one.crasher.Hook)
			err := one.open()
			left := one.crasher.State()
			if left == nil {
				one.close()
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, vfstest.ErrCrashed)
			states++
			one.after(crashed(left, 1, 0)).check(fmt.Sprintf("crash kind %d at call %d of recovery %d", kind, at, depth))
			if depth < 3 {
				next := one.after(left)
				inRecovery(next, kind, stride*5, depth+1)
			}
		}
	}
	s.setHook(func(op vfstest.Op) error {
		if !op.Kind.Changes() || s.engine == nil {
			return nil
		}
		if calls++; calls%191 == 0 {
			kind := calls / 191 % 4
			inRecovery(s.after(crashed(s.fs, kind, uint64(calls))), kind, 1, 1)
		}
		return nil
	})
	require.NoError(t, s.script())
	require.Equal(t, 3, deepest)
	require.Greater(t, states, 500)
	t.Logf("%d states", states)
}

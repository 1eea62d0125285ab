package commitlogtest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// A Reopen opens the engine that lives in dir, with [commitlog.DefaultLimits]:
// a new one if dir is empty, as it is at first. The engine takes its time from
// now, unless its time is not its own. The function close closes it; t.Cleanup
// closes it too, if the test did not.
type Reopen func(t *testing.T, dir string, now func() time.Time) (engine commitlog.Engine, close func() error)

// RunReopen holds an engine that outlives its process to what the contract says
// of durability, as far as an orderly end shows it, and includes [RunClose].
func RunReopen(t *testing.T, open Reopen) {
	for _, sub := range []struct {
		name string
		run  func(*testing.T, *reopener)
	}{
		{"KeepsWhatWasAcked", testReopenKeeps},
		{"KeepsEmptyLogs", testReopenEmpty},
		{"OffsetsGoOn", testReopenOffsets},
		{"TimeNeverGoesBack", testReopenTime},
		{"KeepsTheOutcomesOfAClose", testReopenOutcomes},
		{"KeepsProducers", testReopenProducers},
		{"KeepsTheOrderOfProducers", testReopenProducerWindow},
		{"ForgetsSilentProducers", testReopenSilentProducer},
		{"RetentionByAge", testReopenRetention},
		{"KeepsTrimsAndSettings", testReopenLifecycle},
		{"KeepsDeletes", testReopenDelete},
		{"FindsTimes", testReopenFindTime},
		{"RandomCallsAgreeWithSlices", testReopenModel},
	} {
		t.Run(sub.name, func(t *testing.T) { sub.run(t, newReopener(t, open)) })
	}
	t.Run("Close", func(t *testing.T) {
		RunClose(t, func(t *testing.T) (commitlog.Engine, func() error) { return open(t, t.TempDir(), time.Now) })
	})
}

// A reopener has an engine open in a directory, and a clock for it.
type reopener struct {
	commitlog.Engine
	t     *testing.T
	open  Reopen
	dir   string
	clock atomic.Int64 // what is added to the time
	close func() error
}

func newReopener(t *testing.T, open Reopen) *reopener {
	r := &reopener{t: t, open: open, dir: t.TempDir()}
	r.Engine, r.close = open(t, r.dir, r.now)
	return r
}

func (r *reopener) now() time.Time { return time.Now().Add(time.Duration(r.clock.Load())) }

// reopen closes the engine and opens it again. Handles of logs are void.
func (r *reopener) reopen() {
	r.t.Helper()
	require.NoError(r.t, r.close())
	r.Engine, r.close = r.open(r.t, r.dir, r.now)
}

// Goal: all that was acked is there after each of several ends: values of every
// size, headers, times, batches, in every log, under the same identity.
func testReopenKeeps(t *testing.T, r *reopener) {
	m := newModel(t, r)
	for _, name := range m.names {
		log := m.open(r, name)
		l := commitlog.DefaultLimits()
		for _, b := range []commitlog.Batch{
			batch("a"), batch(""), numbered(l.BatchRecords), one(fill(l.ValueBytes)), one(nil, headerBytes(l.HeaderBytes)...),
			batchBytes(l.BatchBytes), one([]byte("z"), commitlog.Header{}, commitlog.Header{Name: "h"}, commitlog.Header{Name: "h"}),
		} {
			ack := mustAppend(t, log, b)[0]
			m.logs[name].append(b, ack)
		}
	}
	m.verify(r)
	for range 3 {
		r.reopen()
		m.verify(r)
	}
}

// Goal: logs without a record, the default and those that were just created,
// are there with their identity after an end, and take records then.
func testReopenEmpty(t *testing.T, r *reopener) {
	names := []string{""}
	if r.Capabilities().NamedLogs {
		names = append(names, "a", "A", "a/b")
	}
	ids := map[string]string{}
	for _, name := range names {
		ids[name] = namedLog(t, r, name).ID()
	}
	for range 2 {
		r.reopen()
		for _, name := range names {
			log := mustLog(t, r, name)
			require.Equal(t, ids[name], log.ID())
			require.Equal(t, commitlog.Bounds{}, log.Bounds())
		}
		if len(names) > 1 {
			requireNotFound(t, r, "b")
		}
	}
	for _, name := range names {
		require.Zero(t, mustAppend(t, mustLog(t, r, name), batch("a"))[0].First)
	}
}

// Goal: after an end, offsets go on where they were: the bounds are there at
// once, an expected offset is judged by them, the tail is where it was.
func testReopenOffsets(t *testing.T, r *reopener) {
	var want []string
	for i := range 5 {
		log := mustLog(t, r, "")
		require.Equal(t, commitlog.Bounds{Next: uint64(len(want))}, log.Bounds())
		if r.Capabilities().ExpectedOffset {
			_, err := log.Append(patient(t), expecting(uint64(len(want)+1), batch("never")))
			requireMismatch(t, err, uint64(len(want)+1), uint64(len(want)))
			mustAppend(t, log, expecting(uint64(len(want)), batch(fmt.Sprint(i))))
		} else {
			mustAppend(t, log, batch(fmt.Sprint(i)))
		}
		mustAppend(t, log, batch("x", "y"))
		want = append(want, fmt.Sprint(i), "x", "y")
		requireValues(t, log, want...)
		r.reopen()
	}
	run := mustRead(t, mustLog(t, r, ""), 0)
	require.True(t, run.Tail)
}

// Goal: when the clock goes back, while the engine runs or between an end and a
// start, the times of a log stand still and do not follow; ack and record agree.
func testReopenTime(t *testing.T, r *reopener) {
	names := []string{""}
	if r.Capabilities().NamedLogs {
		names = append(names, "a")
	}
	last := map[string]time.Time{}
	for i, step := range []time.Duration{0, -time.Hour, -2 * time.Hour, time.Hour, -24 * time.Hour, 0} {
		r.clock.Store(int64(step))
		for _, name := range names {
			log := namedLog(t, r, name)
			ack := mustAppend(t, log, batch(fmt.Sprint(i)))[0]
			require.False(t, ack.Time.Before(last[name]), "ack %+v after %v", ack, last[name])
			last[name] = ack.Time
			records := mustReadAll(t, log)
			require.True(t, records[i].Time.Equal(ack.Time), "record has %v, its ack %v", records[i].Time, ack.Time)
		}
		if i%2 == 1 {
			r.reopen()
		}
	}
}

// Goal: appends that an end overtakes have told the truth: what they acked is
// there at the next start, what they said was not appended is not.
func testReopenOutcomes(t *testing.T, r *reopener) {
	const callers = 8
	log := mustLog(t, r, "")
	ctx := patient(t)
	outcomes := make([][]error, callers)
	together(t, callers+1, func(c int) error {
		if c == callers {
			if err := waitAndRead(ctx, log, 30); err != nil {
				return err
			}
			return r.close()
		}
		for i := 0; ; i++ {
			_, err := log.Append(ctx, batch(fmt.Sprint(c, i), "rest"))
			outcomes[c] = append(outcomes[c], err)
			if err != nil {
				return onlyClosed(err)
			}
		}
	})
	r.Engine, r.close = r.open(t, r.dir, r.now)
	records := mustReadAll(t, mustLog(t, r, ""))
	found := map[string]int{}
	for i, rec := range records {
		if i%2 == 1 {
			require.Equal(t, "rest", string(rec.Value), "a batch is not whole at %d", i)
			continue
		}
		found[string(rec.Value)]++
	}
	require.Zero(t, len(records)%2, "the last batch is not whole")
	for c := range outcomes {
		for i, err := range outcomes[c] {
			value := fmt.Sprint(c, i)
			require.NoError(t, checkOutcome(err, found[value]), value)
		}
	}
}

// Goal: over many lives, each of a few random calls, the engine holds what the
// model does.
func testReopenModel(t *testing.T, r *reopener) {
	m := newModel(t, r)
	for range 25 {
		for range m.rand.IntN(30) {
			m.step(r)
		}
		r.reopen()
		m.verify(r)
	}
}

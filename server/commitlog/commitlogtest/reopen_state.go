package commitlogtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// Goal: what a log remembers of its producers is there after several ends, also
// when none of their records is: replays, what is forgotten, reused, fenced, and
// the next sequence.
func testReopenProducers(t *testing.T, r *reopener) {
	if !r.Capabilities().Producers {
		return
	}
	window := r.Capabilities().Dedup.Acks
	var batches []commitlog.Batch
	for seq := range uint64(window + 2) {
		batches = append(batches, by("p", 4, seq, []string{fmt.Sprint(seq), "x", "y"}[:seq%3+1]...))
	}
	log := mustLog(t, r, "")
	acks := mustAppend(t, log, batches...)
	for life := range 4 {
		log = mustLog(t, r, "")
		for _, seq := range []int{2, 3, len(acks) / 2, len(acks) - 1} {
			if seq >= len(acks)-window {
				requireReplay(t, log, acks[seq], batches[seq])
			}
		}
		require.EqualValues(t, len(acks), refused[*commitlog.SequenceForgottenError](t, log, batches[1]).Expected)
		refused[*commitlog.SequenceReusedError](t, log, by("p", 4, uint64(len(acks)-1), "other"))
		require.EqualValues(t, 4, refused[*commitlog.FencedError](t, log, by("p", 3, 0, "never")).Epoch)
		gap := refused[*commitlog.SequenceGapError](t, log, by("p", 4, uint64(len(acks)+1), "never"))
		require.Equal(t, commitlog.SequenceGapError{Epoch: 4, Expected: uint64(len(acks))}, *gap)
		requireReplay(t, log, acks[len(acks)-1], batches[len(acks)-1])
		if r.Capabilities().Trim {
			mustTrim(t, log, []uint64{0, 7, log.Bounds().Next - 1, log.Bounds().Next}[life])
		}
		r.reopen()
	}
	log = mustLog(t, r, "")
	next := by("p", 4, uint64(len(acks)), "next")
	ack := mustAppend(t, log, next)[0]
	mustAppend(t, log, by("p", 5, 0, "epoch"))
	r.reopen()
	log = mustLog(t, r, "")
	refused[*commitlog.FencedError](t, log, by("p", 4, uint64(len(acks)+1), "never"))
	mustAppend(t, log, by("p", 5, 1, "goes on"))
	require.EqualValues(t, ack.Next+2, log.Bounds().Next)
}

// Goal: which producers are forgotten for others does not depend on an end
// between: those that appended nothing for longest.
func testReopenProducerWindow(t *testing.T, r *reopener) {
	if !r.Capabilities().Producers {
		return
	}
	producers := r.Capabilities().Dedup.Producers
	id := func(i int) string { return fmt.Sprint("p", i) }
	var batches []commitlog.Batch
	for i := range producers {
		batches = append(batches, by(id(i), 0, 0, id(i)))
	}
	acks := mustAppend(t, mustLog(t, r, ""), append(batches, by(id(0), 0, 1, "active again"))...)
	r.reopen()
	log := mustLog(t, r, "")
	mustAppend(t, log, by("one more", 0, 0, "a"), by("two more", 0, 0, "a"))
	for _, i := range []int{1, 2} {
		refused[*commitlog.SequenceForgottenError](t, log, by(id(i), 0, 1, "never"))
	}
	for _, i := range []int{0, 3, producers - 1} {
		requireReplay(t, log, acks[i], by(id(i), 0, 0, id(i)))
	}
}

// Goal: a producer is remembered for as long as the engine says after its latest
// batch, and not for longer, with or without an end between.
func testReopenSilentProducer(t *testing.T, r *reopener) {
	if !r.Capabilities().Producers {
		return
	}
	age := r.Capabilities().Dedup.MaxAge
	log := mustLog(t, r, "")
	silent := mustAppend(t, log, by("silent", 1, 0, "a"), by("silent", 1, 1, "b"))
	active := mustAppend(t, log, by("active", 1, 0, "c"))
	r.clock.Store(int64(age - time.Hour))
	requireReplay(t, log, silent[1], by("silent", 1, 1, "b"))
	mustAppend(t, log, by("active", 1, 1, "d"))
	r.reopen()
	log = mustLog(t, r, "")
	requireReplay(t, log, silent[0], by("silent", 1, 0, "a"))
	r.clock.Store(int64(age + time.Hour))
	for range 2 {
		for _, seq := range []uint64{1, 2} {
			require.Zero(t, refused[*commitlog.SequenceForgottenError](t, log, by("silent", 1, seq, "b")).Expected)
		}
		requireReplay(t, log, active[0], by("active", 1, 0, "c"))
		r.reopen()
		log = mustLog(t, r, "")
	}
	mustAppend(t, log, by("silent", 0, 0, "as if new"), by("active", 1, 2, "e"))
	requireValues(t, log, "a", "b", "c", "d", "as if new", "e")
}

// Goal: a log obeys its bound of age by itself, soon, to the record, also when
// nothing is appended, until nothing is left; next offset, last time and
// producers stay, through ends between.
func testReopenRetention(t *testing.T, r *reopener) {
	if !r.Capabilities().Trim {
		return
	}
	log := mustPut(t, r, aName(r), keeping(commitlog.Retention{MaxAge: time.Hour}))
	becomes := func(first uint64) {
		t.Helper()
		require.Eventually(t, func() bool { return log.Bounds().First >= first }, patience, time.Millisecond)
		require.Equal(t, first, log.Bounds().First)
		if first > 0 {
			requireTrimmed(t, log, first-1)
		}
	}
	reopen := func() {
		r.reopen()
		log = mustLog(t, r, aName(r))
	}
	p := func(seq uint64, values ...string) commitlog.Batch {
		if !r.Capabilities().Producers {
			return batch(values...)
		}
		return by("p", 0, seq, values...)
	}
	mustAppend(t, log, p(0, "a", "b", "c"))
	r.clock.Store(int64(40 * time.Minute))
	mustAppend(t, log, p(1, "d"))
	becomes(0)
	r.clock.Store(int64(70 * time.Minute))
	becomes(3)
	requireValues(t, log, "d")
	last := mustAppend(t, log, p(2, "e", "f"))[0]
	reopen()
	becomes(3)
	requireValues(t, log, "d", "e", "f")
	r.clock.Store(int64(110 * time.Minute))
	becomes(4)
	requireValues(t, log, "e", "f")
	r.clock.Store(int64(3 * time.Hour))
	becomes(6)
	for life := range 2 {
		info := mustInfo(t, log)
		require.Equal(t, commitlog.Bounds{First: 6, Next: 6}, info.Bounds)
		require.Zero(t, info.FirstTime)
		require.True(t, info.LastTime.Equal(last.Time), "life %d: %v, not %v", life, info.LastTime, last.Time)
		if r.Capabilities().Producers {
			requireReplay(t, log, last, p(2, "e", "f"))
		}
		reopen()
	}
	require.EqualValues(t, 6, mustAppend(t, log, p(3, "g"))[0].First)
}

// Goal: trims and settings are there after an end, and so is all that Info says.
func testReopenLifecycle(t *testing.T, r *reopener) {
	can := r.Capabilities()
	if !can.Trim {
		return
	}
	name := aName(r)
	log := mustPut(t, r, name, keeping(commitlog.Retention{MaxAge: 1000 * time.Hour, MaxBytes: 1 << 40}))
	all := uneven(t, log)
	for _, first := range []uint64{0, 1, 3, 9, 10} {
		mustTrim(t, log, first)
		if first == 9 && can.Seal {
			mustPut(t, r, name, sealed(true))
		}
		before := mustInfo(t, log)
		for range 2 {
			r.reopen()
			log = mustLog(t, r, name)
			require.Equal(t, before.Bounds, log.Bounds())
			after := mustInfo(t, log)
			after.Bytes = before.Bytes
			require.NoError(t, sameInfo(before, after))
			for offset := range first {
				requireTrimmed(t, log, offset)
			}
			if first < 10 {
				requireRun(t, mustRead(t, log, first), all[first:])
			}
		}
		require.Equal(t, first, mustTrim(t, log, 0), "a trim is never undone")
	}
	if can.Seal {
		require.EqualValues(t, 10, refused[*commitlog.LogSealedError](t, log, batch("never")).Next)
		_, err := log.Wait(patient(t), 10)
		requireSealed(t, err, 10)
		_, _, err = r.Put(patient(t), name, sealed(false))
		require.ErrorIs(t, err, commitlog.ErrUnseal)
	}
}

// Goal: deleted logs stay deleted after an end, and their names go on behind
// them, with another identity, whether they were taken again before or after it.
func testReopenDelete(t *testing.T, r *reopener) {
	can := r.Capabilities()
	if !can.Trim || !can.NamedLogs {
		return
	}
	ids := map[string]bool{}
	for i, name := range []string{"a", "b", "c"} {
		log := namedLog(t, r, name)
		mustAppend(t, log, numbered(5+i))
		ids[log.ID()] = true
		require.NoError(t, r.Delete(patient(t), name))
	}
	mustAppend(t, namedLog(t, r, "b"), batch("b"))
	namedLog(t, r, "c")
	for range 2 {
		r.reopen()
		requireNotFound(t, r, "a")
		require.Equal(t, []string{"", "b", "c"}, pages(t, r, "", 2))
		requireValues(t, mustLog(t, r, "b"), "b")
		require.Equal(t, commitlog.Bounds{First: 6, Next: 7}, mustLog(t, r, "b").Bounds())
		require.Equal(t, commitlog.Bounds{First: 7, Next: 7}, mustLog(t, r, "c").Bounds())
	}
	log, created, err := r.Put(patient(t), "a", commitlog.Change{})
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, commitlog.Bounds{First: 5, Next: 5}, log.Bounds())
	require.EqualValues(t, 5, mustAppend(t, log, batch("a"))[0].First)
	for _, name := range []string{"a", "b", "c"} {
		require.NotContains(t, ids, mustLog(t, r, name).ID())
	}
	require.NoError(t, r.Delete(patient(t), "c"))
	r.reopen()
	requireNotFound(t, r, "c")
	requireValues(t, mustLog(t, r, "a"), "a")
	require.Equal(t, commitlog.Bounds{First: 7, Next: 7}, namedLog(t, r, "c").Bounds())
}

// Goal: times are found after an end as before it, also where the clock stood
// still, jumped ahead or went back.
func testReopenFindTime(t *testing.T, r *reopener) {
	if !r.Capabilities().FindTime {
		return
	}
	log := mustLog(t, r, "")
	for i, step := range []time.Duration{0, time.Hour, 2 * time.Hour, -time.Hour, 0, 3 * time.Hour, 1000 * time.Hour} {
		r.clock.Store(int64(step))
		mustAppend(t, log, numbered(i%3+1), batch("more"))
		requireTimes(t, log, mustReadAll(t, log))
		if i%2 == 0 {
			r.reopen()
			log = mustLog(t, r, "")
			requireTimes(t, log, mustReadAll(t, log))
		}
	}
	if r.Capabilities().Trim {
		mustTrim(t, log, 5)
		r.reopen()
		log = mustLog(t, r, "")
		requireTimes(t, log, mustReadAll(t, log))
	}
}

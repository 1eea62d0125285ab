package commitlogtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func trimTests() []subtest {
	return []subtest{
		{"Exact", onTrim(testTrimExact)},
		{"NeverBackAndNeverBeyond", onTrim(testTrimBounds)},
		{"EmptyLogGoesOn", onTrim(testTrimEmpty)},
		{"ReadersGetRightBytesOrTheBounds", onTrim(testTrimReaders)},
		{"AmidAppends", onTrim(testTrimAppends)},
		{"RetentionByBytes", onTrim(testRetentionBytes)},
	}
}

// onTrim makes a subtest of a new engine that trims; of one that does not, that
// it refuses everything that removes records.
func onTrim(run func(*testing.T, commitlog.Engine)) func(*testing.T, Open) {
	return func(t *testing.T, open Open) {
		e := open(t)
		if e.Capabilities().Trim {
			run(t, e)
			return
		}
		log := namedLog(t, e, "")
		mustAppend(t, log, batch("a"))
		_, err := log.Trim(patient(t), 1)
		requireUnsupported(t, err)
		_, _, err = e.Put(patient(t), "", keeping(commitlog.Retention{MaxBytes: 1}))
		requireUnsupported(t, err)
		requireUnsupported(t, e.Delete(patient(t), ""))
		requireValues(t, log, "a")
	}
}

// mustTrim trims and holds what comes back to the bounds.
func mustTrim(t *testing.T, log commitlog.CommitLog, first uint64) uint64 {
	t.Helper()
	got, err := log.Trim(patient(t), first)
	require.NoError(t, err)
	require.Equal(t, log.Bounds().First, got)
	return got
}

// requireTrimmed fails the test unless a read at the offset says that it was
// trimmed, with the bounds.
func requireTrimmed(t *testing.T, log commitlog.CommitLog, offset uint64) {
	t.Helper()
	run, err := log.Read(patient(t), offset, commitlog.ReadLimit{}, nil)
	var outside *commitlog.OffsetError
	require.ErrorAs(t, err, &outside)
	require.Equal(t, commitlog.OffsetError{Offset: offset, Bounds: log.Bounds()}, *outside)
	require.True(t, outside.Trimmed())
	require.Empty(t, run.Envelopes)
}

// Goal: a trim removes just what is below its offset, also inside a batch: reads
// below say so with the new bounds, reads from there return what they did.
func testTrimExact(t *testing.T, e commitlog.Engine) {
	log := namedLog(t, e, aName(e))
	all := uneven(t, log)
	for first := range uint64(len(all)) {
		require.Equal(t, first, mustTrim(t, log, first))
		require.Equal(t, commitlog.Bounds{First: first, Next: uint64(len(all))}, log.Bounds())
		for offset := range uint64(len(all)) {
			if offset < first {
				requireTrimmed(t, log, offset)
				continue
			}
			_, run, err := read(log, offset, commitlog.ReadLimit{})
			require.NoError(t, err)
			requireRun(t, run, all[offset:])
		}
		b, err := log.Wait(patient(t), 0)
		require.NoError(t, err, "what was trimmed is not waited for")
		require.Equal(t, log.Bounds(), b)
		info := mustInfo(t, log)
		require.Equal(t, log.Bounds(), info.Bounds)
		require.True(t, info.FirstTime.Equal(all[first].Time))
	}
}

// Goal: a trim beyond the end removes all and nothing that comes later; one
// below the first offset changes nothing.
func testTrimBounds(t *testing.T, e commitlog.Engine) {
	log := namedLog(t, e, aName(e))
	for _, first := range []uint64{0, 1, 1<<64 - 1} {
		require.Zero(t, mustTrim(t, log, first), "of an empty log")
	}
	mustAppend(t, log, numbered(5))
	require.EqualValues(t, 3, mustTrim(t, log, 3))
	for _, lower := range []uint64{0, 2, 3} {
		require.EqualValues(t, 3, mustTrim(t, log, lower))
	}
	requireValues(t, log, "3", "4")
	for _, beyond := range []uint64{5, 6, 1 << 63, 1<<64 - 1} {
		require.EqualValues(t, 5, mustTrim(t, log, beyond))
	}
	mustAppend(t, log, batch("a"))
	require.Equal(t, commitlog.Bounds{First: 5, Next: 6}, log.Bounds())
	requireValues(t, log, "a")
}

// Goal: a log without records keeps its place: the next offset, the last time,
// its expected offset; its bytes are gone for readers.
func testTrimEmpty(t *testing.T, e commitlog.Engine) {
	log := namedLog(t, e, aName(e))
	last := mustAppend(t, log, batch("a"), batch("b", "c"))[1]
	mustTrim(t, log, 3)
	require.Equal(t, commitlog.Bounds{First: 3, Next: 3}, log.Bounds())
	for offset := range uint64(3) {
		requireTrimmed(t, log, offset)
	}
	_, err := log.Read(patient(t), 3, commitlog.ReadLimit{}, nil)
	var outside *commitlog.OffsetError
	require.ErrorAs(t, err, &outside)
	require.False(t, outside.Trimmed())

	info := mustInfo(t, log)
	require.Equal(t, log.Bounds(), info.Bounds)
	require.True(t, info.FirstTime.IsZero(), "first time %v", info.FirstTime)
	require.True(t, info.LastTime.Equal(last.Time), "last time %v, not %v", info.LastTime, last.Time)
	next := batch("d")
	if e.Capabilities().ExpectedOffset {
		next = expecting(3, next)
	}
	ack := mustAppend(t, log, next)[0]
	require.EqualValues(t, 3, ack.First)
	require.False(t, ack.Time.Before(last.Time))
	requireValues(t, log, "d")
}

// Goal: readers in the middle of what a trim removes get the right bytes or are
// told the new bounds, and never anything else.
func testTrimReaders(t *testing.T, e commitlog.Engine) {
	log := namedLog(t, e, aName(e))
	const batches, size = 40, 100
	for range batches {
		mustAppend(t, log, numbered(size))
	}
	const total = batches * size
	trimmed := make(chan struct{})
	together(t, 5, func(i int) error {
		if i == 4 {
			defer close(trimmed)
			for first := uint64(1); first <= total; first += 37 {
				if _, err := log.Trim(context.Background(), first); err != nil {
					return err
				}
			}
			_, err := log.Trim(context.Background(), total)
			return err
		}
		next := uint64(i * size)
		for {
			records, run, err := read(log, next, commitlog.ReadLimit{Records: 1 + i*40})
			var outside *commitlog.OffsetError
			switch {
			case errors.As(err, &outside):
				b := outside.Bounds
				if b.Next != total || !outside.Trimmed() && next < total || b.First > log.Bounds().First {
					return fmt.Errorf("a read at %d: %w", next, err)
				}
				if next = b.First; next == total {
					return nil
				}
			case err != nil:
				return err
			default:
				if err := checkNumbers(records, size); err != nil {
					return err
				}
				if next = run.Next; next == total {
					select {
					case <-trimmed:
						return nil
					default:
						next = log.Bounds().First
					}
				}
			}
		}
	})
	require.Equal(t, commitlog.Bounds{First: total, Next: total}, log.Bounds())
}

// Goal: a log that is trimmed while it grows loses nothing above the trim, and
// nobody sees its bounds cross or go back.
func testTrimAppends(t *testing.T, e commitlog.Engine) {
	log := namedLog(t, e, aName(e))
	const batches, size, keep = 100, 10, 25
	ctx := patient(t)
	together(t, 3, func(i int) error {
		switch i {
		case 0:
			for range batches {
				if _, err := log.Append(ctx, numbered(size)); err != nil {
					return err
				}
			}
			return nil
		case 1:
			for next := uint64(keep); next < batches*size; {
				b, err := log.Wait(ctx, next)
				if err == nil {
					_, err = log.Trim(ctx, b.Next-keep)
				}
				if err != nil {
					return err
				}
				next = b.Next
			}
			return nil
		}
		for last := (commitlog.Bounds{}); last.Next < batches*size; {
			b, err := log.Wait(ctx, last.Next)
			if err != nil || b.First < last.First || b.Next < last.Next || b.First > b.Next {
				return fmt.Errorf("bounds %+v after %+v, error %w", b, last, err)
			}
			last = b
		}
		return nil
	})
	require.EqualValues(t, batches*size, log.Bounds().Next)
	require.Equal(t, uint64(batches*size-keep), mustTrim(t, log, batches*size-keep))
	records := mustReadAll(t, log)
	require.Len(t, records, keep)
	require.NoError(t, checkNumbers(records, size))
}

// Goal: a log obeys its bound of bytes by itself, soon, from the oldest record
// on, and no further than told; what is left reads as before.
func testRetentionBytes(t *testing.T, e commitlog.Engine) {
	log := namedLog(t, e, aName(e))
	const most, batches, size = 64 << 10, 60, 4
	mustPut(t, e, aName(e), keeping(commitlog.Retention{MaxBytes: most}))
	var last commitlog.Ack
	for range batches {
		b := numbered(size)
		for i := range b.Records {
			b.Records[i].Headers = []commitlog.Header{{Name: "fill", Value: fill(1 << 10)}}
		}
		last = mustAppend(t, log, b)[0]
	}
	const fit = most / (1 << 10) // records, at most
	require.Eventually(t, func() bool {
		b := log.Bounds()
		return b.Next-b.First < fit
	}, patience, time.Millisecond)
	b := log.Bounds()
	require.Equal(t, last.Next, b.Next)
	require.Greater(t, b.Next-b.First, uint64(fit/2), "more was removed than had to be")
	requireTrimmed(t, log, b.First-1)
	require.NoError(t, checkNumbers(mustReadAll(t, log), size))
	require.True(t, mustInfo(t, log).LastTime.Equal(last.Time))
}

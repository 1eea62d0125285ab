package commitlogtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func expectedTests() []subtest {
	return []subtest{
		{"MetOrNot", onExpecting(testExpected)},
		{"SeveralInOneCall", onExpecting(testExpectedSeveral)},
		{"MismatchEndsTheCall", onExpecting(testExpectedMismatch)},
		{"CompareAndAppend", onExpecting(testCompareAndAppend)},
	}
}

// onExpecting makes a subtest of the default log of a new engine with expected
// offsets; of an engine without, that it refuses them.
func onExpecting(run func(*testing.T, commitlog.CommitLog)) func(*testing.T, Open) {
	return func(t *testing.T, open Open) {
		e := open(t)
		if !e.Capabilities().ExpectedOffset {
			testExpectedUnsupported(t, e)
			return
		}
		run(t, namedLog(t, e, ""))
	}
}

// Goal: an engine without expected offsets refuses them, also one that would
// be met, and appends nothing.
func testExpectedUnsupported(t *testing.T, e commitlog.Engine) {
	log := namedLog(t, e, "")
	for _, offset := range []uint64{0, 1} {
		acks, err := log.Append(patient(t), expecting(offset, batch("never")))
		var unsupported *commitlog.UnsupportedError
		require.ErrorAs(t, err, &unsupported)
		require.NotEmpty(t, unsupported.Capability)
		require.Empty(t, acks)
	}
	mustAppend(t, log, batch("a"))
	requireValues(t, log, "a")
}

func requireMismatch(t *testing.T, err error, expected, next uint64) {
	t.Helper()
	var mismatch *commitlog.OffsetMismatchError
	require.ErrorAs(t, err, &mismatch)
	require.Equal(t, commitlog.OffsetMismatchError{Expected: expected, Next: next}, *mismatch)
}

// Goal: a batch that expects the next offset is appended; one that expects any
// other is refused with both numbers and leaves no trace.
func testExpected(t *testing.T, log commitlog.CommitLog) {
	refuse := func(expected, next uint64) {
		t.Helper()
		acks, err := log.Append(patient(t), expecting(expected, batch("never", "never")))
		requireMismatch(t, err, expected, next)
		require.Empty(t, acks)
		require.Equal(t, next, log.Bounds().Next)
	}
	refuse(1, 0)
	refuse(math.MaxUint64, 0)
	mustAppend(t, log, expecting(0, batch("a")))
	refuse(0, 1)
	refuse(2, 1)
	mustAppend(t, log, expecting(1, batch("b", "c")))
	refuse(1, 3) // the offsets of a batch, first and inside
	refuse(2, 3)
	mustAppend(t, log, batch("d"))
	mustAppend(t, log, expecting(4, batch("e")))
	requireValues(t, log, "a", "b", "c", "d", "e")
}

// Goal: a batch may expect the offset that the batches before it in the same
// call lead to.
func testExpectedSeveral(t *testing.T, log commitlog.CommitLog) {
	mustAppend(t, log, expecting(0, batch("a", "b")), batch("c"), expecting(3, batch("d")), expecting(4, batch("e")))
	requireValues(t, log, "a", "b", "c", "d", "e")
}

// Goal: a mismatch ends the call like every failure, and what it reports as
// next counts the batches before it.
func testExpectedMismatch(t *testing.T, log commitlog.CommitLog) {
	good := []commitlog.Batch{expecting(0, batch("a")), batch("b")}
	acks, err := log.Append(patient(t), append(good, expecting(0, batch("never")), batch("never"))...)
	requireMismatch(t, err, 0, 2)
	require.NoError(t, checkAcks(log, acks, good))
	mustAppend(t, log, expecting(2, batch("c")))
	requireValues(t, log, "a", "b", "c")
}

// Goal: writers that each read a counter from the log and append its successor,
// on condition that nobody came between, count without a gap or a repetition.
func testCompareAndAppend(t *testing.T, log commitlog.CommitLog) {
	const writers, each = 8, 15
	ctx := patient(t)
	together(t, writers, func(w int) error {
		for done := 0; done < each; {
			next := log.Bounds().Next
			err := increment(ctx, log, next)
			var mismatch *commitlog.OffsetMismatchError
			switch {
			case err == nil:
				done++
			case !errors.As(err, &mismatch):
				return fmt.Errorf("writer %d: %w", w, err)
			case mismatch.Expected != next || mismatch.Next <= next:
				return fmt.Errorf("writer %d expected %d and got %+v", w, next, *mismatch)
			}
		}
		return nil
	})
	records := mustReadAll(t, log)
	require.Len(t, records, writers*each)
	for i, r := range records {
		require.Equal(t, fmt.Sprint(i), string(r.Value))
	}
}

// increment appends the successor of the number in the last record before next,
// if next is still the next offset.
func increment(ctx context.Context, log commitlog.CommitLog, next uint64) error {
	count := 0
	if next > 0 {
		last, _, err := read(log, next-1, commitlog.ReadLimit{Records: 1})
		if err != nil {
			return err
		}
		if _, err := fmt.Sscan(string(last[0].Value), &count); err != nil {
			return err
		}
		count++
	}
	b := []commitlog.Batch{expecting(next, batch(fmt.Sprint(count)))}
	acks, err := log.Append(ctx, b...)
	if err != nil {
		return err
	}
	if err := checkAcks(log, acks, b); err != nil {
		return err
	}
	if acks[0].First != next {
		return fmt.Errorf("expected offset %d, got %+v", next, acks[0])
	}
	return nil
}

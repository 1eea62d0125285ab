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

func appendTests() []subtest {
	return []subtest{
		{"OffsetsStartAtZeroAndAreContiguous", onDefault(testOffsets)},
		{"EmptyValueIsARecord", onDefault(testEmptyValue)},
		{"HeadersKeepOrderAndDuplicates", onDefault(testHeaders)},
		{"ProducedOffsetAndTimeAreIgnored", onDefault(testIgnoredFields)},
		{"TimeIsThatOfTheAckAndNeverDecreases", onDefault(testTimes)},
		{"BatchIsContiguous", onDefault(testBatch)},
		{"BatchesAreInOrder", onDefault(testBatches)},
		{"FirstFailureEndsTheCall", onDefault(testFirstFailure)},
		{"NoBatchesIsNothing", onDefault(testNoBatches)},
		{"CancelledBefore", onDefault(testCancelledBefore)},
	}
}

// Goal: a new log is empty, its first record gets offset 0, each later one the
// next number, and the bounds follow.
func testOffsets(t *testing.T, log commitlog.CommitLog) {
	require.Equal(t, commitlog.Bounds{}, log.Bounds())
	for i := range uint64(5) {
		ack := mustAppend(t, log, batch(fmt.Sprint(i)))[0]
		require.Equal(t, i, ack.First)
		require.Equal(t, commitlog.Bounds{Next: i + 1}, log.Bounds())
	}
	requireValues(t, log, "0", "1", "2", "3", "4")
}

// Goal: a record without a value takes an offset and reads back, alone, between
// others and as a whole batch.
func testEmptyValue(t *testing.T, log commitlog.CommitLog) {
	mustAppend(t, log, commitlog.Batch{Records: []commitlog.Record{{}}})
	mustAppend(t, log, batch("a", "", "b"))
	mustAppend(t, log, commitlog.Batch{Records: []commitlog.Record{{Value: []byte{}}, {}}})
	requireValues(t, log, "", "a", "", "b", "", "")
}

// Goal: headers come back as they were given: in order, with duplicates, with
// empty names and values, with any bytes.
func testHeaders(t *testing.T, log commitlog.CommitLog) {
	sent, kept := recordsWithHeaders(), recordsWithHeaders()
	ack := mustAppend(t, log, commitlog.Batch{Records: sent})[0]
	for i, got := range mustReadAll(t, log) {
		want := kept[i]
		want.Offset, want.Time = uint64(i), ack.Time
		require.NoError(t, same(want, got))
	}
}

func recordsWithHeaders() []commitlog.Record {
	return []commitlog.Record{
		{Value: []byte("with"), Headers: []commitlog.Header{
			{Name: "b", Value: []byte("2")},
			{Name: "a", Value: []byte("1")},
			{Name: "b", Value: []byte("2")},
			{Name: "", Value: []byte{0, 0xff}},
			{Name: "naïve ключ", Value: nil},
			{},
			{Name: "b", Value: []byte("3")},
		}},
		{Value: []byte("without")},
		{Headers: []commitlog.Header{{}}},
	}
}

// Goal: what the caller wrote into Offset and Time has no effect.
func testIgnoredFields(t *testing.T, log commitlog.CommitLog) {
	far := time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC)
	ack := mustAppend(t, log, commitlog.Batch{Records: []commitlog.Record{
		{Offset: 1 << 40, Time: far, Value: []byte("a")},
		{Offset: 7, Time: time.Unix(0, 0), Value: []byte("b")},
	}})[0]
	require.Zero(t, ack.First)
	require.NotEqual(t, far, ack.Time.UTC())
	for i, r := range mustReadAll(t, log) {
		require.EqualValues(t, i, r.Offset)
		require.True(t, r.Time.Equal(ack.Time), "record has %v, its ack %v", r.Time, ack.Time)
	}
}

// Goal: every record has the very time of its ack, to the nanosecond, and times
// never decrease along the log.
func testTimes(t *testing.T, log commitlog.CommitLog) {
	var times []time.Time
	for i := range 100 {
		b := numbered(i%3 + 1)
		ack := mustAppend(t, log, b)[0]
		for range b.Records {
			times = append(times, ack.Time)
		}
	}
	last := time.Time{}
	for i, r := range mustReadAll(t, log) {
		require.True(t, r.Time.Equal(times[i]), "record %d has %v, its ack %v", i, r.Time, times[i])
		require.False(t, r.Time.Before(last), "record %d has %v, the one before it %v", i, r.Time, last)
		last = r.Time
	}
}

// Goal: the records of a batch get contiguous offsets in their order, behind
// what was there.
func testBatch(t *testing.T, log commitlog.CommitLog) {
	mustAppend(t, log, batch("before"))
	ack := mustAppend(t, log, numbered(500))[0]
	require.EqualValues(t, 1, ack.First)
	require.EqualValues(t, 501, ack.Next)
	records := mustReadAll(t, log)
	require.Len(t, records, 501)
	for i, r := range records[1:] {
		require.Equal(t, fmt.Sprint(i), string(r.Value))
	}
}

// Goal: the batches of one call are appended in their order, each with an ack
// of its own.
func testBatches(t *testing.T, log commitlog.CommitLog) {
	acks := mustAppend(t, log, batch("a"), batch("b", "c", "d"), batch(""), batch("e", "f"))
	for i, want := range []uint64{1, 4, 5, 7} {
		require.Equal(t, want, acks[i].Next)
	}
	requireValues(t, log, "a", "b", "c", "d", "", "e", "f")
}

// Goal: the first batch that fails ends the call. Those before it are acked and
// in the log; neither it nor anything after it is, then or later.
func testFirstFailure(t *testing.T, log commitlog.CommitLog) {
	bad := batch("bad", "worse")
	bad.Records[1].Headers = make([]commitlog.Header, commitlog.DefaultLimits().Headers+1)

	good := []commitlog.Batch{batch("a"), batch("b", "c")}
	acks, err := log.Append(patient(t), append(good, bad, batch("never"))...)
	var tooLarge *commitlog.TooLargeError
	require.ErrorAs(t, err, &tooLarge)
	require.NoError(t, checkAcks(log, acks, good))
	require.Equal(t, commitlog.Bounds{Next: 3}, log.Bounds())

	acks, err = log.Append(patient(t), bad, batch("never"))
	require.ErrorAs(t, err, &tooLarge)
	require.Empty(t, acks)

	ack := mustAppend(t, log, batch("d"))[0]
	require.EqualValues(t, 3, ack.First, "a failed batch takes no offset")
	requireValues(t, log, "a", "b", "c", "d")
}

// Goal: a call without batches succeeds and changes nothing.
func testNoBatches(t *testing.T, log commitlog.CommitLog) {
	acks, err := log.Append(patient(t))
	require.NoError(t, err)
	require.Empty(t, acks)
	require.Equal(t, commitlog.Bounds{}, log.Bounds())
}

// Goal: with a context that was cancelled before the call, the result tells the
// truth: an ack, the unknown outcome, or an error after which the record is not
// in the log. In no case does anything else get lost or change place.
func testCancelledBefore(t *testing.T, log commitlog.CommitLog) {
	mustAppend(t, log, batch("before"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := log.Append(ctx, batch("cancelled"))
	if err != nil {
		require.ErrorIs(t, err, context.Canceled)
	}
	mustAppend(t, log, batch("after"))

	var rest []string
	found := 0
	for _, r := range mustReadAll(t, log) {
		if string(r.Value) == "cancelled" {
			found++
		} else {
			rest = append(rest, string(r.Value))
		}
	}
	require.Equal(t, []string{"before", "after"}, rest)
	require.NoError(t, checkOutcome(err, found))
}

// checkOutcome says whether the result of an append is at odds with how often
// its batch is in the log.
func checkOutcome(err error, found int) error {
	switch {
	case err == nil && found != 1:
		return fmt.Errorf("an acked batch is in the log %d times", found)
	case errors.Is(err, commitlog.ErrOutcomeUnknown) && found > 1:
		return fmt.Errorf("a batch is in the log %d times", found)
	case err != nil && !errors.Is(err, commitlog.ErrOutcomeUnknown) && found != 0:
		return fmt.Errorf("a batch that was not appended, by its error, is in the log: %w", err)
	}
	return nil
}

package commitlogtest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func readTests() []subtest {
	return []subtest{
		{"EveryOffset", onDefault(testReadOffsets)},
		{"OutsideTheBounds", onDefault(testReadOutside)},
		{"LimitOfRecords", onDefault(testReadRecords)},
		{"LimitOfBytes", onDefault(testReadBytes)},
		{"TailIsExact", onDefault(testReadTail)},
		{"BufferIsReused", onDefault(testReadBuffer)},
		{"RunIsTheCallers", onDefault(testReadNotAliased)},
		{"LargeRecords", onDefault(testReadLarge)},
		{"LongLog", onDefault(testReadLong)},
	}
}

// uneven appends ten records of different sizes, in batches of different
// sizes, and returns them as they are in the log.
func uneven(t *testing.T, log commitlog.CommitLog) []commitlog.Record {
	t.Helper()
	var values []string
	for i := range 10 {
		values = append(values, strings.Repeat("v", i*i*7%100))
	}
	var all []commitlog.Record
	for _, b := range []commitlog.Batch{batch(values[:1]...), batch(values[1:6]...), batch(values[6:8]...), batch(values[8:]...)} {
		ack := mustAppend(t, log, b)[0]
		for i, r := range b.Records {
			r.Offset, r.Time = ack.First+uint64(i), ack.Time
			all = append(all, r)
		}
	}
	return all
}

// requireRun fails the test unless the run holds just these records.
func requireRun(t *testing.T, run commitlog.Run, want []commitlog.Record) {
	t.Helper()
	got, err := decode(run)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for i := range want {
		require.NoError(t, same(want[i], got[i]))
	}
}

// Goal: from every offset, an unbounded read returns all that follows, whatever
// batches it came in.
func testReadOffsets(t *testing.T, log commitlog.CommitLog) {
	all := uneven(t, log)
	for from := range all {
		_, run, err := read(log, uint64(from), commitlog.ReadLimit{})
		require.NoError(t, err)
		requireRun(t, run, all[from:])
	}
}

// Goal: an offset that is not there fails at once with the bounds, in an empty
// log, at the next offset and far beyond, and does so until it is written.
func testReadOutside(t *testing.T, log commitlog.CommitLog) {
	refuse := func(offset uint64) {
		t.Helper()
		run, err := log.Read(patient(t), offset, commitlog.ReadLimit{Records: 1}, nil)
		var outside *commitlog.OffsetError
		require.ErrorAs(t, err, &outside)
		require.Equal(t, commitlog.OffsetError{Offset: offset, Bounds: log.Bounds()}, *outside)
		require.False(t, outside.Trimmed())
		require.Empty(t, run.Envelopes)
	}
	for _, offset := range []uint64{0, 1, math.MaxInt64, math.MaxUint64} {
		refuse(offset)
	}
	mustAppend(t, log, batch("a", "b"))
	for _, offset := range []uint64{2, 3, 1 << 32, 1<<63 - 1, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
		refuse(offset)
	}
	mustAppend(t, log, batch("c"))
	_, _, err := read(log, 2, commitlog.ReadLimit{})
	require.NoError(t, err)
	refuse(3)
}

// Goal: a limit of records returns just as many, or all there are.
func testReadRecords(t *testing.T, log commitlog.CommitLog) {
	all := uneven(t, log)
	for from := range all {
		for n := 1; n <= len(all)+2; n++ {
			_, run, err := read(log, uint64(from), commitlog.ReadLimit{Records: n})
			require.NoError(t, err)
			requireRun(t, run, all[from:min(from+n, len(all))])
		}
	}
}

// Goal: a limit of bytes returns as many records as fit, to the byte, but at
// least one; with a limit of records too, the one reached first holds.
func testReadBytes(t *testing.T, log commitlog.CommitLog) {
	all := uneven(t, log)
	for from := range all {
		size := 0
		for n := range all[from:] {
			size += commitlog.EnvelopeSize(&all[from+n])
			for _, c := range []struct {
				limit commitlog.ReadLimit
				want  int
			}{
				{commitlog.ReadLimit{Bytes: size}, n + 1},
				{commitlog.ReadLimit{Bytes: size - 1}, max(n, 1)},
				{commitlog.ReadLimit{Bytes: size, Records: n + 2}, n + 1},
				{commitlog.ReadLimit{Bytes: size, Records: max(n, 1)}, max(n, 1)},
			} {
				_, run, err := read(log, uint64(from), c.limit)
				require.NoError(t, err)
				requireRun(t, run, all[from:from+c.want])
			}
		}
		_, run, err := read(log, uint64(from), commitlog.ReadLimit{Bytes: 1})
		require.NoError(t, err)
		requireRun(t, run, all[from:from+1])
	}
}

// Goal: Tail is set by just those reads that end at the log's end, and the same
// read loses it when the log grows.
func testReadTail(t *testing.T, log commitlog.CommitLog) {
	all := uneven(t, log)
	tail := func(from, n int) bool {
		_, run, err := read(log, uint64(from), commitlog.ReadLimit{Records: n})
		require.NoError(t, err)
		return run.Tail
	}
	for from := range all {
		for n := 1; n <= len(all)+1; n++ {
			require.Equal(t, from+n >= len(all), tail(from, n), "%d records from %d of %d", n, from, len(all))
		}
	}
	mustAppend(t, log, batch("more"))
	require.False(t, tail(len(all)-1, 1))
	require.True(t, tail(len(all)-1, 2))
	require.True(t, tail(len(all), 1))
}

// Goal: a run is put into the caller's buffer if that is large enough, whatever
// it held before, and into another if it is not; it is the run alone.
func testReadBuffer(t *testing.T, log commitlog.CommitLog) {
	all := uneven(t, log)
	buf := make([]byte, 0, 256<<10)
	for from := range all {
		run, err := log.Read(patient(t), uint64(from), commitlog.ReadLimit{}, buf)
		require.NoError(t, err)
		requireRun(t, run, all[from:])
		buf = run.Envelopes[:0]
	}
	run, err := log.Read(patient(t), 0, commitlog.ReadLimit{}, buf)
	require.NoError(t, err)
	clear(buf[:cap(buf)])
	require.Equal(t, make([]byte, len(run.Envelopes)), run.Envelopes, "the run is elsewhere")

	for _, full := range [][]byte{{}, make([]byte, 1), fill(20), fill(4096)} {
		run, err := log.Read(patient(t), 3, commitlog.ReadLimit{Records: 4}, full)
		require.NoError(t, err)
		requireRun(t, run, all[3:7])
	}
}

// Goal: the caller may do what it likes with a run's bytes; later reads, into
// the same buffer or another, return what was appended.
func testReadNotAliased(t *testing.T, log commitlog.CommitLog) {
	all := uneven(t, log)
	for range 2 {
		run, err := log.Read(patient(t), 0, commitlog.ReadLimit{}, nil)
		require.NoError(t, err)
		requireRun(t, run, all)
		for i := range run.Envelopes {
			run.Envelopes[i] ^= 0xff
		}
		whole := run.Envelopes[:cap(run.Envelopes)]
		clear(whole)
	}
	requireRun(t, mustRead(t, log, 0), all)
}

func mustRead(t *testing.T, log commitlog.CommitLog, from uint64) commitlog.Run {
	t.Helper()
	_, run, err := read(log, from, commitlog.ReadLimit{})
	require.NoError(t, err)
	return run
}

// Goal: records of the largest size come back whole, between small ones, under
// a limit of bytes that is far below their size.
func testReadLarge(t *testing.T, log commitlog.CommitLog) {
	large := make([]byte, commitlog.DefaultLimits().ValueBytes)
	for i := range large {
		large[i] = byte(i * 131 >> 7)
	}
	mustAppend(t, log, batch("a"), one(large), batch("b"), one(large, headerBytes(16<<10)...))
	for offset, want := range [][]byte{[]byte("a"), large, []byte("b"), large} {
		records, run, err := read(log, uint64(offset), commitlog.ReadLimit{Bytes: 100})
		require.NoError(t, err)
		require.Len(t, records, 1)
		require.True(t, bytes.Equal(want, records[0].Value), "the value at offset %d", offset)
		require.Equal(t, offset == 3, run.Tail)
	}
	_, run, err := read(log, 0, commitlog.ReadLimit{})
	require.NoError(t, err)
	require.EqualValues(t, 4, run.Next)
}

// Goal: in a log of thousands of records, every stride reaches every record
// once, is as long as its limit of records, and random reads find theirs.
func testReadLong(t *testing.T, log commitlog.CommitLog) {
	const batches, size = 20, 250
	for range batches {
		mustAppend(t, log, numbered(size))
	}
	for _, stride := range []commitlog.ReadLimit{{Records: 7}, {Records: 999}, {Bytes: 300}, {Bytes: 10_000}, {}} {
		next := uint64(0)
		for next < batches*size {
			records, run, err := read(log, next, stride)
			require.NoError(t, err)
			require.NoError(t, checkNumbers(records, size))
			if left := int(batches*size - next); stride.Bytes == 0 {
				require.Len(t, records, min(left, cmp.Or(stride.Records, left)))
			}
			next = run.Next
		}
	}
	for i := range uint64(300) {
		records, _, err := read(log, i*7919%(batches*size), commitlog.ReadLimit{Records: 1})
		require.NoError(t, err)
		require.NoError(t, checkNumbers(records, size))
	}
	_, err := log.Read(context.Background(), batches*size, commitlog.ReadLimit{}, nil)
	require.Error(t, err)
}

// checkNumbers says whether a record is not the one that numbered batches of a
// size have put at its offset.
func checkNumbers(records []commitlog.Record, size uint64) error {
	for _, r := range records {
		if want := fmt.Sprint(r.Offset % size); string(r.Value) != want {
			return fmt.Errorf("the record at %d is %q, not %q", r.Offset, r.Value, want)
		}
	}
	return nil
}

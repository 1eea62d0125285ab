package proglog_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

func valueAt(offset uint64) []byte { return fmt.Appendf(nil, "record %d", offset) }

// collect reads n records and holds each against its due offset and value.
func collect(t *testing.T, seq func(func(proglog.Record, error) bool), from, n uint64) {
	t.Helper()
	due := from
	for record, err := range seq {
		require.NoError(t, err, "after offset %d", due)
		require.Equal(t, due, record.Offset)
		require.Equal(t, string(valueAt(due)), string(record.Value))
		if due++; due == from+n {
			return
		}
	}
	require.Equal(t, from+n, due, "the iteration ended early")
}

// Goal: a follower delivers every record once and in order although its
// connections are cut in the middle of the stream again and again.
func TestFollowResumesAfterCuts(t *testing.T) {
	for _, protocol := range []proglog.Protocol{proglog.ProtocolConnect, proglog.ProtocolGRPC} {
		t.Run(fmt.Sprint("protocol ", protocol), func(t *testing.T) {
			f := startFake(t)
			f.fill(300)
			f.set(func() {
				f.onSend = func(call int, res *logv1.ConsumeResponse) error {
					if call < 10 && res.GetRecords()[0].GetOffset() >= uint64(call*20+10) {
						f.conns.cut()
					}
					return nil
				}
			})
			c := connectTo(t, f.url, proglog.WithProtocol(protocol))
			collect(t, c.Follow(t.Context(), proglog.BatchRecords(7)), 0, 300)
			_, streams := f.calls()
			assert.GreaterOrEqual(t, streams, 10)
		})
	}
}

// Goal: what the server says decides whether a follower goes on. Method: the
// stream fails once with the given error, after some records.
func TestFollowByServerError(t *testing.T) {
	detail := func(r logv1.Reason) *logv1.ErrorDetail { return &logv1.ErrorDetail{Reason: r} }
	for _, row := range []struct {
		name    string
		err     error
		resumes bool
	}{
		{"draining", draining(false), true},
		{"no quorum", fail(connect.CodeUnavailable, detail(logv1.Reason_REASON_NO_QUORUM)), true},
		{"overloaded", fail(connect.CodeResourceExhausted, detail(logv1.Reason_REASON_OVERLOADED)), true},
		{"unavailable without a detail", connect.NewError(connect.CodeUnavailable, "x"), true},
		{"internal, once", fail(connect.CodeInternal, detail(logv1.Reason_REASON_INTERNAL)), true},
		{"the server's deadline", fail(connect.CodeDeadlineExceeded, detail(logv1.Reason_REASON_DEADLINE)), true},
		{"data damaged", fail(connect.CodeDataLoss, detail(logv1.Reason_REASON_DATA_DAMAGED)), false},
		{"trimmed", fail(connect.CodeOutOfRange, detail(logv1.Reason_REASON_OFFSET_TRIMMED)), false},
		{"log changed", fail(connect.CodeFailedPrecondition, detail(logv1.Reason_REASON_LOG_CHANGED)), false},
		{"not allowed", fail(connect.CodePermissionDenied, detail(logv1.Reason_REASON_PERMISSION_DENIED)), false},
		{"unsupported", fail(connect.CodeUnimplemented, detail(logv1.Reason_REASON_UNSUPPORTED)), false},
		{"invalid", connect.NewError(connect.CodeInvalidArgument, "x"), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := startFake(t)
			f.fill(20)
			f.set(func() {
				f.onSend = func(call int, res *logv1.ConsumeResponse) error {
					if call == 0 && res.GetRecords()[0].GetOffset() == 10 {
						return row.err
					}
					return nil
				}
			})
			c := connectTo(t, f.url)
			if row.resumes {
				collect(t, c.Follow(t.Context(), proglog.BatchRecords(5)), 0, 20)
				return
			}
			got := 0
			var last error
			for _, err := range c.Follow(t.Context(), proglog.BatchRecords(5)) {
				if last = err; err == nil {
					got++
				}
			}
			assert.Equal(t, 10, got)
			var e *proglog.Error
			require.ErrorAs(t, last, &e)
			assert.True(t, e.FromServer)
			assert.Equal(t, uint32(connect.CodeOf(row.err)), uint32(e.Code))
		})
	}
}

// Goal: a server that fails internally at every try does not hold a follower
// for ever, while one that is unavailable does until the caller leaves.
func TestFollowGivesUpOnInternalErrors(t *testing.T) {
	f := startFake(t)
	f.set(func() {
		f.onStream = func(int, *logv1.ConsumeRequest) error {
			return fail(connect.CodeInternal, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_INTERNAL, Incident: "abc"})
		}
	})
	c := connectTo(t, f.url)
	for _, err := range c.Follow(t.Context()) {
		var e *proglog.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "abc", e.Incident)
	}
	_, streams := f.calls()
	assert.Equal(t, 4, streams)

	ctx, cancel := context.WithCancel(t.Context())
	f.set(func() {
		f.onStream = func(call int, _ *logv1.ConsumeRequest) error {
			if call > 20 {
				cancel()
			}
			return draining(false)
		}
	})
	for _, err := range c.Follow(ctx) {
		require.ErrorIs(t, err, context.Canceled)
	}
	_, streams = f.calls()
	assert.Greater(t, streams, 20)
}

// Goal: a gap or a repeat in what the server sends is an error, never delivered.
func TestFollowRefusesGapAndRepeat(t *testing.T) {
	for name, shift := range map[string]uint64{"gap": 1, "repeat": ^uint64(0)} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t)
			f.fill(10)
			f.set(func() {
				f.onSend = func(_ int, res *logv1.ConsumeResponse) error {
					if res.GetRecords()[0].GetOffset() == 5 {
						res.Records = []*logv1.Record{{Offset: 5 + shift, Value: []byte("wrong")}}
					}
					return nil
				}
			})
			n := 0
			for _, err := range connectTo(t, f.url).Follow(t.Context(), proglog.BatchRecords(5)) {
				if err == nil {
					n++
					continue
				}
				assert.Equal(t, proglog.CodeInternal, proglog.CodeOf(err))
				assert.ErrorContains(t, err, "where 5 was due")
			}
			assert.Equal(t, 5, n)
		})
	}
}

// Goal: each way to start and to end a read, with and without GetLog.
func TestReadBounds(t *testing.T) {
	f := startFake(t, func(f *fakeLog) { f.first = 3 })
	f.fill(10) // 3 up to 13
	c := connectTo(t, f.url)
	for _, id := range []string{"id-1", ""} {
		f.set(func() { f.logID = id })
		for _, row := range []struct {
			name    string
			opts    []proglog.ReadOption
			from, n uint64
		}{
			{"earliest", nil, 3, 10},
			{"an offset", []proglog.ReadOption{proglog.From(5)}, 5, 8},
			{"the last three", []proglog.ReadOption{proglog.FromEnd(3)}, 10, 3},
			{"more than there are", []proglog.ReadOption{proglog.FromEnd(99)}, 3, 10},
			{"at the tail", []proglog.ReadOption{proglog.From(13)}, 13, 0},
			{"nothing from the end", []proglog.ReadOption{proglog.FromEnd(0)}, 13, 0},
			{"until", []proglog.ReadOption{proglog.Until(6)}, 3, 3},
			{"until beyond the tail", []proglog.ReadOption{proglog.Until(60)}, 3, 10},
			{"until before the start", []proglog.ReadOption{proglog.From(8), proglog.Until(6)}, 8, 0},
			{"small batches", []proglog.ReadOption{proglog.BatchRecords(3)}, 3, 10},
		} {
			t.Run(fmt.Sprintf("%s, id %q", row.name, id), func(t *testing.T) {
				n := uint64(0)
				for record, err := range c.Records(t.Context(), row.opts...) {
					require.NoError(t, err)
					assert.Equal(t, row.from+n, record.Offset)
					n++
				}
				assert.Equal(t, row.n, n)
			})
		}
		for offset, reason := range map[uint64]proglog.Reason{
			2: proglog.ReasonOffsetTrimmed, 14: proglog.ReasonOffsetUnwritten,
		} {
			for _, err := range c.Records(t.Context(), proglog.From(offset)) {
				var e *proglog.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, reason, e.Reason)
				assert.Equal(t, []uint64{3, 13}, []uint64{e.FirstOffset, e.NextOffset})
			}
		}
	}
}

// Goal: a read to the tail stops at the tail of its beginning, although the log
// goes on growing.
func TestRecordsStopsAtTheTailOfItsBeginning(t *testing.T) {
	f := startFake(t)
	f.fill(10)
	f.set(func() {
		f.onSend = func(int, *logv1.ConsumeResponse) error { f.fill(5); return nil }
	})
	n := 0
	for _, err := range connectTo(t, f.url).Records(t.Context(), proglog.BatchRecords(2)) {
		require.NoError(t, err)
		n++
	}
	assert.Equal(t, 10, n)
}

// Goal: records that are trimmed while a read from the earliest record begins do
// not fail it; one that started at an offset is told.
func TestEarliestFollowsTheTrim(t *testing.T) {
	f := startFake(t)
	f.fill(10)
	f.set(func() {
		f.onStream = func(int, *logv1.ConsumeRequest) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.first == 0 {
				f.first, f.records = 4, f.records[4:]
			}
			return nil
		}
	})
	collect(t, connectTo(t, f.url).Follow(t.Context()), 4, 6)
}

// Goal: a sealed log ends a follower without an error; a log that took over the
// name of the one that was read ends it with one.
func TestFollowEnds(t *testing.T) {
	f := startFake(t)
	f.fill(5)
	f.set(func() { f.sealed = true })
	c := connectTo(t, f.url)
	for _, opts := range [][]proglog.ReadOption{nil, {proglog.Until(50)}} {
		n := 0
		for _, err := range c.Follow(t.Context(), opts...) {
			require.NoError(t, err)
			n++
		}
		assert.Equal(t, 5, n)
	}

	f.set(func() { f.sealed = false })
	f.set(func() {
		f.onSend = func(int, *logv1.ConsumeResponse) error {
			f.mu.Lock()
			f.logID = "id-2"
			f.mu.Unlock()
			return nil
		}
	})
	var last error
	for _, last = range c.Follow(t.Context(), proglog.BatchRecords(2)) {
	}
	assert.Equal(t, proglog.ReasonLogChanged, proglog.ReasonOf(last))
}

// Goal: a follower that waits at the tail gets what is produced later, ends when
// its context does, and can be left at any time.
func TestFollowWaitsAndEndsWithItsContext(t *testing.T) {
	f := startFake(t)
	f.fill(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range connectTo(t, f.url).Follow(ctx) {
		if err != nil {
			last = err
			break
		}
		if n++; n < 5 {
			go f.fill(1)
		} else {
			go cancel()
		}
	}
	assert.Equal(t, 5, n)
	require.ErrorIs(t, last, context.Canceled)
	assert.Equal(t, proglog.CodeCanceled, proglog.CodeOf(last))
}

// Goal: a batch says whether it reached the tail.
func TestBatchesTellTheTail(t *testing.T) {
	f := startFake(t)
	f.fill(5)
	var tails []bool
	for batch, err := range connectTo(t, f.url).Batches(t.Context(), proglog.BatchRecords(2), proglog.ToTail()) {
		require.NoError(t, err)
		tails = append(tails, batch.Tail)
	}
	assert.Equal(t, []bool{false, false, true}, tails)
}

// Goal: Consume returns the record with all that belongs to it, tries again what
// can pass, and tells the bounds when the offset is not there.
func TestConsume(t *testing.T) {
	f := startFake(t)
	f.append(&logv1.Record{Value: []byte("v"), Headers: []*logv1.Header{
		{Name: "b", Value: []byte{0xff}}, {Name: "a"}, {Name: "b", Value: []byte("2")}, {},
	}})
	f.append(&logv1.Record{})
	c := connectTo(t, f.url)
	f.set(func() {
		f.onUnary = func(call int) error {
			if call < 2 {
				return connect.NewError(connect.CodeUnavailable, "soon")
			}
			return nil
		}
	})
	got, err := c.Consume(t.Context(), 0, proglog.InLog(""))
	require.NoError(t, err)
	assert.Equal(t, proglog.Record{
		Offset: 0, Time: time.Unix(1700000000, 7).UTC(), Value: []byte("v"),
		Headers: []proglog.Header{{Name: "b", Value: []byte{0xff}}, {Name: "a"}, {Name: "b", Value: []byte("2")}, {}},
	}, got)
	got, err = c.Consume(t.Context(), 1)
	require.NoError(t, err)
	assert.Empty(t, got.Value)

	_, err = c.Consume(t.Context(), 2)
	var e *proglog.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, proglog.ReasonOffsetUnwritten, e.Reason)
	assert.Equal(t, uint64(2), e.NextOffset)
	assert.Equal(t, "out_of_range (OFFSET_UNWRITTEN): as the test wants", e.Error())
}

// Goal: a read from an address where something else, or nothing, listens fails
// soon and says so.
func TestReadFromAWrongAddress(t *testing.T) {
	other := serve(t, nil, http.NotFoundHandler(), true)
	for _, err := range connectTo(t, other).Follow(t.Context()) {
		assert.ErrorContains(t, err, "HTTP 404")
	}
	_, err := connectTo(t, unusedAddress(t)).Consume(t.Context(), 0)
	assert.Equal(t, proglog.CodeUnavailable, proglog.CodeOf(err))
	assert.ErrorContains(t, err, "refused")
	for _, err := range connectTo(t, unusedAddress(t)).Follow(t.Context()) {
		require.Error(t, err)
		assert.False(t, errors.Is(err, context.Canceled))
	}
}

// Goal: at the tail there is nothing to read, which is no failure, also for a read
// that does not wait; an offset beyond the tail is one.
func TestConsumeBatchAtTheTail(t *testing.T) {
	f := startFake(t)
	f.fill(2)
	client := connectTo(t, f.url)
	for name, start := range map[string]proglog.ReadOption{"offset": proglog.From(2), "end": proglog.FromEnd(0)} {
		batch, err := client.ConsumeBatch(t.Context(), start)
		require.NoError(t, err, name)
		require.Equal(t, proglog.Batch{Tail: true, NextOffset: 2}, proglog.Batch{Tail: batch.Tail, NextOffset: batch.NextOffset}, name)
		require.Empty(t, batch.Records, name)
	}
	_, err := client.ConsumeBatch(t.Context(), proglog.From(3))
	require.Equal(t, proglog.ReasonOffsetUnwritten, proglog.ReasonOf(err))
}

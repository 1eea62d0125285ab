package proglog_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// unusedAddress returns an address at which nothing listens any more.
func unusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return "http://" + l.Addr().String()
}

func record(value string) proglog.Record { return proglog.Record{Value: []byte(value)} }

// requireOutcome holds an error of a write against the one outcome it must have.
func requireOutcome(t *testing.T, err error, want error) {
	t.Helper()
	for _, o := range []error{proglog.ErrNothingAppended, proglog.ErrOutcomeUnknown} {
		require.Equal(t, o == want, errors.Is(err, o), "%v against %v", err, o)
	}
}

// Goal: a record and a batch arrive whole, and their acks tell their offsets.
func TestProduce(t *testing.T) {
	f := startFake(t)
	c := connectTo(t, f.url)
	ack, err := c.Produce(t.Context(), proglog.Record{Value: []byte("a"), Headers: []proglog.Header{{Name: "k", Value: []byte{0}}, {}}})
	require.NoError(t, err)
	assert.Equal(t, proglog.Ack{Offset: 0, NextOffset: 1, Time: time.Unix(1700000000, 7).UTC()}, ack)
	ack, err = c.ProduceBatch(t.Context(), []proglog.Record{record("b"), record(""), record("c")}, proglog.ExpectOffset(1))
	require.NoError(t, err)
	assert.Equal(t, []uint64{1, 4}, []uint64{ack.Offset, ack.NextOffset})
	assert.Equal(t, []string{"a", "b", "", "c"}, f.values())
	assert.Equal(t, "k", f.records[0].GetHeaders()[0].GetName())
	assert.Len(t, f.records[0].GetHeaders(), 2)

	_, err = c.Produce(t.Context(), record("d"), proglog.ExpectOffset(9))
	requireOutcome(t, err, proglog.ErrNothingAppended)
	var e *proglog.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, proglog.ReasonOffsetMismatch, e.Reason)
	assert.Equal(t, uint64(4), e.NextOffset)
}

// withoutDedup makes a fake that ignores who produces, as a server of the first
// four methods does.
func withoutDedup(f *fakeLog) { f.dedup, f.logID = false, "" }

// Goal: on a server that does not know a request that comes twice, Produce tries
// again after each failure exactly when that cannot append the record twice, and
// its error tells the outcome. Method: the first two calls fail; the third succeeds.
func TestProduceOutcomes(t *testing.T) {
	vouched := func(code connect.Code, r logv1.Reason) error {
		return fail(code, &logv1.ErrorDetail{Reason: r, NothingAppended: true})
	}
	for _, row := range []struct {
		name    string
		err     error
		outcome error // nil: it was tried again and succeeded
	}{
		{"draining, vouched for", draining(true), nil},
		{"overloaded", vouched(connect.CodeResourceExhausted, logv1.Reason_REASON_OVERLOADED), nil},
		{"disk full", vouched(connect.CodeResourceExhausted, logv1.Reason_REASON_STORAGE_FULL), nil},
		{"draining, in flight", draining(false), proglog.ErrOutcomeUnknown},
		{"no quorum, in flight", fail(connect.CodeUnavailable, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_NO_QUORUM}), proglog.ErrOutcomeUnknown},
		{"internal", fail(connect.CodeInternal, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_INTERNAL}), proglog.ErrOutcomeUnknown},
		{"unavailable without a detail", connect.NewError(connect.CodeUnavailable, "x"), proglog.ErrOutcomeUnknown},
		{"message over the transport's limit", connect.NewError(connect.CodeResourceExhausted, "x"), proglog.ErrNothingAppended},
		{"sealed", vouched(connect.CodeFailedPrecondition, logv1.Reason_REASON_LOG_SEALED), proglog.ErrNothingAppended},
		{"not found", vouched(connect.CodeNotFound, logv1.Reason_REASON_LOG_NOT_FOUND), proglog.ErrNothingAppended},
		{"deadline of the server", fail(connect.CodeDeadlineExceeded, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_DEADLINE}), proglog.ErrOutcomeUnknown},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := startFake(t, withoutDedup)
			f.set(func() {
				f.onUnary = func(call int) error {
					if call < 2 {
						return row.err
					}
					return nil
				}
			})
			_, err := connectTo(t, f.url).Produce(t.Context(), record("a"), proglog.Alone())
			if row.outcome == nil {
				require.NoError(t, err)
				unary, _ := f.calls()
				assert.Equal(t, 3, unary)
				return
			}
			requireOutcome(t, err, row.outcome)
			unary, _ := f.calls()
			assert.Equal(t, 1, unary)
		})
	}
}

// Goal: failures below the server: a connection that is cut leaves the outcome
// unknown, one that cannot be made leaves nothing.
func TestProduceConnectionFailures(t *testing.T) {
	f := startFake(t, withoutDedup)
	f.set(func() {
		f.onUnary = func(int) error { f.conns.cut(); return nil }
	})
	_, err := connectTo(t, f.url).Produce(t.Context(), record("a"), proglog.Alone())
	requireOutcome(t, err, proglog.ErrOutcomeUnknown)
	assert.Equal(t, proglog.CodeUnavailable, proglog.CodeOf(err))
	unary, _ := f.calls()
	assert.Equal(t, 1, unary)

	_, err = connectTo(t, unusedAddress(t)).Produce(t.Context(), record("a"))
	requireOutcome(t, err, proglog.ErrNothingAppended)
	assert.Equal(t, proglog.CodeUnavailable, proglog.CodeOf(err))

	for status, want := range map[int]error{
		http.StatusNotFound: proglog.ErrNothingAppended, http.StatusMisdirectedRequest: proglog.ErrNothingAppended,
		http.StatusBadGateway: proglog.ErrOutcomeUnknown, http.StatusServiceUnavailable: proglog.ErrOutcomeUnknown,
	} {
		url := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }), true)
		_, err = connectTo(t, url).Produce(t.Context(), record("a"))
		requireOutcome(t, err, want)
		_, err = connectTo(t, url).Produce(t.Context(), record("a"), proglog.Alone())
		requireOutcome(t, err, want)
		assert.ErrorContains(t, err, http.StatusText(status))
	}
}

// Goal: the end of the caller's context shows as such, with the outcome that is
// true: nothing before the request is sent, unknown after.
func TestProduceContext(t *testing.T) {
	f := startFake(t)
	c := connectTo(t, f.url)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Produce(ctx, record("a"))
	requireOutcome(t, err, proglog.ErrNothingAppended)
	require.ErrorIs(t, err, context.Canceled)

	ctx, cancel = context.WithCancel(t.Context())
	released := make(chan struct{})
	defer close(released)
	f.set(func() {
		f.onUnary = func(int) error { cancel(); <-released; return nil }
	})
	_, err = c.Produce(ctx, record("a"), proglog.Alone())
	requireOutcome(t, err, proglog.ErrOutcomeUnknown)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, proglog.CodeCanceled, proglog.CodeOf(err))
}

// Goal: what is over a limit, or has no form, is refused before it is sent, with
// the limit; what is at the limit is sent.
func TestProduceChecksLimits(t *testing.T) {
	f := startFake(t)
	limits := proglog.Limits{ValueBytes: 10, Headers: 2, HeaderBytes: 8, BatchRecords: 3, BatchBytes: 20}
	c := connectTo(t, f.url, proglog.WithLimits(limits))
	ten := strings.Repeat("v", 10)
	header := func(n int) proglog.Header { return proglog.Header{Name: strings.Repeat("h", n)} }
	for _, row := range []struct {
		name    string
		records []proglog.Record
		reason  proglog.Reason // unspecified: it is sent
		limit   uint64
	}{
		{"value at", []proglog.Record{record(ten)}, 0, 0},
		{"value over", []proglog.Record{record(ten + "v")}, proglog.ReasonTooLarge, 10},
		{"headers at", []proglog.Record{{Headers: []proglog.Header{header(4), header(4)}}}, 0, 0},
		{"headers over", []proglog.Record{{Headers: []proglog.Header{{}, {}, {}}}}, proglog.ReasonTooLarge, 2},
		{"header bytes over", []proglog.Record{{Headers: []proglog.Header{header(4), header(5)}}}, proglog.ReasonTooLarge, 8},
		{"batch at", []proglog.Record{record(ten), record(ten), record("")}, 0, 0},
		{"batch records over", make([]proglog.Record, 4), proglog.ReasonTooLarge, 3},
		{"batch bytes over", []proglog.Record{record(ten), record(ten), record("v")}, proglog.ReasonTooLarge, 20},
		{"no record", nil, proglog.ReasonNoRecord, 0},
		{"header name not UTF-8", []proglog.Record{{Headers: []proglog.Header{{Name: "\xff"}}}}, proglog.ReasonInvalidRequest, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			before, _ := f.calls()
			_, err := c.ProduceBatch(t.Context(), row.records)
			if row.reason == proglog.ReasonUnspecified {
				require.NoError(t, err)
				return
			}
			requireOutcome(t, err, proglog.ErrNothingAppended)
			var e *proglog.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, row.reason, e.Reason)
			assert.Equal(t, row.limit, e.Limit)
			after, _ := f.calls()
			assert.Equal(t, before, after, "it was sent")
		})
	}
	_, err := c.Produce(t.Context(), record(ten+"v"))
	assert.Equal(t, proglog.ReasonTooLarge, proglog.ReasonOf(err))
}

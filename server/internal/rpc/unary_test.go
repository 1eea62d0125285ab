package rpc_test

import (
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/internal/rpc"
)

// Goal: one record goes in and the same record comes out, in every dialect: its
// bytes, headers in order, offset and timestamp; and the answers say where the
// tail is. Method: produce and consume over real connections.
func TestProduceConsume(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		c, ctx := s.client(t, d), ctxWithPatience(t)

		headers := []*logv1.Header{{Name: "b", Value: []byte{0xff, 0}}, {Name: "a"}, {Name: "b", Value: []byte("x")}, {}}
		before := time.Now().Add(-time.Second)
		ack, err := c.Produce(ctx, &logv1.ProduceRequest{Record: &logv1.Record{
			Value: []byte("hello \x00\xff"), Offset: 99, Timestamp: timestamppb.New(time.Unix(5, 0)), Headers: headers,
		}})
		require.NoError(t, err)
		require.Equal(t, uint64(0), ack.GetOffset())
		require.Equal(t, uint64(1), ack.GetNextOffset())
		require.False(t, ack.GetDuplicate())
		require.True(t, ack.GetTimestamp().AsTime().After(before), "the server's time, not the caller's")

		got, err := c.Consume(ctx, &logv1.ConsumeRequest{Offset: 0})
		require.NoError(t, err)
		want := &logv1.ConsumeResponse{
			Record:     &logv1.Record{Value: []byte("hello \x00\xff"), Timestamp: ack.GetTimestamp(), Headers: headers},
			NextOffset: ptr(uint64(1)),
		}
		require.True(t, proto.Equal(want, got), "%v", got)

		// An empty value is a record, and history does not tell the tail.
		ack, err = c.Produce(ctx, one(""))
		require.NoError(t, err)
		require.Equal(t, uint64(1), ack.GetOffset())
		got, err = c.Consume(ctx, &logv1.ConsumeRequest{Offset: 0})
		require.NoError(t, err)
		require.Nil(t, got.NextOffset)
		got, err = c.Consume(ctx, &logv1.ConsumeRequest{Offset: 1})
		require.NoError(t, err)
		require.NotNil(t, got.GetRecord())
		require.Empty(t, got.GetRecord().GetValue())
	})
}

// Goal: a batch gets contiguous offsets and one ack, and is read back in
// responses of at most the records asked for, bounded by until_offset.
func TestBatches(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		c, ctx := s.client(t, d), ctxWithPatience(t)
		ack, err := c.Produce(ctx, many("a", "b", "c", "d", "e"))
		require.NoError(t, err)
		require.Equal(t, uint64(0), ack.GetOffset())
		require.Equal(t, uint64(5), ack.GetNextOffset())

		for _, tc := range []struct {
			name string
			req  *logv1.ConsumeRequest
			want string
			tail bool
		}{
			{"fewer than there are", &logv1.ConsumeRequest{MaxRecords: 2}, "ab", false},
			{"from the middle", &logv1.ConsumeRequest{Offset: 2, MaxRecords: 2}, "cd", false},
			{"just to the tail", &logv1.ConsumeRequest{Offset: 3, MaxRecords: 2}, "de", true},
			{"more than there are", &logv1.ConsumeRequest{Offset: 1, MaxRecords: 4_000_000_000}, "bcde", true},
			{"until", &logv1.ConsumeRequest{Offset: 1, MaxRecords: 9, UntilOffset: ptr(uint64(3))}, "bc", false},
			{"until the tail", &logv1.ConsumeRequest{Offset: 1, MaxRecords: 9, UntilOffset: ptr(uint64(5))}, "bcde", true},
			{"until beyond", &logv1.ConsumeRequest{Offset: 4, MaxRecords: 9, UntilOffset: ptr(uint64(50))}, "e", true},
		} {
			t.Run(tc.name, func(t *testing.T) {
				res, err := c.Consume(ctx, tc.req)
				require.NoError(t, err)
				require.Nil(t, res.GetRecord())
				got := ""
				for i, r := range res.GetRecords() {
					require.Equal(t, tc.req.GetOffset()+uint64(i), r.GetOffset())
					got += string(r.GetValue())
				}
				require.Equal(t, tc.want, got)
				require.Equal(t, tc.tail, res.NextOffset != nil)
				if tc.tail {
					require.Equal(t, uint64(5), res.GetNextOffset())
				}
			})
		}
	})
}

// Goal: every refusal of a unary call has its code, reason and numbers in every
// dialect, says that nothing was appended exactly when it was a write, and
// appends nothing.
func TestUnaryErrors(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		s.fill(t, "a", "b")
		c, ctx := s.client(t, d), ctxWithPatience(t)
		for _, tc := range produceErrors() {
			t.Run("produce/"+tc.name, func(t *testing.T) {
				_, err := c.Produce(ctx, tc.req)
				detail := requireError(t, err, tc.code, tc.reason)
				require.True(t, detail.GetNothingAppended())
				requireNumbers(t, tc.numbers, detail)
			})
		}
		for _, tc := range consumeErrors() {
			if tc.unsayable && d.json() {
				continue
			}
			t.Run("consume/"+tc.name, func(t *testing.T) {
				_, err := c.Consume(ctx, tc.req)
				detail := requireError(t, err, tc.code, tc.reason)
				require.False(t, detail.GetNothingAppended())
				requireNumbers(t, tc.numbers, detail)
			})
		}
		log, err := s.engine.Log(ctx, "")
		require.NoError(t, err)
		require.Equal(t, uint64(2), log.Bounds().Next)
	})
}

// numbers are the figures of a detail, each absent unless set.
type numbers struct{ first, next, limit, epoch, sequence *uint64 }

func requireNumbers(t *testing.T, want numbers, got *logv1.ErrorDetail) {
	t.Helper()
	require.Equal(t, want, numbers{got.FirstOffset, got.NextOffset, got.Limit, got.Epoch, got.Sequence})
}

type produceError struct {
	name    string
	req     *logv1.ProduceRequest
	code    connect.Code
	reason  logv1.Reason
	numbers numbers
}

// produceErrors are requests that a server whose default log has two records
// refuses.
func produceErrors() []produceError {
	invalid := connect.CodeInvalidArgument
	with := func(req *logv1.ProduceRequest, change func(*logv1.ProduceRequest)) *logv1.ProduceRequest {
		change(req)
		return req
	}
	return []produceError{
		{"no record", &logv1.ProduceRequest{}, invalid, logv1.Reason_REASON_NO_RECORD, numbers{}},
		{"both", with(many("a"), func(r *logv1.ProduceRequest) { r.Record = &logv1.Record{} }),
			invalid, logv1.Reason_REASON_INVALID_REQUEST, numbers{}},
		{"value over the limit", one(string(make([]byte, 1<<20+1))),
			invalid, logv1.Reason_REASON_TOO_LARGE, numbers{limit: ptr(uint64(1 << 20))}},
		{"too many headers", &logv1.ProduceRequest{Record: &logv1.Record{Headers: make65Headers()}},
			invalid, logv1.Reason_REASON_TOO_LARGE, numbers{limit: ptr(uint64(64))}},
		{"too many records", many(make([]string, 1001)...),
			invalid, logv1.Reason_REASON_TOO_LARGE, numbers{limit: ptr(uint64(1000))}},
		{"over a limit in an unknown log", with(many(make([]string, 1001)...), func(r *logv1.ProduceRequest) { r.Log = "nowhere" }),
			invalid, logv1.Reason_REASON_TOO_LARGE, numbers{limit: ptr(uint64(1000))}},
		{"expected offset too low", with(one("a"), func(r *logv1.ProduceRequest) { r.ExpectedOffset = ptr(uint64(0)) }),
			connect.CodeAborted, logv1.Reason_REASON_OFFSET_MISMATCH, numbers{next: ptr(uint64(2))}},
		{"expected offset too high", with(one("a"), func(r *logv1.ProduceRequest) { r.ExpectedOffset = ptr(uint64(3)) }),
			connect.CodeAborted, logv1.Reason_REASON_OFFSET_MISMATCH, numbers{next: ptr(uint64(2))}},
		{"bad name", with(one("a"), func(r *logv1.ProduceRequest) { r.Log = "../up" }),
			invalid, logv1.Reason_REASON_INVALID_LOG_NAME, numbers{}},
		{"the server's name", with(one("a"), func(r *logv1.ProduceRequest) { r.Log = "_proglog/x" }),
			invalid, logv1.Reason_REASON_INVALID_LOG_NAME, numbers{}},
		{"unknown log", with(one("a"), func(r *logv1.ProduceRequest) { r.Log = "nowhere" }),
			connect.CodeNotFound, logv1.Reason_REASON_LOG_NOT_FOUND, numbers{}},
		{"producer without id", with(one("a"), func(r *logv1.ProduceRequest) { r.Producer = &logv1.Producer{} }),
			invalid, logv1.Reason_REASON_INVALID_REQUEST, numbers{}},
		{"producer id over the limit", with(one("a"), func(r *logv1.ProduceRequest) { r.Producer = &logv1.Producer{Id: strings.Repeat("i", 65)} }),
			invalid, logv1.Reason_REASON_TOO_LARGE, numbers{limit: ptr(uint64(64))}},
		{"over a limit with a known sequence", with(one(string(make([]byte, 1<<20+1))), func(r *logv1.ProduceRequest) { r.Producer = &logv1.Producer{Id: "p"} }),
			invalid, logv1.Reason_REASON_TOO_LARGE, numbers{limit: ptr(uint64(1 << 20))}},
	}
}

func make65Headers() []*logv1.Header {
	headers := make([]*logv1.Header, 65)
	for i := range headers {
		headers[i] = &logv1.Header{Name: "h"}
	}
	return headers
}

func fromTail(n uint64) *logv1.ConsumeRequest_FromTail {
	return &logv1.ConsumeRequest_FromTail{FromTail: n}
}

func fromTime(at time.Time) *logv1.ConsumeRequest_FromTime {
	return &logv1.ConsumeRequest_FromTime{FromTime: timestamppb.New(at)}
}

type consumeError struct {
	name    string
	req     *logv1.ConsumeRequest
	code    connect.Code
	reason  logv1.Reason
	numbers numbers
	waits   bool // ConsumeStream waits instead

	unsayable bool // JSON cannot say it
}

// consumeErrors are requests that a server whose default log has two records
// refuses.
func consumeErrors() []consumeError {
	invalid, malformed := connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_REQUEST
	bounds := numbers{first: ptr(uint64(0)), next: ptr(uint64(2))}
	return []consumeError{
		{name: "at the tail", req: &logv1.ConsumeRequest{Offset: 2}, code: connect.CodeOutOfRange,
			reason: logv1.Reason_REASON_OFFSET_UNWRITTEN, numbers: bounds, waits: true},
		{name: "batch at the tail", req: &logv1.ConsumeRequest{Offset: 2, MaxRecords: 5}, code: connect.CodeOutOfRange,
			reason: logv1.Reason_REASON_OFFSET_UNWRITTEN, numbers: bounds, waits: true},
		{name: "far beyond", req: &logv1.ConsumeRequest{Offset: ^uint64(0)}, code: connect.CodeOutOfRange,
			reason: logv1.Reason_REASON_OFFSET_UNWRITTEN, numbers: bounds, waits: true},
		{name: "until at the start", req: &logv1.ConsumeRequest{Offset: 1, UntilOffset: ptr(uint64(1))}, code: invalid, reason: malformed},
		{name: "until zero", req: &logv1.ConsumeRequest{UntilOffset: ptr(uint64(0))}, code: invalid, reason: malformed},
		{name: "offset and from_tail", req: &logv1.ConsumeRequest{Offset: 1, Start: &logv1.ConsumeRequest_FromTail{}}, code: invalid, reason: malformed},
		{name: "bad name", req: &logv1.ConsumeRequest{Log: "a//b"}, code: invalid, reason: logv1.Reason_REASON_INVALID_LOG_NAME},
		{name: "unknown log", req: &logv1.ConsumeRequest{Log: "nowhere"}, code: connect.CodeNotFound, reason: logv1.Reason_REASON_LOG_NOT_FOUND},
		{name: "another log", req: &logv1.ConsumeRequest{LogId: "another"}, code: connect.CodeFailedPrecondition, reason: logv1.Reason_REASON_LOG_CHANGED},
		{name: "offset and from_time", req: &logv1.ConsumeRequest{Offset: 1, Start: fromTime(time.Unix(1, 0))}, code: invalid, reason: malformed},
		{name: "not a time", req: &logv1.ConsumeRequest{Start: &logv1.ConsumeRequest_FromTime{FromTime: &timestamppb.Timestamp{Seconds: -1 << 50}}}, code: invalid, reason: malformed, unsayable: true},
		{name: "until at the start from the tail", req: &logv1.ConsumeRequest{Start: fromTail(1), UntilOffset: ptr(uint64(1))}, code: invalid, reason: malformed},
		{name: "until below the start in time", req: &logv1.ConsumeRequest{Start: fromTime(time.Now().Add(time.Hour)), UntilOffset: ptr(uint64(1))}, code: invalid, reason: malformed},
		{name: "tail, from the tail", req: &logv1.ConsumeRequest{Start: fromTail(0)}, code: connect.CodeOutOfRange,
			reason: logv1.Reason_REASON_OFFSET_UNWRITTEN, numbers: bounds, waits: true},
		{name: "negative wait", req: &logv1.ConsumeRequest{Wait: durationpb.New(-1)}, code: invalid, reason: malformed},
		{name: "negative heartbeat", req: &logv1.ConsumeRequest{Heartbeat: durationpb.New(-1)}, code: invalid, reason: malformed},
		{name: "not a duration", req: &logv1.ConsumeRequest{Wait: &durationpb.Duration{Seconds: 1, Nanos: -1}}, code: invalid, reason: malformed, unsayable: true},
		{name: "heartbeat too short", req: &logv1.ConsumeRequest{Heartbeat: durationpb.New(time.Second - 1)}, code: invalid, reason: malformed, numbers: numbers{limit: ptr(uint64(1000))}},
		{name: "heartbeat too long", req: &logv1.ConsumeRequest{Heartbeat: durationpb.New(time.Minute + 1)}, code: invalid, reason: malformed, numbers: numbers{limit: ptr(uint64(60_000))}},
		{name: "wait and heartbeat", req: &logv1.ConsumeRequest{Wait: durationpb.New(time.Second), Heartbeat: durationpb.New(time.Second)}, code: invalid, reason: malformed},
	}
}

// Goal: what is not set asks for nothing: zero durations are as good as absent
// ones, and the right log_id and a met expected_offset pass.
func TestOptionalFieldsThatPass(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	c, ctx := s.grpc(t), ctxWithPatience(t)
	log := s.newLog(t, "orders/eu.1")
	ack, err := c.Produce(ctx, &logv1.ProduceRequest{
		Log: "orders/eu.1", Record: &logv1.Record{Value: []byte("a")}, ExpectedOffset: ptr(uint64(0)),
	})
	require.NoError(t, err)
	require.Equal(t, uint64(1), ack.GetNextOffset())
	res, err := c.Consume(ctx, &logv1.ConsumeRequest{
		Log: "orders/eu.1", LogId: log.ID(), Wait: durationpb.New(0), Heartbeat: &durationpb.Duration{},
	})
	require.NoError(t, err)
	require.Equal(t, "a", string(res.GetRecord().GetValue()))

	_, err = c.Consume(ctx, &logv1.ConsumeRequest{})
	requireError(t, err, connect.CodeOutOfRange, logv1.Reason_REASON_OFFSET_UNWRITTEN)
}

// Goal: what is just at a limit passes in every dialect, and a response stays
// within its own bound but holds at least one record. JSON's messages, which are a
// third larger, are no exception.
func TestAtTheLimits(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		c, ctx := s.client(t, d), ctxWithPatience(t)
		large := string(make([]byte, 1<<20))
		_, err := c.Produce(ctx, one(large))
		require.NoError(t, err)
		_, err = c.Produce(ctx, many(large, large))
		require.NoError(t, err)
		headers := make65Headers()[:64]
		headers[0].Value = make([]byte, 16<<10-64)
		_, err = c.Produce(ctx, &logv1.ProduceRequest{Record: &logv1.Record{Headers: headers}})
		require.NoError(t, err)
		_, err = c.Produce(ctx, many(make([]string, 1000)...))
		require.NoError(t, err)

		res, err := c.Consume(ctx, &logv1.ConsumeRequest{MaxRecords: 100})
		require.NoError(t, err)
		require.Len(t, res.GetRecords(), 1, "a second one would be over 1 MiB")
		res, err = c.Consume(ctx, &logv1.ConsumeRequest{Offset: 3, MaxRecords: 2000})
		require.NoError(t, err)
		require.Len(t, res.GetRecords(), 1001)
		require.Equal(t, uint64(1004), res.GetNextOffset())
	})
}

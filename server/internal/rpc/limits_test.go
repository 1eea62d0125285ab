package rpc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

// A produceLimit makes requests whose size, by what a limit counts, is n.
type produceLimit struct {
	name string
	at   int
	make func(n int) *logv1.ProduceRequest
}

func produceLimits() []produceLimit {
	record := func(headers ...*logv1.Header) *logv1.ProduceRequest {
		return &logv1.ProduceRequest{Record: &logv1.Record{Headers: headers}}
	}
	text := func(n int) string { return strings.Repeat("n", n) }
	return []produceLimit{
		{"value bytes", 1 << 20, func(n int) *logv1.ProduceRequest { return one(text(n)) }},
		{"value bytes in a batch", 1 << 20, func(n int) *logv1.ProduceRequest { return many("", text(n)) }},
		{"headers", 64, func(n int) *logv1.ProduceRequest {
			headers := make([]*logv1.Header, n)
			for i := range headers {
				headers[i] = &logv1.Header{}
			}
			return record(headers...)
		}},
		{"header bytes in a name", 16 << 10, func(n int) *logv1.ProduceRequest { return record(&logv1.Header{Name: text(n)}) }},
		{"header bytes in a value", 16 << 10, func(n int) *logv1.ProduceRequest { return record(&logv1.Header{Value: []byte(text(n))}) }},
		{"header bytes in all", 16 << 10, func(n int) *logv1.ProduceRequest {
			return record(&logv1.Header{Name: text(9), Value: []byte(text(8))}, &logv1.Header{Name: text(n - 17)})
		}},
		{"batch records", 1000, func(n int) *logv1.ProduceRequest { return many(make([]string, n)...) }},
		{"batch bytes", 2 << 20, func(n int) *logv1.ProduceRequest {
			req := many(text(n/2), text(n-n/2-10)) // each at most a value's limit
			req.Records[0].Headers = []*logv1.Header{{Name: text(4), Value: []byte(text(6))}}
			return req
		}},
		{"producer id bytes", 64, func(n int) *logv1.ProduceRequest {
			req := one("")
			req.Producer = &logv1.Producer{Id: text(n), Epoch: 1}
			return req
		}},
	}
}

// Goal: each limit of a produce admits what is one below and at it and refuses
// what is one above, with the limit, in every dialect, in one call and in a
// stream, and appends nothing then.
func TestProduceLimits(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		for _, tc := range produceLimits() {
			t.Run(tc.name, func(t *testing.T) {
				at := tc.at
				s := newServer(t, rpc.Options{}, nil)
				c, ctx := s.client(t, d), ctxWithPatience(t)
				for i, n := range []int{at - 1, at} {
					req := tc.make(n)
					_, err := c.Produce(ctx, req)
					require.NoError(t, err, n)
					if d.http2 {
						if req.GetProducer() != nil {
							req.Producer.Sequence = 1
						}
						require.NoError(t, s.streamOne(t, d, req), i)
					}
				}
				_, err := c.Produce(ctx, tc.make(at+1))
				refused := func(err error) {
					t.Helper()
					detail := requireError(t, err, connect.CodeInvalidArgument, logv1.Reason_REASON_TOO_LARGE)
					requireNumbers(t, numbers{limit: ptr(uint64(at))}, detail)
					require.True(t, detail.GetNothingAppended())
				}
				log, logErr := s.engine.Log(ctx, "")
				require.NoError(t, logErr)
				before := log.Bounds()
				refused(err)
				if d.http2 {
					refused(s.streamOne(t, d, tc.make(at+1)))
				}
				require.Equal(t, before, log.Bounds())
			})
		}
	})
}

// streamOne sends one request in a ProduceStream.
func (s *testServer) streamOne(t *testing.T, d dialect, req *logv1.ProduceRequest) error {
	t.Helper()
	stream, err := s.client(t, d).ProduceStream(ctxWithPatience(t))
	require.NoError(t, err)
	require.NoError(t, stream.Send(req))
	require.NoError(t, stream.CloseSend())
	_, err = stream.Receive()
	return err
}

// Goal: a message beyond a batch and 64 KiB is refused by the protocol library,
// without a detail, in every dialect; one just below reaches the limits proper.
// JSON's messages are a third larger, and their bound is too.
func TestMessageLimit(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		c, ctx := s.client(t, d), ctxWithPatience(t)
		_, err := c.Produce(ctx, one(string(make([]byte, 2<<20+32<<10))))
		requireError(t, err, connect.CodeInvalidArgument, logv1.Reason_REASON_TOO_LARGE)
		_, err = c.Produce(ctx, one(string(make([]byte, 2<<20+65<<10))))
		require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err), "%v", err)
		require.Nil(t, detailOf(t, err))
	})
}

// Goal: a name of a log may be 200 bytes long and not 201, in every dialect and
// every call.
func TestNameLimit(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		c, ctx := s.client(t, d), ctxWithPatience(t)
		for n, ok := range map[int]bool{1: true, 199: true, 200: true, 201: false} {
			name := strings.Repeat("x", n)
			if ok {
				s.newLog(t, name)
			}
			check := func(err error) {
				t.Helper()
				if ok {
					require.NoError(t, err)
					return
				}
				requireError(t, err, connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_LOG_NAME)
			}
			req := one("a")
			req.Log = name
			_, err := c.Produce(ctx, req)
			check(err)
			_, err = c.Consume(ctx, &logv1.ConsumeRequest{Log: name})
			check(err)
			_, err = c.GetLog(ctx, &logv1.GetLogRequest{Log: name})
			check(err)
			stream, err := c.ConsumeStream(ctx, &logv1.ConsumeRequest{Log: name})
			require.NoError(t, err)
			_, err = stream.Receive()
			check(err)
			require.NoError(t, stream.Close())
			calls := adminCalls(ctx, s.admin(t, d), name)
			for _, method := range []string{"PutLog", "TrimLog", "DeleteLog"} {
				check(calls[method]())
			}
		}
	})
}

// Goal: the limits of a read, each below, at and above, in every dialect:
// max_records and a page's size are cut, a heartbeat is refused outside its
// range, a response stays within its bytes but holds one record of any size.
func TestReadLimits(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{Limits: rpc.Limits{MaxRecords: 5, PageSize: 5}}, nil)
		c, admin, ctx := s.client(t, d), s.admin(t, d), ctxWithPatience(t)
		for i := range 9 {
			s.fill(t, fmt.Sprint(i))
			s.newLog(t, fmt.Sprint(i))
		}
		for n, want := range map[uint32]int{4: 4, 5: 5, 6: 5, 1 << 31: 5} {
			res, err := c.Consume(ctx, &logv1.ConsumeRequest{MaxRecords: n})
			require.NoError(t, err)
			require.Len(t, res.GetRecords(), want)
			stream, err := c.ConsumeStream(ctx, &logv1.ConsumeRequest{MaxRecords: n})
			require.NoError(t, err)
			res, err = stream.Receive()
			require.NoError(t, err)
			require.Len(t, res.GetRecords(), want)
			require.NoError(t, stream.Close())
			list, err := admin.ListLogs(ctx, &logv1.ListLogsRequest{PageSize: n})
			require.NoError(t, err)
			require.Len(t, list.GetLogs(), want)
		}
		for beat, limit := range map[time.Duration]uint64{
			time.Second - 1: 1000, time.Second: 0, time.Second + 1: 0,
			time.Minute - 1: 0, time.Minute: 0, time.Minute + 1: 60_000,
		} {
			stream, err := c.ConsumeStream(ctx, &logv1.ConsumeRequest{Offset: 9, Heartbeat: durationpb.New(beat)})
			require.NoError(t, err)
			if limit == 0 {
				requireBeat(t, stream, 9)
				require.NoError(t, stream.Close())
				continue
			}
			_, err = stream.Receive()
			detail := requireError(t, err, connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_REQUEST)
			requireNumbers(t, numbers{limit: &limit}, detail)
		}
	})
}

// Goal: the records of a response have as many bytes as its limit and no more,
// unless it is one record. Method: records whose encoding is known, and limits
// around two of them.
func TestResponseBytes(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		record := commitlog.Record{Offset: 1, Time: time.Now(), Value: make([]byte, 1000)}
		size := commitlog.EnvelopeSize(&record)
		for off, want := range map[int]int{-1: 1, 0: 2, 1: 2, -size: 1, -size - 500: 1} {
			s := newServer(t, rpc.Options{Limits: rpc.Limits{ResponseBytes: 2*size + off}}, nil)
			s.clock.mu.Lock()
			s.clock.now, s.clock.step = record.Time, time.Nanosecond
			s.clock.mu.Unlock()
			s.fill(t, "", string(record.Value), string(record.Value), string(record.Value))
			res, err := s.client(t, d).Consume(ctxWithPatience(t), &logv1.ConsumeRequest{Offset: 1, MaxRecords: 9})
			require.NoError(t, err)
			require.Len(t, res.GetRecords(), want, "%d bytes more than two records", off)
		}
	})
}

// Goal: the server's limits are held to their ranges, at the ends and beyond.
func TestLimitsValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, rpc.Limits{}.Validate())
	for name, l := range map[string]rpc.Limits{
		"response bytes": {ResponseBytes: 7<<19 + 1}, "max records": {MaxRecords: -1}, "page size": {PageSize: 5001},
		"wait": {Wait: 2 * time.Hour}, "min heartbeat": {MinHeartbeat: 2 * time.Minute}, "max heartbeat": {MaxHeartbeat: -1},
		"call": {Unary: -1}, "stall": {Stall: -1}, "producer id": {Batch: commitlog.Limits{ValueBytes: 1, BatchRecords: 1, BatchBytes: 1}},
	} {
		require.ErrorContains(t, l.Validate(), name)
	}
	require.NoError(t, rpc.Limits{ResponseBytes: 7 << 19, PageSize: 5000, Wait: time.Hour, MinHeartbeat: time.Minute}.Validate())
}

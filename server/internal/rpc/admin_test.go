package rpc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

// Goal: a log's whole life in every dialect: made, described, changed, trimmed,
// sealed, deleted, made again; and putting it twice is as good as once.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		c, admin, ctx := s.client(t, d), s.admin(t, d), ctxWithPatience(t)
		const name = "orders/eu"
		keep := &logv1.Retention{MaxAge: durationpb.New(90 * time.Minute), MaxBytes: 1 << 30}
		put, err := admin.PutLog(ctx, &logv1.PutLogRequest{Log: name, Retention: keep})
		require.NoError(t, err)
		require.True(t, put.GetCreated())
		require.True(t, proto.Equal(keep, put.GetInfo().GetRetention()))
		id := put.GetInfo().GetLogId()
		require.NotEmpty(t, id)

		put, err = admin.PutLog(ctx, &logv1.PutLogRequest{Log: name})
		require.NoError(t, err)
		require.False(t, put.GetCreated())
		require.True(t, proto.Equal(keep, put.GetInfo().GetRetention()), "what is absent stays")
		require.Equal(t, id, put.GetInfo().GetLogId())

		batch := many("a", "b", "c", "d")
		batch.Log = name
		ack, err := c.Produce(ctx, batch)
		require.NoError(t, err)
		for _, want := range []uint64{2, 2, 2} { // again, and lower: nothing more
			trim, err := admin.TrimLog(ctx, &logv1.TrimLogRequest{Log: name, FirstOffset: want})
			require.NoError(t, err)
			require.Equal(t, uint64(2), trim.GetFirstOffset())
		}
		trim, err := admin.TrimLog(ctx, &logv1.TrimLogRequest{Log: name, FirstOffset: 1})
		require.NoError(t, err)
		require.Equal(t, uint64(2), trim.GetFirstOffset())
		_, err = c.Consume(ctx, &logv1.ConsumeRequest{Log: name, Offset: 1})
		detail := requireError(t, err, connect.CodeOutOfRange, logv1.Reason_REASON_OFFSET_TRIMMED)
		requireNumbers(t, numbers{first: ptr(uint64(2)), next: ptr(uint64(4))}, detail)

		res, err := c.GetLog(ctx, &logv1.GetLogRequest{Log: name})
		require.NoError(t, err)
		info := res.GetInfo()
		require.Equal(t, name, info.GetLog())
		require.Equal(t, id, info.GetLogId())
		require.Equal(t, uint64(2), info.GetFirstOffset())
		require.Equal(t, uint64(4), info.GetNextOffset())
		require.NotZero(t, info.GetBytes())
		require.Equal(t, ack.GetTimestamp().AsTime(), info.GetFirstTime().AsTime())
		require.Equal(t, ack.GetTimestamp().AsTime(), info.GetLastTime().AsTime())
		require.False(t, info.GetSealed())

		trim, err = admin.TrimLog(ctx, &logv1.TrimLogRequest{Log: name, FirstOffset: 1 << 60})
		require.NoError(t, err)
		require.Equal(t, uint64(4), trim.GetFirstOffset())

		put, err = admin.PutLog(ctx, &logv1.PutLogRequest{Log: name, Sealed: ptr(true), Retention: &logv1.Retention{}})
		require.NoError(t, err)
		require.True(t, put.GetInfo().GetSealed())
		require.Nil(t, put.GetInfo().GetRetention().GetMaxAge())
		require.Nil(t, put.GetInfo().GetFirstTime(), "it is empty")
		require.NotNil(t, put.GetInfo().GetLastTime())
		_, err = c.Produce(ctx, batch)
		detail = requireError(t, err, connect.CodeFailedPrecondition, logv1.Reason_REASON_LOG_SEALED)
		require.True(t, detail.GetNothingAppended())
		_, err = admin.PutLog(ctx, &logv1.PutLogRequest{Log: name, Sealed: ptr(false)})
		requireError(t, err, connect.CodeFailedPrecondition, logv1.Reason_REASON_NOT_ALLOWED_ON_LOG)

		_, err = admin.DeleteLog(ctx, &logv1.DeleteLogRequest{Log: name})
		require.NoError(t, err)
		_, err = admin.DeleteLog(ctx, &logv1.DeleteLogRequest{Log: name})
		requireError(t, err, connect.CodeNotFound, logv1.Reason_REASON_LOG_NOT_FOUND)
		_, err = c.GetLog(ctx, &logv1.GetLogRequest{Log: name})
		requireError(t, err, connect.CodeNotFound, logv1.Reason_REASON_LOG_NOT_FOUND)
		put, err = admin.PutLog(ctx, &logv1.PutLogRequest{Log: name})
		require.NoError(t, err)
		require.True(t, put.GetCreated())
		require.NotEqual(t, id, put.GetInfo().GetLogId())
		require.Equal(t, uint64(4), put.GetInfo().GetNextOffset(), "offsets are never used again")
		_, err = c.Consume(ctx, &logv1.ConsumeRequest{Log: name, LogId: id, Offset: 4})
		requireError(t, err, connect.CodeFailedPrecondition, logv1.Reason_REASON_LOG_CHANGED)
	})
}

// Goal: the default log has settings as any other, under its empty name.
func TestPutOfTheDefaultLog(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	ctx, d := ctxWithPatience(t), dialects()[0]
	put, err := s.admin(t, d).PutLog(ctx, &logv1.PutLogRequest{Retention: &logv1.Retention{MaxBytes: 7}, Sealed: ptr(true)})
	require.NoError(t, err)
	require.False(t, put.GetCreated())
	res, err := s.client(t, d).GetLog(ctx, &logv1.GetLogRequest{})
	require.NoError(t, err)
	require.True(t, proto.Equal(put.GetInfo(), res.GetInfo()))
	require.Equal(t, uint64(7), res.GetInfo().GetRetention().GetMaxBytes())
	require.True(t, res.GetInfo().GetSealed())
}

// Goal: what Admin and GetLog refuse, in every dialect.
func TestAdminErrors(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		admin, ctx := s.admin(t, d), ctxWithPatience(t)
		for _, name := range []string{"_proglog/x", "a//b", "../up", strings.Repeat("x", 201)} {
			for method, call := range adminCalls(ctx, admin, name) {
				if method != "ListLogs" {
					requireError(t, call(), connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_LOG_NAME)
				}
			}
			_, err := s.client(t, d).GetLog(ctx, &logv1.GetLogRequest{Log: name})
			requireError(t, err, connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_LOG_NAME)
		}
		_, err := admin.TrimLog(ctx, &logv1.TrimLogRequest{Log: "nowhere"})
		requireError(t, err, connect.CodeNotFound, logv1.Reason_REASON_LOG_NOT_FOUND)
		_, err = admin.DeleteLog(ctx, &logv1.DeleteLogRequest{})
		requireError(t, err, connect.CodeFailedPrecondition, logv1.Reason_REASON_NOT_ALLOWED_ON_LOG)
		for _, age := range []*durationpb.Duration{
			durationpb.New(-1), {Seconds: 300 * 365 * 24 * 3600}, {Seconds: 1, Nanos: -1}, {Seconds: 1 << 60},
		} {
			if d.json() && age.CheckValid() != nil {
				continue // JSON cannot say it
			}
			_, err = admin.PutLog(ctx, &logv1.PutLogRequest{Log: "new", Retention: &logv1.Retention{MaxAge: age}})
			requireError(t, err, connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_REQUEST)
		}
		for _, token := range []string{"x", "!", "MQ==", "Mg", strings.Repeat("MTEx", 1000)} {
			_, err = admin.ListLogs(ctx, &logv1.ListLogsRequest{PageToken: token})
			requireError(t, err, connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_REQUEST)
		}
		list, err := admin.ListLogs(ctx, &logv1.ListLogsRequest{})
		require.NoError(t, err)
		require.Len(t, list.GetLogs(), 1, "nothing was made")
	})
}

// Goal: pages hold every log once, in byte order, whatever the size of a page,
// with and without a prefix, also while logs come and go; the default log is
// first.
func TestListLogs(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		admin, ctx := s.admin(t, d), ctxWithPatience(t)
		want := []string{""}
		for i := range 25 {
			want = append(want, fmt.Sprintf("a/%02d", i))
		}
		want = append(want, "b", "b-1", "b/1", "c")
		for _, name := range want {
			s.newLog(t, name)
		}
		list := func(prefix string, size uint32) (names []string) {
			for req := (&logv1.ListLogsRequest{Prefix: prefix, PageSize: size}); ; {
				res, err := admin.ListLogs(ctx, req)
				require.NoError(t, err)
				require.LessOrEqual(t, len(res.GetLogs()), int(min(size-1, 999)+1))
				for _, info := range res.GetLogs() {
					require.NotEmpty(t, info.GetLogId())
					names = append(names, info.GetLog())
				}
				if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
					return names
				}
			}
		}
		for _, size := range []uint32{0, 1, 2, 7, 29, 30, 31, 4_000_000_000} {
			require.Equal(t, want, list("", size))
			require.Equal(t, want[1:26], list("a/", size))
			require.Equal(t, []string{"b", "b-1", "b/1"}, list("b", size))
			require.Empty(t, list("z", size))
		}
		first, err := admin.ListLogs(ctx, &logv1.ListLogsRequest{PageSize: 2})
		require.NoError(t, err)
		require.NoError(t, s.engine.Delete(ctx, "a/00")) // the last of the page
		s.newLog(t, "a/00a")
		second, err := admin.ListLogs(ctx, &logv1.ListLogsRequest{PageSize: 2, PageToken: first.GetNextPageToken()})
		require.NoError(t, err)
		require.Equal(t, "a/00a", second.GetLogs()[0].GetLog())
		require.Equal(t, "a/01", second.GetLogs()[1].GetLog())
	})
}

// Goal: GetLog tells the limits in force, as they are by default and as they were
// set, and what the engine can do and remember.
func TestGetLogTellsTheServer(t *testing.T) {
	t.Parallel()
	set := rpc.Limits{
		Batch:         commitlog.Limits{ValueBytes: 11, Headers: 2, HeaderBytes: 13, BatchRecords: 14, BatchBytes: 15, ProducerID: 16},
		ResponseBytes: 17, MaxRecords: 18, Wait: 19 * time.Second, MinHeartbeat: 2 * time.Second, MaxHeartbeat: 21 * time.Second, PageSize: 22,
	}
	for _, tc := range []struct {
		name   string
		limits rpc.Limits
		want   *logv1.Limits
	}{
		{"default", rpc.Limits{}, &logv1.Limits{
			ValueBytes: 1 << 20, Headers: 64, HeaderBytes: 16 << 10, BatchRecords: 1000, BatchBytes: 2 << 20, ResponseBytes: 1 << 20,
			MaxRecords: 10_000, Wait: durationpb.New(time.Minute), MinHeartbeat: durationpb.New(time.Second),
			MaxHeartbeat: durationpb.New(time.Minute), ProducerIdBytes: 64, PageSize: 1000,
		}},
		{"set", set, &logv1.Limits{
			ValueBytes: 11, Headers: 2, HeaderBytes: 13, BatchRecords: 14, BatchBytes: 15, ResponseBytes: 17,
			MaxRecords: 18, Wait: durationpb.New(19 * time.Second), MinHeartbeat: durationpb.New(2 * time.Second),
			MaxHeartbeat: durationpb.New(21 * time.Second), ProducerIdBytes: 16, PageSize: 22,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t, rpc.Options{Limits: tc.limits}, nil)
			res, err := s.grpc(t).GetLog(ctxWithPatience(t), &logv1.GetLogRequest{})
			require.NoError(t, err)
			require.True(t, proto.Equal(tc.want, res.GetLimits()), "%v", res.GetLimits())
			require.True(t, proto.Equal(&logv1.Capabilities{
				ExpectedOffset: true, Producers: true, NamedLogs: true, Trim: true, Seal: true, FromTime: true,
			}, res.GetCapabilities()), "%v", res.GetCapabilities())
			require.True(t, proto.Equal(&logv1.DedupWindow{
				Acks: 256, MaxAge: durationpb.New(7 * 24 * time.Hour), Producers: 10_000,
			}, res.GetInfo().GetDedupWindow()))
			require.Equal(t, logv1.Durability_DURABILITY_UNSAFE, res.GetInfo().GetDurability(), "memory is not safe")
			require.Nil(t, res.GetInfo().GetFirstTime())
			require.Nil(t, res.GetInfo().GetLastTime())
		})
	}
}

// Goal: a produce makes the log that it names only where the server is set to,
// in one call and in a stream; reading never makes one, and a request that is
// refused for its form makes none.
func TestCreateOnProduce(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		create, name string
		made         bool
	}{
		{"", "orders", false}, {"*", "orders", true}, {"ord", "orders", true}, {"orders/", "orders/x", true},
		{"orders/", "orders", false}, {"orders/", "other", false}, {"*", "_proglog/x", false},
	} {
		t.Run(fmt.Sprintf("%q/%s", tc.create, tc.name), func(t *testing.T) {
			t.Parallel()
			eachDialect(t, false, func(t *testing.T, d dialect) {
				s := newServer(t, rpc.Options{CreateOnProduce: tc.create}, nil)
				c, ctx := s.client(t, d), ctxWithPatience(t)
				_, err := c.Consume(ctx, &logv1.ConsumeRequest{Log: tc.name})
				require.Error(t, err)
				_, err = c.Produce(ctx, &logv1.ProduceRequest{Log: tc.name})
				requireError(t, err, connect.CodeInvalidArgument, logv1.Reason_REASON_NO_RECORD)
				list, err := s.admin(t, d).ListLogs(ctx, &logv1.ListLogsRequest{})
				require.NoError(t, err)
				require.Len(t, list.GetLogs(), 1)

				req := one("a")
				req.Log = tc.name
				_, err = c.Produce(ctx, req)
				require.Equal(t, tc.made, err == nil, "%v", err)
			})
			s := newServer(t, rpc.Options{CreateOnProduce: tc.create}, nil)
			err := s.produceInStream(t, tc.name)
			require.Equal(t, tc.made, err == nil, "%v", err)
		})
	}
	for _, bad := range []string{"/", "_proglog/", "a//", "**", strings.Repeat("x", 201)} {
		require.Error(t, rpc.CheckCreateOnProduce(bad), bad)
	}
}

// produceInStream sends one record to a log in a ProduceStream.
func (s *testServer) produceInStream(t *testing.T, name string) error {
	t.Helper()
	var stream logv1connect.LogProduceStreamClientStream
	stream, err := s.grpc(t).ProduceStream(ctxWithPatience(t))
	require.NoError(t, err)
	req := one("a")
	req.Log = name
	require.NoError(t, stream.Send(req))
	require.NoError(t, stream.CloseSend())
	_, err = stream.Receive()
	return err
}

package rpc_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

// dialGRPC connects grpc-go's own client.
func (s *testServer) dialGRPC(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

// Goal: grpc-go's health client gets the state of each service, and NOT_FOUND
// for one that does not exist.
func TestHealthCheck(t *testing.T) {
	t.Parallel()
	var failure atomic.Pointer[error]
	failure.Store(new(error))
	f := &faulty{check: func() error { return *failure.Load() }}
	s := serveFaulty(t, f, rpc.Options{})
	c, ctx := grpc_health_v1.NewHealthClient(s.dialGRPC(t)), ctxWithPatience(t)
	check := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for _, service := range []string{"", "log.v1.Log", "log.v1.Admin"} {
			res, err := c.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
			require.NoError(t, err)
			require.Equal(t, want, res.GetStatus())
		}
	}
	check(grpc_health_v1.HealthCheckResponse_SERVING)
	_, err := c.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "log.v9.Log"})
	require.Equal(t, codes.NotFound, status.Code(err))

	failure.Store(ptr(commitlog.ErrStorageFull))
	check(grpc_health_v1.HealthCheckResponse_SERVING) // reads go on
	failure.Store(ptr(errors.Join(commitlog.ErrStorageFailed)))
	check(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
}

// Goal: a watch tells the state at once and whenever it changes: when an append
// shows that the storage failed, when nothing but time shows it, and when the
// server drains, which also ends the watch. A watch of an unknown service stays
// open.
func TestHealthWatch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		interval time.Duration
		notice   func(t *testing.T, s *testServer)
	}{
		{"an append fails", time.Hour, func(t *testing.T, s *testServer) {
			_, err := s.grpc(t).Produce(ctxWithPatience(t), one("a"))
			require.Error(t, err)
		}},
		{"time passes", time.Millisecond, func(*testing.T, *testServer) {}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var failed atomic.Bool
			f := &faulty{check: func() error {
				if failed.Load() {
					return commitlog.ErrStorageFailed
				}
				return nil
			}}
			f.append = func(context.Context, commitlog.CommitLog, []commitlog.Batch) ([]commitlog.Ack, error) {
				return nil, commitlog.OutcomeUnknown(f.check())
			}
			s := serveFaulty(t, f, rpc.Options{HealthInterval: tc.interval})
			c, ctx := grpc_health_v1.NewHealthClient(s.dialGRPC(t)), ctxWithPatience(t)
			watch, err := c.Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: "log.v1.Log"})
			require.NoError(t, err)
			requireStatus(t, watch, grpc_health_v1.HealthCheckResponse_SERVING)
			unknown, err := c.Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: "other"})
			require.NoError(t, err)
			requireStatus(t, unknown, grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN)

			failed.Store(true)
			tc.notice(t, s)
			requireStatus(t, watch, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
			failed.Store(false)
			require.NoError(t, s.drainWithPatience(t))
			for _, w := range []grpc.ServerStreamingClient[grpc_health_v1.HealthCheckResponse]{watch, unknown} {
				for err = nil; err == nil; {
					_, err = w.Recv()
				}
				require.Equal(t, codes.Unavailable, status.Code(err))
			}
		})
	}
}

func requireStatus(t *testing.T, w grpc.ServerStreamingClient[grpc_health_v1.HealthCheckResponse], want grpc_health_v1.HealthCheckResponse_ServingStatus) {
	t.Helper()
	res, err := w.Recv()
	require.NoError(t, err)
	require.Equal(t, want, res.GetStatus())
}

// Goal: the last state that a watch tells before a drain ends it is NOT_SERVING.
func TestHealthWatchOfADrain(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	watch, err := grpc_health_v1.NewHealthClient(s.dialGRPC(t)).Watch(ctxWithPatience(t), &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	requireStatus(t, watch, grpc_health_v1.HealthCheckResponse_SERVING)
	require.NoError(t, s.drainWithPatience(t))
	requireStatus(t, watch, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	_, err = watch.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err))
}

// Goal: reflection lists every service and describes each of them, with what its
// file imports; and an open reflection stream does not hold up a drain.
func TestReflection(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	stream, err := reflectionpb.NewServerReflectionClient(s.dialGRPC(t)).ServerReflectionInfo(ctxWithPatience(t))
	require.NoError(t, err)
	ask := func(req *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
		t.Helper()
		require.NoError(t, stream.Send(req))
		res, err := stream.Recv()
		require.NoError(t, err)
		require.Nil(t, res.GetErrorResponse())
		return res
	}
	list := ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	var names []string
	for _, service := range list.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
		res := ask(&reflectionpb.ServerReflectionRequest{
			MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service.GetName()},
		})
		var file descriptorpb.FileDescriptorProto
		require.NoError(t, proto.Unmarshal(res.GetFileDescriptorResponse().GetFileDescriptorProto()[0], &file))
		require.NotEmpty(t, file.GetService(), service.GetName())
	}
	slices.Sort(names)
	require.Equal(t, []string{
		"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
		"log.v1.Admin", "log.v1.Log",
	}, names)

	require.NoError(t, s.drainWithPatience(t))
	_, err = stream.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
}

// Goal: grpc-go's own client, with nothing of Connect, does what the contract
// says, and gets the detail of an error.
func TestGRPCGo(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	conn, ctx := s.dialGRPC(t), ctxWithPatience(t)
	var ack logv1.ProduceResponse
	require.NoError(t, conn.Invoke(ctx, logv1connect.LogProduceProcedure, one("a"), &ack))
	require.Equal(t, uint64(1), ack.GetNextOffset())

	tail, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, logv1connect.LogConsumeStreamProcedure)
	require.NoError(t, err)
	require.NoError(t, tail.SendMsg(&logv1.ConsumeRequest{Offset: 1}))
	require.NoError(t, tail.CloseSend())
	_, err = tail.Header() // a tail that waits has shown that it is there
	require.NoError(t, err)
	produce, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, logv1connect.LogProduceStreamProcedure)
	require.NoError(t, err)
	require.NoError(t, produce.SendMsg(one("b")))
	require.NoError(t, produce.RecvMsg(&ack))
	require.Equal(t, uint64(1), ack.GetOffset())
	var res logv1.ConsumeResponse
	require.NoError(t, tail.RecvMsg(&res))
	require.Equal(t, "b", string(res.GetRecord().GetValue()))

	err = conn.Invoke(ctx, logv1connect.LogConsumeProcedure, &logv1.ConsumeRequest{Offset: 9}, &res)
	require.Equal(t, codes.OutOfRange, status.Code(err))
	details := status.Convert(err).Details()
	require.Len(t, details, 1)
	detail, ok := details[0].(*logv1.ErrorDetail)
	require.True(t, ok)
	require.Equal(t, logv1.Reason_REASON_OFFSET_UNWRITTEN, detail.GetReason())

	err = conn.Invoke(ctx, "/log.v9.Log/Nothing", one("a"), &ack)
	require.Equal(t, codes.Unimplemented, status.Code(err))
}

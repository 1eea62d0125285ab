package child

import (
	"context"
	"net"

	"google.golang.org/grpc"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// serveGRPC is a grpc-go server as its documentation makes one: no options. The
// description of the service is what its generator writes, which cannot be used
// here since its messages would be registered twice.
func serveGRPC(ctx context.Context, s store) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	server.RegisterService(description(), front{store: s})
	context.AfterFunc(ctx, server.Stop)
	tellReady(listener.Addr().String())
	return server.Serve(listener)
}

func description() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "log.v1.Log",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Produce", Handler: unary(front.produce)},
			{MethodName: "Consume", Handler: unary(front.consume)},
			{MethodName: "GetLog", Handler: unary(func(f front, _ context.Context, _ *logv1.GetLogRequest) (*logv1.GetLogResponse, error) {
				return f.getLog(), nil
			})},
		},
		Streams: []grpc.StreamDesc{
			{StreamName: "ConsumeStream", Handler: consumeStream, ServerStreams: true},
			{StreamName: "ProduceStream", Handler: produceStream, ServerStreams: true, ClientStreams: true},
		},
	}
}

// unary makes a handler of a method.
func unary[Request, Response any](method func(front, context.Context, *Request) (*Response, error)) grpc.MethodHandler {
	return func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		r := new(Request)
		if err := decode(r); err != nil {
			return nil, err
		}
		return method(srv.(front), ctx, r)
	}
}

func consumeStream(srv any, stream grpc.ServerStream) error {
	r := new(logv1.ConsumeRequest)
	if err := stream.RecvMsg(r); err != nil {
		return err
	}
	typed := &grpc.GenericServerStream[logv1.ConsumeRequest, logv1.ConsumeResponse]{ServerStream: stream}
	return srv.(front).consumeStream(stream.Context(), r, typed.Send)
}

func produceStream(srv any, stream grpc.ServerStream) error {
	typed := &grpc.GenericServerStream[logv1.ProduceRequest, logv1.ProduceResponse]{ServerStream: stream}
	return srv.(front).produceStream(stream.Context(), typed.Recv, typed.Send)
}

package goclients

import (
	"context"
	"net/http"
	"strings"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/bench/internal/talk"
)

// grpcCalls does what code that protoc-gen-go-grpc generates does. That there is
// none is because a binary may have but one set of stubs.
type grpcCalls struct{ conn *grpc.ClientConn }

// newGRPC connects as the library's pages show it: no options but the absence of TLS.
func newGRPC(ask talk.Ask, batch uint32) (client, error) {
	conn, err := grpc.NewClient(strings.TrimPrefix(ask.Address, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &stock{calls: grpcCalls{conn}, ask: ask, batch: batch}, nil
}

func (c grpcCalls) describeLog(ctx context.Context, r *logv1.GetLogRequest) error {
	return c.conn.Invoke(ctx, "/log.v1.Log/GetLog", r, new(logv1.GetLogResponse))
}

func (c grpcCalls) produceOne(ctx context.Context, r *logv1.ProduceRequest) error {
	return c.conn.Invoke(ctx, "/log.v1.Log/Produce", r, new(logv1.ProduceResponse))
}

func (c grpcCalls) consumeOne(ctx context.Context, r *logv1.ConsumeRequest) (*logv1.ConsumeResponse, error) {
	answer := new(logv1.ConsumeResponse)
	return answer, c.conn.Invoke(ctx, "/log.v1.Log/Consume", r, answer)
}

func (c grpcCalls) produceStream(ctx context.Context) (produceStream, error) {
	raw, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/log.v1.Log/ProduceStream")
	if err != nil {
		return produceStream{}, err
	}
	s := &grpc.GenericClientStream[logv1.ProduceRequest, logv1.ProduceResponse]{ClientStream: raw}
	return produceStream{send: s.Send, end: s.CloseSend, receive: s.Recv}, nil
}

func (c grpcCalls) consumeStream(ctx context.Context, r *logv1.ConsumeRequest) (func() (*logv1.ConsumeResponse, error), error) {
	raw, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/log.v1.Log/ConsumeStream")
	if err != nil {
		return nil, err
	}
	s := &grpc.GenericClientStream[logv1.ConsumeRequest, logv1.ConsumeResponse]{ClientStream: raw}
	if err := s.SendMsg(r); err != nil {
		return nil, err
	}
	return s.Recv, s.CloseSend()
}

func (c grpcCalls) close() error { return c.conn.Close() }

// connectCalls is connect's generated client over HTTP/2.
type connectCalls struct {
	http *http.Client
	log  logv1connect.LogClient
}

func newConnect(ask talk.Ask) (client, error) { return newConnectWith(ask) }

func newConnectGRPC(ask talk.Ask) (client, error) {
	return newConnectWith(ask, connecthttp.WithGRPC())
}

// newConnectWith turns compression off: with it, small records cost the library a
// multiple.
func newConnectWith(ask talk.Ask, opts ...connecthttp.Option) (client, error) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	c := connectCalls{http: &http.Client{Transport: &http.Transport{Protocols: protocols}}}
	opts = append(opts, connecthttp.WithCompressors())
	c.log = logv1connect.NewLogClient(connect.NewClient(connecthttp.NewTransport(c.http, ask.Address, opts...)))
	return &stock{calls: c, ask: ask}, nil
}

func (c connectCalls) describeLog(ctx context.Context, r *logv1.GetLogRequest) error {
	_, err := c.log.GetLog(ctx, r)
	return err
}

func (c connectCalls) produceOne(ctx context.Context, r *logv1.ProduceRequest) error {
	_, err := c.log.Produce(ctx, r)
	return err
}

func (c connectCalls) consumeOne(ctx context.Context, r *logv1.ConsumeRequest) (*logv1.ConsumeResponse, error) {
	return c.log.Consume(ctx, r)
}

func (c connectCalls) produceStream(ctx context.Context) (produceStream, error) {
	s, err := c.log.ProduceStream(ctx)
	if err != nil {
		return produceStream{}, err
	}
	return produceStream{send: s.Send, end: s.CloseSend, receive: s.Receive}, nil
}

func (c connectCalls) consumeStream(ctx context.Context, r *logv1.ConsumeRequest) (func() (*logv1.ConsumeResponse, error), error) {
	s, err := c.log.ConsumeStream(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.Receive, nil
}

func (c connectCalls) close() error {
	c.http.CloseIdleConnections()
	return nil
}

package child

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// serveConnect is a connect server as its documentation makes one, but without
// compression: by default it compresses each small message, which would make it a
// peer that is too easily beaten.
func serveConnect(ctx context.Context, s store) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	rpc := connect.NewServer()
	logv1connect.RegisterLogHandler(rpc, connectLog{front: front{store: s}})
	mux := http.NewServeMux()
	connecthttp.Mount(mux, rpc, connecthttp.WithCompressors())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: protocols, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	tellReady(listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type connectLog struct {
	logv1connect.UnimplementedLogHandler
	front front
}

func (l connectLog) Produce(ctx context.Context, r *logv1.ProduceRequest) (*logv1.ProduceResponse, error) {
	return l.front.produce(ctx, r)
}

func (l connectLog) Consume(ctx context.Context, r *logv1.ConsumeRequest) (*logv1.ConsumeResponse, error) {
	return l.front.consume(ctx, r)
}

func (l connectLog) GetLog(context.Context, *logv1.GetLogRequest) (*logv1.GetLogResponse, error) {
	return l.front.getLog(), nil
}

func (l connectLog) ConsumeStream(ctx context.Context, r *logv1.ConsumeRequest, stream logv1connect.LogConsumeStreamServerStream) error {
	return l.front.consumeStream(ctx, r, stream.Send)
}

func (l connectLog) ProduceStream(ctx context.Context, stream logv1connect.LogProduceStreamServerStream) error {
	return l.front.produceStream(ctx, stream.Receive, stream.Send)
}

package child

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// serveHTTP is net/http with as little as a gRPC client is content with: it shows what
// its HTTP/2 costs without any library for calls. It has the unary methods only.
func serveHTTP(ctx context.Context, s store) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	f := front{store: s}
	mux := http.NewServeMux()
	mux.Handle("/log.v1.Log/Produce", plain(f.produce))
	mux.Handle("/log.v1.Log/Consume", plain(f.consume))
	mux.Handle("/log.v1.Log/GetLog", plain(func(context.Context, *logv1.GetLogRequest) (*logv1.GetLogResponse, error) {
		return f.getLog(), nil
	}))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: protocols, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	tellReady(listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// grpcPrefix is what stands before a message in gRPC: a flag and the length.
const grpcPrefix = 5

// plain makes a handler of a method that has one request and one response.
func plain[Request, Response any, R interface {
	*Request
	proto.Message
}, S interface {
	*Response
	proto.Message
}](method func(context.Context, R) (S, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := answerPlain(r, method)
		header := w.Header()
		header.Set("Content-Type", "application/grpc+proto")
		if err != nil {
			header.Set("Grpc-Status", "13")
			header.Set("Grpc-Message", err.Error())
			return
		}
		header.Set("Trailer", "Grpc-Status")
		_, _ = w.Write(answer) // whoever does not read it is gone
		header.Set("Grpc-Status", "0")
	}
}

func answerPlain[Request, Response any, R interface {
	*Request
	proto.Message
}, S interface {
	*Response
	proto.Message
}](r *http.Request, method func(context.Context, R) (S, error)) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if len(body) < grpcPrefix {
		return nil, fmt.Errorf("a request of %d bytes has no message", len(body))
	}
	request := R(new(Request))
	if err := proto.Unmarshal(body[grpcPrefix:], request); err != nil {
		return nil, err
	}
	response, err := method(r.Context(), request)
	if err != nil {
		return nil, err
	}
	answer, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, grpcPrefix, 64), response)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(answer[1:], uint32(len(answer)-grpcPrefix))
	return answer, nil
}

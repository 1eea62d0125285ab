package rpc

import (
	"bytes"
	"context"
	"math"
	"net"
	"net/http"

	"connectrpc.com/connect/v2/connectproto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// Handler is what the server's connections are given to.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// DecodeProduce decodes a ProduceRequest as the handlers get it.
func DecodeProduce(data []byte, req *logv1.ProduceRequest) error {
	unlimited := partCount{commitlog.Limits{BatchRecords: math.MaxInt, Headers: math.MaxInt}}
	codec := countingCodec{connectproto.NewBinaryCodec(), unlimited.binary, decodeRecords}
	return codec.UnmarshalRead(context.Background(), bytes.NewBuffer(data), req)
}

// ReadAhead is a connection as the server reads it.
func ReadAhead(c net.Conn) net.Conn {
	return &countedConn{Conn: c, listener: new(boundedListener), ahead: newReadAhead(c)}
}

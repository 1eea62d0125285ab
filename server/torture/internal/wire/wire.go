// Package wire speaks log.v1 to a server request by request, without the retries
// and identities of the SDK.
package wire

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// A Protocol is what goes over HTTP.
type Protocol string

// The protocols that a server answers.
const (
	Connect Protocol = "Connect"
	GRPC    Protocol = "gRPC"
	GRPCWeb Protocol = "gRPC-Web"
)

// Protocols returns all of them.
func Protocols() []Protocol { return []Protocol{Connect, GRPC, GRPCWeb} }

// A Client sends each request once, over a connection of its own.
type Client struct {
	logv1connect.LogClient
	transport *http.Transport
}

// New returns a client of a server, over plaintext HTTP/2.
func New(baseURL string, protocol Protocol) *Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols:          protocols,
		DialContext:        (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		DisableCompression: true,
	}
	options := []connecthttp.Option{connecthttp.WithCompressors()}
	switch protocol {
	case GRPC:
		options = append(options, connecthttp.WithGRPC())
	case GRPCWeb:
		options = append(options, connecthttp.WithGRPCWeb())
	}
	client := connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: transport}, baseURL, options...))
	return &Client{LogClient: logv1connect.NewLogClient(client), transport: transport}
}

// Close closes idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Failure is what a server, or the way to it, said about a request that failed.
type Failure struct {
	Code            connect.Code
	Reason          logv1.Reason
	NothingAppended bool   // the server guarantees it
	Next            uint64 // the log's next offset, if it was told
}

// Judge reads the error of a call. Whatever did not come from the server leaves the
// outcome unknown.
func Judge(err error) Failure {
	f := Failure{Code: connect.CodeOf(err)}
	ce, ok := errors.AsType[*connect.Error](err)
	if !ok || !ce.IsRemote() {
		return f
	}
	for _, d := range ce.Details() {
		msg, err := connectproto.UnmarshalErrorDetail(d)
		if err != nil {
			continue
		}
		if detail, ok := msg.(*logv1.ErrorDetail); ok {
			f.Reason, f.NothingAppended, f.Next = detail.GetReason(), detail.GetNothingAppended(), detail.GetNextOffset()
		}
	}
	return f
}

// Request returns a request of the records for a log.
func Request(log string, batch []proglog.Record) *logv1.ProduceRequest {
	req := &logv1.ProduceRequest{Log: log}
	for _, r := range batch {
		record := &logv1.Record{Value: r.Value}
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, &logv1.Header{Name: h.Name, Value: h.Value})
		}
		if len(batch) == 1 {
			req.Record = record
		} else {
			req.Records = append(req.Records, record)
		}
	}
	return req
}

// Sleep waits, unless the context ends first.
func Sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

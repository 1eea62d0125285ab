package rpc

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// A tail that waits costs what its goroutine's stack and the protocol library
// keep for it. So a ConsumeStream that has reached the tail, and sends what is
// stored past the library anyway, parks: the library's handler returns, and what
// it writes to end the response is dropped. The stream is followed on from the
// [lender], and when it ends the library is called once more, to end the response
// in its protocol.
//
// That takes a third off a tail's memory, most of it because the runtime halves a
// stack of which less than a quarter is used. Of 8 KiB that leaves 1,248 bytes
// beside the runtime's own for all functions that wait here, of which net/http and
// select take 700: so what has much on the stack is called, not inlined, and the
// bench of idle followers tells if it has become too much.

// parked is a stream between the library's two calls.
type parked struct {
	*following
	ctx  context.Context
	done func()
	err  error // what the stream ends with, in the second
}

type parkedKey struct{}

// parkedOf returns the stream that a call is to end; nil if it is a call like
// any other.
func parkedOf(ctx context.Context) *parked {
	p, _ := ctx.Value(parkedKey{}).(*parked)
	return p
}

// park takes a stream from the library, if it can be. From then on nothing that
// the library writes gets through.
func (c *conn) park(f *following) bool {
	if c == nil || c.parked != nil || c.timed {
		return false
	}
	if _, ok := f.out.(*stored); !ok {
		return false
	}
	c.parked, c.deaf = &parked{following: f}, true
	return true
}

// leave begins what follows the library's first call, whose context has ended.
//
//go:noinline
func (p *parked) leave(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.service.draining, func() { cancel(draining()) })
	p.ctx, p.done = ctx, func() { stop(); cancel(nil) }
	p.conn.reads = nil
}

// comeBack lets the library end the response.
//
//go:noinline
func (p *parked) comeBack(library http.Handler, r *http.Request) {
	p.release()
	p.err = causeOf(p.ctx, p.service.whileReading(p.ctx, p.req, p.err))
	p.done()
	p.conn.deaf = false
	r = r.WithContext(context.WithValue(r.Context(), parkedKey{}, p))
	r.Body = io.NopCloser(bytes.NewReader(make([]byte, envelopePrefix))) // a request without fields
	library.ServeHTTP(p.conn, r)
}

// end ends the response. Its headers were sent long ago.
func (p *parked) end(stream logv1connect.LogConsumeStreamServerStream) error {
	if err := stream.SendHeaders(); err != nil {
		return err
	}
	return p.err
}

// hasTimeout says whether a client set a deadline, which the library watches.
func hasTimeout(h http.Header) bool {
	return h.Get("Grpc-Timeout") != "" || h.Get("Connect-Timeout-Ms") != ""
}

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
// it writes to end the response is dropped. The stream is followed on from
// [withConn], where the stack is shallow, and when it ends the library is called
// once more, to end the response in its protocol. That is worth a third of a
// tail's memory.

// parked is a stream between the library's two calls.
type parked struct {
	*following
	err error // what the stream ends with, in the second
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
	c.parked, c.unheard = &parked{following: f}, http.Header{}
	return true
}

// followOn follows a parked stream to its end.
func (c *conn) followOn(library http.Handler, r *http.Request) {
	c.parked.err = c.parked.follow(r.Context())
	c.unheard = nil
	r = r.WithContext(context.WithValue(r.Context(), parkedKey{}, c.parked))
	r.Body = io.NopCloser(bytes.NewReader(make([]byte, envelopePrefix))) // a request without fields
	library.ServeHTTP(c, r)
}

// follow goes on where the stream parked, until its end, or a drain's beginning.
func (p *parked) follow(ctx context.Context) (err error) {
	defer recovered(&err)
	defer p.release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.service.draining, func() { cancel(draining()) })()
	return causeOf(ctx, p.run(ctx))
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

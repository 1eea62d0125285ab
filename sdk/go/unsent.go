package proglog

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"

	"connectrpc.com/connect/v2"
)

// attempt is how far one try of a call came.
type attempt struct {
	asked atomic.Bool // a connection was asked for
	got   atomic.Bool // and there was one
	conn  atomic.Pointer[prefaceConn]
}

// attemptKey is where the context of a try has its attempt.
type attemptKey struct{}

// newAttempt returns a context for one try of a call, by which its response and its
// attempt are found.
func newAttempt(ctx context.Context) context.Context {
	ctx, _ = connect.NewClientContext(context.WithValue(ctx, attemptKey{}, new(attempt)))
	return ctx
}

// traced returns a request that notes in its attempt how far it comes.
func traced(req *http.Request) *http.Request {
	a, ok := req.Context().Value(attemptKey{}).(*attempt)
	if !ok {
		return req
	}
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { a.asked.Store(true) },
		GotConn: func(info httptrace.GotConnInfo) {
			a.got.Store(true)
			if d, ok := info.Conn.(*dialedConn); ok {
				if c, ok := d.Conn.(*prefaceConn); ok {
					a.conn.Store(c)
				}
			}
		},
	}))
}

// neverSent says whether the try of this context waited for a connection and never
// got one. A transport that does not tell proves nothing.
func neverSent(ctx context.Context) bool {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	return ok && a.asked.Load() && !a.got.Load()
}

// notUnderstood returns what is wrong with the connection of the try of this context,
// also if the transport failed in another way by it; nil if nothing is known.
func notUnderstood(ctx context.Context, err error) *prefaceError {
	if e, ok := errors.AsType[*prefaceError](err); ok {
		return e
	}
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		if c := a.conn.Load(); c != nil {
			return c.failed.Load()
		}
	}
	return nil
}

// prefaceError is the failure of a connection over which no HTTP/2 came.
type prefaceError struct {
	hint   string
	other  bool // but something else, so that nothing that was sent was understood
	spoken bool // the server spoke HTTP/2 before
}

func (e *prefaceError) Error() string {
	if e.other {
		return "the server does not speak HTTP/2: " + e.hint
	}
	return "the server ended the connection without a word: " + e.hint
}

const (
	hintTLS   = "does it expect TLS? Then use https://"
	hintOld   = "it answers in HTTP/1.1; is it proglog's address, or a proxy without HTTP/2? Alone and reads work through WithHTTPClient there"
	hintOther = "is this the address of proglog?"
)

// prefaceConn checks that what comes first over a connection is the beginning of
// HTTP/2, a frame of settings (RFC 9113, section 3.4).
type prefaceConn struct {
	net.Conn
	spoken *atomic.Bool // the server has spoken HTTP/2, over whatever connection
	head   []byte       // what came so far
	sound  bool         // it was checked
	failed atomic.Pointer[prefaceError]
}

// settingsFrame is the type of that frame, which is at settingsAt.
const (
	settingsFrame = 0x4
	settingsAt    = 3
)

// Read is called by one goroutine, that of the transport.
func (c *prefaceConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.sound {
		return n, err
	}
	if n == 0 {
		silent := len(c.head) == 0 && !c.spoken.Load()
		if silent && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
			failed := &prefaceError{hint: hintTLS}
			c.failed.Store(failed)
			return 0, failed
		}
		return 0, err
	}
	c.head = append(c.head, p[:min(n, settingsAt+1-len(c.head))]...)
	if len(c.head) <= settingsAt {
		return n, err
	}
	if c.sound = c.head[settingsAt] == settingsFrame; c.sound {
		c.spoken.Store(true)
		return n, err
	}
	hint := hintOther
	switch {
	case string(c.head) == "HTTP":
		hint = hintOld
	case c.head[0] == 0x15 && c.head[1] == 0x3: // an alert of TLS
		hint = hintTLS
	}
	failed := &prefaceError{hint, true, c.spoken.Load()}
	c.failed.Store(failed)
	return 0, failed
}

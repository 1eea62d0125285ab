package proglog

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// needsHTTP2 is what whoever produces over a stream has to know about HTTP/1.1.
const needsHTTP2 = "a producer needs HTTP/2 from end to end, which this connection is not;" +
	" use Produce or ProduceBatch, or an address that is reached over HTTP/2"

// overHTTP2 returns a request whose body is sent over HTTP/2 only.
//
// Over HTTP/1.1 a server refuses a stream whose answers come before its end, but a
// proxy need not: it may pass every record on and keep the answers to itself until
// a request is over that waits for them. So the body is held back as soon as the
// connection is known, which is before its first byte.
func overHTTP2(req *http.Request) *http.Request {
	old := new(atomic.Bool)
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		// HTTP/2 has the pseudo-header ":authority" in the place of Host.
		WroteHeaderField: func(name string, _ []string) {
			if name == "Host" {
				old.Store(true)
			}
		},
	})
	req = req.WithContext(ctx)
	req.Body = &http2Body{req.Body, old}
	return req
}

// http2Body fails before its first byte once the connection is known to be old.
type http2Body struct {
	io.ReadCloser
	old *atomic.Bool
}

// Read is called by the transport when the header is written.
func (b *http2Body) Read(p []byte) (int, error) {
	if b.old.Load() {
		return 0, refused(CodeUnimplemented, ReasonUnspecified, needsHTTP2)
	}
	return b.ReadCloser.Read(p)
}

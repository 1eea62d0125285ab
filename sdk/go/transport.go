package proglog

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// dialTimeout is how long a connection may take to be made, and again how
	// long its TLS handshake may take.
	dialTimeout = 5 * time.Second
	// idleTimeout is how long a connection without a call stays open.
	idleTimeout = 90 * time.Second
	// A connection on which nothing arrived for pingAfter is asked for a sign
	// of life, and given up pingTimeout later: a follower whose server vanished
	// without a word notices within 20 s.
	pingAfter   = 15 * time.Second
	pingTimeout = 5 * time.Second
	// maxFrame lets the server send a response in few pieces.
	maxFrame = 1 << 20
	// bufferSize is how much of a response stream is taken from the connection
	// at once. Each taking costs locks and flow control; in pieces of a message
	// they cost more than the decoding.
	bufferSize = 128 << 10
)

// dialer makes the connections of a transport.
func dialer() dialFunc {
	dial := (&net.Dialer{Timeout: dialTimeout, KeepAlive: pingAfter}).DialContext
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return gather(conn), nil
	}
}

// newTransport makes the HTTP transport: plaintext HTTP/2 by prior knowledge for
// http, HTTP/2 or else HTTP/1.1 over TLS for https.
func newTransport(scheme string, config *tls.Config, dial dialFunc) *http.Transport {
	protocols := new(http.Protocols)
	t := &http.Transport{
		DialContext:         dial,
		TLSHandshakeTimeout: dialTimeout,
		IdleConnTimeout:     idleTimeout,
		DisableCompression:  true,
		Protocols:           protocols,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:  pingAfter,
			PingTimeout:      pingTimeout,
			MaxReadFrameSize: maxFrame,
		},
	}
	if scheme == "http" {
		protocols.SetUnencryptedHTTP2(true)
		return t
	}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	t.Proxy = http.ProxyFromEnvironment
	if config != nil {
		t.TLSClientConfig = config.Clone()
	}
	return t
}

// bufferingClient puts a buffer under the bodies of response streams.
type bufferingClient struct {
	conns *conns
	pool  sync.Pool // of *[]byte, each of bufferSize
}

// Do sends a request. The library calls it for every call.
func (b *bufferingClient) Do(req *http.Request) (*http.Response, error) {
	hc, _ := b.conns.current()
	req = traced(req)
	if req.ContentLength < 0 { // it streams
		req = overHTTP2(req)
	}
	res, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	kind := res.Header.Get("Content-Type")
	if strings.HasPrefix(kind, "application/connect+") || strings.HasPrefix(kind, "application/grpc") {
		pulse, _ := req.Context().Value(pulseKey{}).(*pulse)
		res.Body = &bufferedBody{body: res.Body, pool: &b.pool, pulse: pulse}
	}
	return res, nil
}

// bufferedBody reads ahead, but holds a buffer only while there is something in
// it: thousands of followers that wait at the tail cost no memory here.
type bufferedBody struct {
	body io.ReadCloser
	pool *sync.Pool
	buf  *[]byte // nil, or from the pool and not empty
	r, w int     // what is in it
	err  error   // comes after what is in it
	hot  bool    // the last read of the body found something

	pulse *pulse // hears of what comes; nil: nobody listens
}

// take reads from the body.
func (b *bufferedBody) take(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if n > 0 {
		b.pulse.heard()
	}
	return n, err
}

// Read waits for data with the caller's slice, which is a few bytes long at the
// start of a message, and takes what came with it in one piece.
func (b *bufferedBody) Read(p []byte) (int, error) {
	if b.buf == nil {
		if b.err != nil {
			return 0, b.err
		}
		if !b.hot || len(p) >= bufferSize {
			n, err := b.take(p)
			b.hot = n > 0
			return n, err
		}
		b.fill()
	}
	if b.buf == nil {
		return 0, b.err
	}
	n := copy(p, (*b.buf)[b.r:b.w])
	b.r += n
	if b.r == b.w {
		b.pool.Put(b.buf)
		b.buf, b.hot = nil, false
	}
	return n, nil
}

// fill reads into a buffer. It is called in the middle of a message, so what it
// waits for is under way.
func (b *bufferedBody) fill() {
	buf, ok := b.pool.Get().(*[]byte)
	if !ok {
		s := make([]byte, bufferSize)
		buf = &s
	}
	n, err := b.take(*buf)
	b.err = err
	if n == 0 {
		b.pool.Put(buf)
		b.hot = false
		return
	}
	b.buf, b.r, b.w = buf, 0, n
}

// Close closes the body. It may be called while Read waits, so it leaves the
// buffer alone.
func (b *bufferedBody) Close() error { return b.body.Close() }

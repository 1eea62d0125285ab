package proglog

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// conns is what requests go out by. A connection that brings no sign of life is not
// given up by its transport before it has pinged it; whoever noticed sooner leaves
// it, with all that is on it, for a new one.
type conns struct {
	make func(again bool) (hc *http.Client, closeIdle func())
	dialed
	spoken atomic.Bool // HTTP/2 came over a connection without TLS

	mu         sync.Mutex
	generation int // counts the clients that were made
	client     *http.Client
	closeIdle  func()
}

// renew makes new connections for the requests to come, unless that was done
// since the generation that failed.
func (c *conns) renew(failed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if failed != c.generation {
		return
	}
	if c.closeIdle != nil {
		c.closeIdle()
	}
	c.generation++
	c.client, c.closeIdle = c.make(c.generation > 1)
}

// ofCaller returns the caller's HTTP client; when its connections failed, one with a
// copy of its transport, which has none of them. A transport of another kind cannot
// be copied, and has to notice by itself that a connection is dead.
func (c *conns) ofCaller(hc *http.Client, again bool) (_ *http.Client, closeIdle func()) {
	if !again {
		return hc, func() {}
	}
	hc.CloseIdleConnections()
	rt := hc.Transport
	if rt == nil {
		rt = http.DefaultTransport
	}
	transport, ok := rt.(*http.Transport)
	if !ok {
		return hc, func() {}
	}
	transport = transport.Clone()
	// A dialer of the caller's own is what decides on HTTP/2 elsewhere, so none is
	// put where there was none.
	if transport.DialContext != nil {
		transport.DialContext = c.track(transport.DialContext)
	}
	renewed := *hc
	renewed.Transport = transport
	return &renewed, transport.CloseIdleConnections
}

func (c *conns) current() (hc *http.Client, generation int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.client, c.generation
}

// close ends all connections that the client made, also those in use: one whose
// other side does not read any more would wait to tell it of the end. Those of the
// caller's own HTTP client are the caller's; not so those of a copy of it.
func (c *conns) close() {
	c.dialed.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeIdle()
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialed is the connections that are open.
type dialed struct {
	openMu sync.Mutex
	open   map[*dialedConn]struct{}
	closed bool
}

// dialedConn leaves the set when it is closed.
type dialedConn struct {
	net.Conn
	of *dialed
}

// checked lets what dial connects to speak HTTP/2 only, where no TLS agrees on it.
func (c *conns) checked(scheme string, dial dialFunc) dialFunc {
	if scheme != "http" {
		return dial
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &prefaceConn{Conn: conn, spoken: &c.spoken}, nil
	}
}

// track adds what dial connects to the set.
func (d *dialed) track(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		d.openMu.Lock()
		defer d.openMu.Unlock()
		if d.closed {
			_ = conn.Close()
			return nil, ErrClosed
		}
		tracked := &dialedConn{conn, d}
		d.open[tracked] = struct{}{}
		return tracked, nil
	}
}

// Close closes the connection.
func (c *dialedConn) Close() error {
	c.of.openMu.Lock()
	delete(c.of.open, c)
	c.of.openMu.Unlock()
	return c.Conn.Close()
}

// close closes every connection, and those that are yet to come at once.
func (d *dialed) close() {
	d.openMu.Lock()
	defer d.openMu.Unlock()
	d.closed = true
	for c := range d.open {
		_ = c.Conn.Close()
	}
	clear(d.open)
}

package proglog

import (
	"net"
	"net/http"
	"time"
)

// NewTransportWithPings returns the client's own transport, but with the given
// times for pings.
func NewTransportWithPings(d time.Duration) *http.Transport {
	t := newTransport("http", nil, dialer())
	t.HTTP2.SendPingTimeout, t.HTTP2.PingTimeout = d, d
	return t
}

// SetSharedIdle changes how long a stream that calls share stays open without use.
func (c *Client) SetSharedIdle(d time.Duration) { c.shared.idle = d }

// SharedStreams counts the streams that calls share.
func (c *Client) SharedStreams() int {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	return len(c.shared.open)
}

// FillStreamError fills a target of [errors.As] as net/http does with its error of
// a stream that was reset.
func FillStreamError(target any, stream, code uint32) bool {
	e, ok := target.(*streamError)
	if ok {
		e.StreamID, e.Code = stream, code
	}
	return ok
}

// WaitingSenders counts the calls of Send that wait.
func (p *Producer) WaitingSenders() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queued
}

// Gather puts a layer over a connection that sends what is written together.
func Gather(conn net.Conn) net.Conn { return gather(conn) }

// GatherBytes is how much that layer holds.
const GatherBytes = gatherBytes

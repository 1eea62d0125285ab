package proglog

import (
	"net/http"
	"time"
)

// NewTransportWithPings returns the client's own transport, but with the given
// times for pings.
func NewTransportWithPings(d time.Duration) *http.Transport {
	t := newTransport("http", nil)
	t.HTTP2.SendPingTimeout, t.HTTP2.PingTimeout = d, d
	return t
}

package proglog

import (
	"sync/atomic"
	"time"
)

// pulse watches over the signs of life of a stream.
type pulse struct {
	timer   *time.Timer // nil: nothing is promised
	after   time.Duration
	waiting atomic.Bool // somebody waits for a message
	lost    atomic.Bool
}

// pulseKey is where the context of a stream has its pulse.
type pulseKey struct{}

// watch makes a pulse that gives up a stream.
func (r *reading) watch(giveUp func()) *pulse {
	p := &pulse{after: 2*r.heartbeat + r.heartbeat/2}
	if r.heartbeat > 0 {
		p.timer = time.AfterFunc(p.after, func() {
			p.lost.Store(true)
			giveUp()
		})
		p.timer.Stop()
	}
	return p
}

// noLife is the error of a stream that was given up.
func noLife() *Error {
	return &Error{Code: CodeUnavailable, Message: "no sign of life from the server, where two were due"}
}

// await begins a wait for a message.
func (p *pulse) await() {
	if p.timer != nil {
		p.waiting.Store(true)
		p.timer.Reset(p.after)
	}
}

// heard notes that something came, of a message that may be large and the network
// slow: it is not dead. The goroutine that waits calls it. net/http hands on whole
// frames of HTTP/2 only, so that what is heard of is a frame.
func (p *pulse) heard() {
	if p != nil && p.waiting.Load() && !p.lost.Load() {
		p.timer.Reset(p.after)
	}
}

// stop ends the wait, and says whether the stream was given up.
func (p *pulse) stop() (lost bool) {
	if p.timer == nil {
		return false
	}
	p.waiting.Store(false)
	p.timer.Stop()
	return p.lost.Load()
}

package proglog

import (
	"context"
	"fmt"
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
	p := &pulse{after: missed(r.heartbeat)}
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

// leastPatience is what the shortest heartbeat comes to that a server allows unless it
// is told otherwise, 1 s. Who asks for a shorter one does not know yet that he gets this.
const leastPatience = 2500 * time.Millisecond

// patience is how long a follower waits for an answer to what it asks beside its
// streams, whose heartbeats are not known yet; 0: as long as the transport does.
func (r *reading) patience() time.Duration {
	if r.config.heartbeat == 0 || r.config.toTail {
		return 0
	}
	return max(missed(r.config.heartbeat), leastPatience)
}

// missed is how long nothing comes when two heartbeats are missing.
func missed(heartbeat time.Duration) time.Duration { return 2*heartbeat + heartbeat/2 }

// alive lets a call fail, so that it is tried again over another connection, if there
// is no answer to it for so long; 0: it waits.
func (c *Client) alive(patience time.Duration, once func(context.Context) *Error) func(context.Context) *Error {
	if patience == 0 {
		return once
	}
	return func(ctx context.Context) *Error {
		_, generation := c.conns.current()
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		err := once(limited)
		if err == nil || err.FromServer || limited.Err() == nil || ctx.Err() != nil {
			return err
		}
		c.conns.renew(generation)
		return &Error{Code: CodeUnavailable, Message: fmt.Sprintf("no answer from the server for %v", patience)}
	}
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

package suite

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Proxy stands between clients and a server and breaks their connections when it
// is told to. It knows bytes only, so that every protocol fares alike.
type Proxy struct {
	// Addr is where it listens, as HOST:PORT.
	Addr string

	target func() string // the server's address now
	done   sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	links    map[*link]bool
	changed  chan struct{} // closed and replaced when something below, or of a link, changes
	faults   faults
	refused  int64     // connections for which there was no server
	beats    int64     // pieces from the server, beatGap apart
	lastBeat time.Time // when the latest of them came
	latest   time.Time // when anything came
	closed   bool
}

// faults is what befalls the bytes of all connections.
type faults struct {
	hold  [2]bool // by direction: bytes are kept, sockets stay open
	delay time.Duration
	drip  int64    // above 0: no more bytes than these in a piece
	cut   [2]int64 // by direction: a connection is reset behind so many bytes; below 0: not
	cuts  int64    // so many connections yet
}

// The directions.
const (
	requests = 0
	answers  = 1
)

// beatGap is how far apart pieces from the server are that are not of one answer.
const beatGap = 50 * time.Millisecond

// dripGap is how far apart the pieces of a trickle are.
const dripGap = 20 * time.Millisecond

// NewProxy listens on a free port of the loopback interface.
func NewProxy(target func() string) (*Proxy, error) {
	p := &Proxy{target: target, links: map[*link]bool{}, changed: make(chan struct{})}
	if err := p.listen("127.0.0.1:0"); err != nil {
		return nil, err
	}
	p.Addr = p.listener.Addr().String()
	return p, nil
}

// Do changes how connections fare:
//
//	hold answers    keep what the server sends, of old and new connections
//	hold requests   keep what clients send
//	blackhole       both: connections stay open, and silent
//	freeze          the same for the connections that there are; new ones work
//	delay           let every piece wait n milliseconds
//	trickle         let n bytes go on every 20 ms, and no more
//	cut answers     reset the next connections, as many as times (1), behind n bytes
//	cut requests    the same in the other direction
//	refuse          accept no connection; old ones go on
//	reset           reset all connections that there are now
//	close           end them without a reset, with nothing more sent
//	heal            end all faults: what was kept goes on
//
// or waits for what clients and server do:
//
//	held            n bytes of clients are kept
//	refused         n connections more came while the server was down
//	beats           the server sent something n times more, with pauses between
//	quiet           nothing was sent for n milliseconds
func (p *Proxy) Do(ctx context.Context, fault string, n, times int64) error {
	switch fault {
	case "held":
		return p.await(ctx, func() bool { return p.kept() >= n })
	case "refused":
		n += p.count(&p.refused)
		return p.await(ctx, func() bool { return p.refused >= n })
	case "beats":
		n += p.count(&p.beats)
		return p.await(ctx, func() bool { return p.beats >= n })
	case "quiet":
		return p.quiet(ctx, time.Duration(n)*time.Millisecond)
	case "heal":
		if err := p.listenAgain(ctx); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.change()
	return p.set(fault, n, times)
}

// set changes the faults. The lock is held.
func (p *Proxy) set(fault string, n, times int64) error {
	switch fault {
	case "hold answers":
		p.faults.hold[answers] = true
	case "hold requests":
		p.faults.hold[requests] = true
	case "blackhole":
		p.faults.hold = [2]bool{true, true}
	case "delay":
		p.faults.delay = time.Duration(n) * time.Millisecond
	case "trickle":
		p.faults.delay, p.faults.drip = dripGap, max(n, 1)
	case "cut answers", "cut requests":
		p.faults.cut, p.faults.cuts = [2]int64{n, -1}, max(times, 1)
		if fault == "cut answers" {
			p.faults.cut = [2]int64{-1, n}
		}
	case "refuse":
		_ = p.listener.Close()
	case "heal":
		p.faults = faults{}
	case "reset", "close", "freeze":
	default:
		return fmt.Errorf("the proxy does not know %q", fault)
	}
	for l := range p.links {
		switch fault {
		case "reset", "close":
			l.end(fault == "reset")
		case "freeze":
			l.frozen = true
		case "heal":
			l.frozen = false
		case "cut answers", "cut requests":
			l.carried = [2]int64{}
		}
	}
	return nil
}

// change wakes whoever waits. The lock is held.
func (p *Proxy) change() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// count reads a number under the lock.
func (p *Proxy) count(n *int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *n
}

// kept is how many bytes of clients have not gone on. The lock is held.
func (p *Proxy) kept() (n int64) {
	for l := range p.links {
		n += int64(len(l.queue[requests]))
	}
	return n
}

// await waits until a condition, which is asked under the lock, is true.
func (p *Proxy) await(ctx context.Context, is func() bool) error {
	for {
		p.mu.Lock()
		yes, changed := is(), p.changed
		p.mu.Unlock()
		if yes {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.New("it did not happen in time")
		}
	}
}

// quiet waits until nothing came from either side for a time.
func (p *Proxy) quiet(ctx context.Context, gap time.Duration) error {
	began := time.Now()
	for {
		p.mu.Lock()
		since := p.latest
		p.mu.Unlock()
		if since.Before(began) {
			since = began
		}
		rest := gap - time.Since(since)
		if rest <= 0 {
			return nil
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return errors.New("it was not quiet in time")
		}
	}
}

// Close ends all connections and waits until nothing of the proxy runs.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	_ = p.listener.Close()
	for l := range p.links {
		l.end(true)
	}
	p.change()
	p.mu.Unlock()
	p.done.Wait()
}

func (p *Proxy) listen(addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	p.listener = listener
	p.done.Go(func() { p.accept(listener) })
	return nil
}

// listenAgain takes the port back after a refusal. Another connection of this
// machine may have it for a moment.
func (p *Proxy) listenAgain(ctx context.Context) error {
	for {
		if open, err := net.Dial("tcp", p.Addr); err == nil {
			_ = open.Close()
			return nil // it did not refuse
		}
		err := p.listen(p.Addr)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() {
			server, err := net.Dial("tcp", p.target())
			l := newLink(client, server)
			p.mu.Lock()
			if err != nil || p.closed { // the server is not there: neither is the proxy
				p.refused++
				l.end(true)
				p.change()
				p.mu.Unlock()
				return
			}
			p.links[l] = true
			p.mu.Unlock()
			p.carry(l)
		})
	}
}

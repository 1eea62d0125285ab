package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	changed  chan struct{} // closed and replaced when what is below changes
	faults   faults
	closed   bool
}

// faults is what befalls the bytes of all connections.
type faults struct {
	hold  [2]bool // by direction: bytes are kept, sockets stay open
	delay time.Duration
	cut   [2]int64 // by direction: a connection is reset behind so many bytes, if cuts is above 0
	cuts  int64
}

// The directions.
const (
	requests = 0
	answers  = 1
)

// link is a client's connection with the one to the server that belongs to it.
type link struct {
	ends    [2]net.Conn // the client's, the server's
	carried [2]int64    // bytes by direction since the faults were set
	gone    chan struct{}
	once    sync.Once
}

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
//	delay           let every piece wait n milliseconds
//	cut answers     reset the next connections, as many as times (1), behind n bytes
//	cut requests    the same in the other direction
//	refuse          accept no connection; old ones go on
//	reset           reset all connections that there are now
//	close           end them without a reset, with nothing more sent
//	heal            end all faults: what was kept goes on
func (p *Proxy) Do(ctx context.Context, fault string, n, times int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch fault {
	case "hold answers":
		p.faults.hold[answers] = true
	case "hold requests":
		p.faults.hold[requests] = true
	case "blackhole":
		p.faults.hold = [2]bool{true, true}
	case "delay":
		p.faults.delay = time.Duration(n) * time.Millisecond
	case "cut answers", "cut requests":
		p.faults.cut = [2]int64{-1, -1}
		p.faults.cuts = max(times, 1)
		if fault == "cut answers" {
			p.faults.cut[answers] = n
		} else {
			p.faults.cut[requests] = n
		}
		for l := range p.links {
			l.carried = [2]int64{}
		}
	case "refuse":
		_ = p.listener.Close()
	case "reset", "close":
		for l := range p.links {
			l.end(fault == "reset")
		}
	case "heal":
		p.faults = faults{}
		if err := p.listenAgain(ctx); err != nil {
			return err
		}
	default:
		return fmt.Errorf("the proxy does not know %q", fault)
	}
	close(p.changed)
	p.changed = make(chan struct{})
	return nil
}

// Close ends all connections and waits until nothing of the proxy runs.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	_ = p.listener.Close()
	for l := range p.links {
		l.end(true)
	}
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
		err := p.listen(p.Addr)
		if err == nil {
			return nil
		}
		if held, dialErr := net.Dial("tcp", p.Addr); dialErr == nil {
			_ = held.Close()
			return nil // it never stopped listening
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
		server, err := net.Dial("tcp", p.target())
		l := &link{ends: [2]net.Conn{client, server}, gone: make(chan struct{})}
		if err != nil { // the server is not there: neither is the proxy
			l.ends[1] = client
			l.end(true)
			continue
		}
		p.mu.Lock()
		if p.closed {
			l.end(true)
		}
		p.links[l] = true
		p.mu.Unlock()
		p.done.Go(func() { p.carry(l) })
	}
}

// carry moves bytes in both directions until the link ends.
func (p *Proxy) carry(l *link) {
	var both sync.WaitGroup
	both.Go(func() { p.pump(l, requests) })
	both.Go(func() { p.pump(l, answers) })
	both.Wait()
	l.end(false)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func (p *Proxy) pump(l *link, direction int) {
	from, to := l.ends[direction], l.ends[1-direction]
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		piece, cut, ok := p.pass(l, direction, buf[:n])
		if !ok {
			return
		}
		if _, writeErr := to.Write(piece); writeErr != nil {
			l.end(true)
			return
		}
		switch {
		case cut:
			l.end(true)
			return
		case errors.Is(err, io.EOF):
			_ = to.(*net.TCPConn).CloseWrite()
			return
		case err != nil:
			l.end(true)
			return
		}
	}
}

// pass waits as long as a piece is held or delayed, and returns how much of it
// goes on, and whether the link ends behind it.
func (p *Proxy) pass(l *link, direction int, piece []byte) (rest []byte, cut, ok bool) {
	waited := false
	for {
		p.mu.Lock()
		f, changed := p.faults, p.changed
		if !f.hold[direction] && (f.delay == 0 || waited) {
			break
		}
		p.mu.Unlock()
		var late <-chan time.Time
		if !f.hold[direction] {
			late = time.After(f.delay)
		}
		select {
		case <-l.gone:
			return nil, false, false
		case <-changed:
		case <-late:
			waited = true
		}
	}
	defer p.mu.Unlock()
	l.carried[direction] += int64(len(piece))
	over := l.carried[direction] - p.faults.cut[direction]
	if p.faults.cuts > 0 && p.faults.cut[direction] >= 0 && over >= 0 {
		p.faults.cuts--
		return piece[:max(0, int64(len(piece))-over)], true, true
	}
	return piece, false, true
}

// end closes both connections, once: with a reset, or as a peer does that has
// nothing more to say.
func (l *link) end(reset bool) {
	l.once.Do(func() {
		close(l.gone)
		for _, c := range l.ends {
			if tcp, ok := c.(*net.TCPConn); ok && reset {
				_ = tcp.SetLinger(0)
			}
			_ = c.Close()
		}
	})
}

package suite

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// queueLimit is how many bytes of a direction the proxy keeps before it reads no
// more.
const queueLimit = 1 << 20

// link is a client's connection with the one to the server that belongs to it.
// Its fields belong to the proxy's lock.
type link struct {
	ends    [2]net.Conn // the client's, the server's
	frozen  bool
	queue   [2][]byte // by direction: read, not yet written
	ended   [2]bool   // by direction: nothing more comes
	carried [2]int64  // by direction: bytes since the faults were set
	gone    chan struct{}
	once    sync.Once
}

func newLink(client, server net.Conn) *link {
	return &link{ends: [2]net.Conn{client, server}, gone: make(chan struct{})}
}

// end closes both connections, once: with a reset, or as a peer does that has
// nothing more to say.
func (l *link) end(reset bool) {
	l.once.Do(func() {
		close(l.gone)
		for _, c := range l.ends {
			tcp, ok := c.(*net.TCPConn)
			if !ok {
				continue // there was no server
			}
			if reset {
				_ = tcp.SetLinger(0)
			}
			_ = tcp.Close()
		}
	})
}

// carry moves bytes in both directions until the link ends.
func (p *Proxy) carry(l *link) {
	var all sync.WaitGroup
	for _, direction := range []int{requests, answers} {
		all.Go(func() { p.fetch(l, direction) })
		all.Go(func() { p.deliver(l, direction) })
	}
	all.Wait()
	l.end(false)
	p.mu.Lock()
	delete(p.links, l)
	p.change()
	p.mu.Unlock()
}

// fetch reads what one side sends, also while it is kept.
func (p *Proxy) fetch(l *link, direction int) {
	buf := make([]byte, 32<<10)
	for {
		n, err := l.ends[direction].Read(buf)
		p.mu.Lock()
		l.queue[direction] = append(l.queue[direction], buf[:n]...)
		l.ended[direction] = err != nil
		p.latest = time.Now()
		p.change()
		p.mu.Unlock()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				l.end(true)
			}
			return
		}
		if !p.waitLink(l, func() bool { return len(l.queue[direction]) < queueLimit }) {
			return
		}
	}
}

// deliver writes what came to the other side, as the faults allow.
func (p *Proxy) deliver(l *link, direction int) {
	to := l.ends[1-direction]
	for {
		free := func() bool {
			return !p.faults.hold[direction] && !l.frozen && (len(l.queue[direction]) > 0 || l.ended[direction])
		}
		if !p.waitLink(l, free) || !p.late(l) {
			return
		}
		piece, cut, end := p.take(l, direction)
		if _, err := to.Write(piece); err != nil || cut {
			l.end(true)
			return
		}
		if end {
			_ = to.(*net.TCPConn).CloseWrite()
			return
		}
	}
}

// waitLink waits for a condition, and reports false if the link ended first.
func (p *Proxy) waitLink(l *link, is func() bool) bool {
	for {
		p.mu.Lock()
		yes, changed := is(), p.changed
		p.mu.Unlock()
		if yes {
			return true
		}
		select {
		case <-changed:
		case <-l.gone:
			return false
		}
	}
}

// late lets a piece wait as long as pieces are delayed.
func (p *Proxy) late(l *link) bool {
	p.mu.Lock()
	delay := p.faults.delay
	p.mu.Unlock()
	if delay == 0 {
		return true
	}
	select {
	case <-time.After(delay):
		return true
	case <-l.gone:
		return false
	}
}

// take takes what goes on now, and says whether the link is cut behind it, or the
// direction ends. What was held again meanwhile stays.
func (p *Proxy) take(l *link, direction int) (piece []byte, cut, end bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.faults.hold[direction] || l.frozen {
		return nil, false, false
	}
	piece = l.queue[direction]
	if p.faults.delay > 0 {
		piece = piece[:min(len(piece), 32<<10)] // slow, and not just late
	}
	if p.faults.drip > 0 {
		piece = piece[:min(int64(len(piece)), p.faults.drip)]
	}
	l.queue[direction] = l.queue[direction][len(piece):]
	if direction == answers && len(piece) > 0 && time.Since(p.lastBeat) > beatGap {
		p.beats, p.lastBeat = p.beats+1, time.Now()
	}
	l.carried[direction] += int64(len(piece))
	over := l.carried[direction] - p.faults.cut[direction]
	if p.faults.cuts > 0 && p.faults.cut[direction] >= 0 && over >= 0 {
		p.faults.cuts--
		piece, cut = piece[:max(0, int64(len(piece))-over)], true
	}
	p.change()
	return piece, cut, l.ended[direction] && len(l.queue[direction]) == 0
}

// Package proxy stands between clients and a server, and breaks their connections.
package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
)

// Proxy passes bytes between clients and a server.
type Proxy struct {
	listener net.Listener
	server   string
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[*pair]struct{}
	muted chan struct{} // closed: answers pass; nil: so they do
	ended bool
}

// pair is a client's connection and that to the server.
type pair struct{ client, server net.Conn }

func (p *pair) close() { _ = errors.Join(p.client.Close(), p.server.Close()) }

// New starts a proxy on a free port of the loopback interface, for a server at an
// address.
func New(server string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, server: server, conns: map[*pair]struct{}{}}
	p.running.Go(p.accept)
	return p, nil
}

// URL returns the base URL by which the server is reached through the proxy.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// serve passes bytes until either side ends.
func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		_ = client.Close()
		return
	}
	both := &pair{client, server}
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		both.close()
		return
	}
	p.conns[both] = struct{}{}
	p.mu.Unlock()
	p.running.Go(func() {
		_, _ = io.Copy(server, client)
		both.close()
	})
	p.answer(both)
	both.close()
	p.mu.Lock()
	delete(p.conns, both)
	p.mu.Unlock()
}

// answer passes what the server says, unless answers are muted.
func (p *Proxy) answer(both *pair) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := both.server.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		muted := p.muted
		p.mu.Unlock()
		if muted != nil {
			<-muted
		}
		if _, err := both.client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// Mute holds the server's answers back, while requests pass, until Cut.
func (p *Proxy) Mute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.muted == nil {
		p.muted = make(chan struct{})
	}
}

// Cut ends every connection. Answers that were held back are lost; new connections are
// not muted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for both := range p.conns {
		both.close()
	}
	if p.muted != nil {
		close(p.muted)
		p.muted = nil
	}
}

// Close ends the proxy, and returns when nothing of it runs any more.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.Cut()
	p.running.Wait()
	return err
}

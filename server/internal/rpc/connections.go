package rpc

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// mostConnections is the default of Limits.Connections where the process may
// open enough files.
const mostConnections = 10_000

// openableConnections is half of the files that the process may open: the other
// half is for everything else, so that connections alone never use up all.
func openableConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 128
	}
	return int(max(min(limit.Cur/2, 1_000_000), 1))
}

// A boundedListener closes connections that are one too many as soon as they
// come, so that their clients learn it at once and may go elsewhere.
type boundedListener struct {
	net.Listener
	limit  int64
	logger *slog.Logger
	open   atomic.Int64
	full   atomic.Bool // it was told
}

// Accept implements [net.Listener].
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.limit {
			return &countedConn{Conn: c, listener: l, ahead: newReadAhead(c)}, nil
		}
		l.open.Add(-1)
		if l.full.CompareAndSwap(false, true) {
			l.logger.Warn("closing new connections: there are as many as there may be", "limit", l.limit)
		}
		_ = c.Close()
	}
}

// countedConn gives its place back when it is closed, and reads ahead.
type countedConn struct {
	net.Conn
	listener *boundedListener
	once     sync.Once
	ahead    readAhead
}

// Read implements [net.Conn].
func (c *countedConn) Read(p []byte) (int, error) { return c.ahead.read(c.Conn, p) }

// Close implements [net.Conn].
func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.listener.open.Add(-1)
		c.listener.full.Store(false)
	})
	return err
}

// CloseWrite ends what is sent, and not what is received: net/http does that
// before it closes a connection whose client is still sending.
func (c *countedConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	return half.CloseWrite()
}

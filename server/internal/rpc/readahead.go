package rpc

import (
	"net"
	"sync"
	"syscall"
)

// aheadBytes is how much is taken from a connection at once.
const aheadBytes = 16 << 10

// aheadBuffers are of *[aheadBytes]byte.
var aheadBuffers = sync.Pool{New: func() any { return new([aheadBytes]byte) }}

// A readAhead takes from a connection what is there, where the caller asks for little
// at a time: net/http reads the header of each HTTP/2 frame and its content with a
// system call each. It never waits with a buffer: only what has come already is read
// ahead, so that a connection at rest, and one that stops in the midst of a frame,
// hold none.
type readAhead struct {
	raw  syscall.RawConn // nil: nothing is read ahead
	buf  *[aheadBytes]byte
	r, w int  // what is in it
	more bool // the last read got all that it asked for, so that there may be more
}

func newReadAhead(c net.Conn) readAhead {
	conn, ok := c.(syscall.Conn)
	if !ok {
		return readAhead{}
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return readAhead{}
	}
	return readAhead{raw: raw}
}

// read is the connection's Read, which one goroutine calls at a time.
func (a *readAhead) read(c net.Conn, p []byte) (int, error) {
	if a.buf == nil && a.more && len(p) < aheadBytes {
		a.fill()
	}
	if a.buf == nil {
		n, err := c.Read(p)
		a.more = a.raw != nil && n == len(p) && n > 0
		return n, err
	}
	n := copy(p, a.buf[a.r:a.w])
	if a.r += n; a.r == a.w {
		a.more = a.w == aheadBytes
		aheadBuffers.Put(a.buf)
		a.buf = nil
	}
	return n, nil
}

// fill reads what is there. Nothing, an end and an error are left to the connection's
// own Read.
func (a *readAhead) fill() {
	buf := aheadBuffers.Get().(*[aheadBytes]byte)
	n := 0
	err := a.raw.Read(func(fd uintptr) bool {
		n, _ = syscall.Read(int(fd), buf[:])
		return true
	})
	if err != nil || n <= 0 {
		aheadBuffers.Put(buf)
		a.more = false
		return
	}
	a.buf, a.r, a.w = buf, 0, n
}

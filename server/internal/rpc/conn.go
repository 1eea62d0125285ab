package rpc

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
)

// A conn is what a call may do to the HTTP request that carries it, beyond what
// the protocol library offers: bound its reads and writes in time, and hold
// back flushes. Its methods are for the handler's goroutine, save stopReading.
type conn struct {
	http.ResponseWriter
	control  *http.ResponseController
	intake   *intake // the request's body
	get      bool    // it is a GET, which caches may answer
	binary   bool    // its messages are protobuf's binary encoding
	gzip     bool    // it takes messages of a stream compressed
	timed    bool    // its client set a deadline
	heard    bool    // its client wants to hear heartbeats
	holding  bool    // flushes are held back
	gathers  bool    // it is a stream, whose writes are gathered
	gathered *[]byte // what was written and not passed on; nil: nothing
	reads    *time.Timer
	writes   *time.Timer

	parked *parked // the stream that the protocol library has returned from
	deaf   bool    // what the library writes is dropped

	mu   sync.Mutex // guards over, and control against its use afterwards
	over bool       // the handler has returned
}

type connKey struct{}

// calls counts the calls that are running and can wait for them.
type calls struct {
	count atomic.Int64
	hold  sync.RWMutex // held for reading by each
}

// wait returns when none is running. Calls that begin meanwhile begin after it.
func (c *calls) wait() {
	c.hold.Lock()
	defer c.hold.Unlock()
}

func (c *calls) begin() {
	c.hold.RLock()
	c.count.Add(1)
}

func (c *calls) end() {
	c.count.Add(-1)
	c.hold.RUnlock()
}

// A lender lends handlers their request's conn. What the requests take counts
// against the memory.
type lender struct {
	next    http.Handler
	running *calls
	memory  *budget
	limits  Limits
}

// ServeHTTP implements [http.Handler].
func (l *lender) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, r := l.lend(w, r)
	defer l.end(c)
	l.next.ServeHTTP(c, r)
	if p := c.parked; p != nil {
		p.leave(r.Context())
		p.err = p.follow(p.ctx)
		p.comeBack(l.next, r)
	}
	c.finish(r)
}

// end is after a request, however it went.
func (l *lender) end(c *conn) {
	c.end()
	l.running.end()
}

// lend returns a request's conn, and the request with it. It is not inlined: what
// it has on the stack would stay there while a tail waits.
//
//go:noinline
func (l *lender) lend(w http.ResponseWriter, r *http.Request) (*conn, *http.Request) {
	l.running.begin()
	get := r.Method == http.MethodGet
	c := &conn{
		ResponseWriter: w,
		control:        http.NewResponseController(w),
		get:            get,
		binary:         !get && !isJSON(r), // a GET names its encoding elsewhere
		gzip:           takesGzip(r.Header),
		timed:          hasTimeout(r.Header),
	}
	w.Header().Set("Cache-Control", "no-store") // a handler that knows better says so
	most := l.limits.messageBytes()
	if isJSON(r) {
		most = l.limits.jsonBytes()
	}
	c.intake = newIntake(r, l.memory, int64(most), c.stopReading)
	r = r.WithContext(context.WithValue(r.Context(), connKey{}, c))
	r.Body = c.intake
	return c, r
}

// finish is behind the handlers.
//
//go:noinline
func (c *conn) finish(r *http.Request) {
	_ = c.pass() // as a failed flush
	c.drain(r)
}

// drainTime is how long the rest of a refused request may take to arrive.
const drainTime = time.Second

// drain takes the rest of a single request that was answered before it had come, as
// one that is too large is. Over HTTP/2 the server would otherwise reset the
// stream, and clients that are still sending, curl among them, lose the answer.
// Over HTTP/1.1 net/http does the same.
func (c *conn) drain(r *http.Request) {
	if kind := r.Header.Get("Content-Type"); r.ProtoMajor != 2 || strings.Contains(kind, "+") || strings.HasPrefix(kind, "application/grpc") {
		return
	}
	if c.control.SetReadDeadline(time.Now().Add(drainTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.intake.ReadCloser, 2*c.intake.most)
	}
}

// end disarms what may still be waiting to use the request, since net/http's
// writer may not be used once its handler has returned.
func (c *conn) end() {
	c.readWithin(0)
	c.writeWithin(0)
	c.intake.timer = arm(c.intake.timer, 0, nil)
	c.intake.settle()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}

// connOf returns the conn that a [lender] lent.
func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// isBinary says whether a call's messages are protobuf's binary encoding.
func isBinary(ctx context.Context) bool {
	c := connOf(ctx)
	return c != nil && c.binary
}

// Header implements [http.ResponseWriter].
func (c *conn) Header() http.Header {
	if c.deaf {
		return http.Header{}
	}
	return c.ResponseWriter.Header()
}

// Unwrap is for http.ResponseController.
func (c *conn) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Write gathers what the protocol library writes, a prefix and a message at a
// time, up to what one write should have. HTTP/2 makes a frame of each write, and
// a system call of each frame.
func (c *conn) Write(p []byte) (int, error) {
	if c.deaf {
		return len(p), nil
	}
	return c.write(p)
}

func (c *conn) write(p []byte) (int, error) {
	if !c.gathers {
		return c.ResponseWriter.Write(p)
	}
	most := c.mostGathered()
	if len(p) >= most || c.gathered != nil && len(*c.gathered)+len(p) > most {
		if err := c.pass(); err != nil {
			return 0, err
		}
	}
	if len(p) >= most {
		return c.ResponseWriter.Write(p)
	}
	if c.gathered == nil {
		c.gathered = gathers.Get().(*[]byte)
	}
	*c.gathered = append(*c.gathered, p...)
	return len(p), nil
}

const (
	// gatherBytes is how much is written at once. More is no faster: a frame of
	// HTTP/2 carries 16 KiB, unless the client takes larger ones.
	gatherBytes = 64 << 10
	// heardBytes is how much it is to a client that wants to hear heartbeats. It
	// hears of a frame when it has all of it, and takes a connection on which it
	// hears nothing for dead: a slow one must carry a frame well within that time.
	heardBytes = 16 << 10
)

func (c *conn) mostGathered() int {
	if c.heard {
		return heardBytes
	}
	return gatherBytes
}

// gathers holds buffers of gatherBytes for streams that are writing; one that is
// parked has none.
var gathers = sync.Pool{New: func() any { b := make([]byte, 0, gatherBytes); return &b }}

// pass writes what was gathered.
func (c *conn) pass() error {
	b := c.gathered
	if b == nil {
		return nil
	}
	c.gathered = nil
	_, err := c.ResponseWriter.Write(*b)
	*b = (*b)[:0]
	gathers.Put(b)
	return err
}

// Flush is how the protocol library flushes, after each message, which costs many
// times what encoding it does; so it does nothing while flushes are held back.
func (c *conn) Flush() {
	if !c.holding && !c.deaf {
		c.flush()
	}
}

// flush sends what was written.
func (c *conn) flush() {
	if c.pass() == nil {
		_ = c.control.Flush()
	}
	// A failed connection shows at the next write.
}

// writeRaw writes messages with their prefixes, as they travel, behind what the
// protocol library has written, which must have sent the headers. So much as is
// written at once has to be taken within the stall.
func (c *conn) writeRaw(messages []byte, stall time.Duration) error {
	for len(messages) > 0 {
		n := min(c.mostGathered(), len(messages))
		c.writeWithin(stall)
		if _, err := c.write(messages[:n]); err != nil {
			return connect.Errorf(connect.CodeUnknown, "write messages: %v", err).WithCause(err) // as the library has it
		}
		messages = messages[n:]
	}
	return nil
}

// hold says that more is ready to be sent, so that a flush can wait for it.
func (c *conn) hold(more bool) { c.holding = more }

// readWithin bounds how long the rest of the request may take from now; 0 ends
// the bound.
func (c *conn) readWithin(d time.Duration) { c.reads = arm(c.reads, d, c.stopReading) }

// writeWithin bounds how long the response may take from now, and cuts the
// stream of a client that leaves it unread for longer; 0 ends the bound.
func (c *conn) writeWithin(d time.Duration) { c.writes = arm(c.writes, d, c.stopWriting) }

// arm sets a timer that calls f after d; 0 stops it. A timer of our own is far
// cheaper to set, as often as for every message, than net/http's deadlines.
func arm(t *time.Timer, d time.Duration, f func()) *time.Timer {
	switch {
	case t == nil && d > 0:
		return time.AfterFunc(d, f)
	case t != nil && d > 0:
		t.Reset(d)
	case t != nil:
		t.Stop()
	}
	return t
}

// stopReading makes the reads of the request fail, now and from now on. What
// has been received already can still be read.
func (c *conn) stopReading() { c.stop(c.control.SetReadDeadline) }

// stopWriting makes the writes of the response fail: the stream is cut.
func (c *conn) stopWriting() { c.stop(c.control.SetWriteDeadline) }

func (c *conn) stop(setDeadline func(time.Time) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		_ = setDeadline(time.Unix(1, 0)) // it fails only if there is nothing left to stop
	}
}

// cache lets caches keep the response; without it they may not.
func (c *conn) cache(control string) { c.Header().Set("Cache-Control", control) }

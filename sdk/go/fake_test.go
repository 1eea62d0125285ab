package proglog_test

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// fakeLog serves one log from memory over real HTTP/2, and fails as it is told.
type fakeLog struct {
	logv1connect.UnimplementedLogHandler

	url   string
	conns *connTracker

	mu      sync.Mutex
	first   uint64
	records []*logv1.Record
	grown   chan struct{} // closed and replaced at every append
	sealed  bool
	logID   string // "" : GetLog is not served
	headers []http.Header

	dedup     bool // producers are supported
	producers map[string]*fakeProducer
	requests  []*logv1.ProduceRequest // that were appended
	closed    bool                    // it takes no more records
	retention *logv1.Retention
	heartbeat bool                // it is supported
	mute      bool                // and yet none comes
	denied    bool                // nobody may make a log
	named     map[string]*fakeLog // nil: every name is this log
	onDelete  func() error        // after a log was deleted
	beforePut func() error        // before a log is made or changed, with the lock
	afterPut  func() error        // after that, with the lock

	// Hooks, called without the lock.
	onUnary   func(call int) error                                                   // before Produce or Consume
	onStream  func(call int, req *logv1.ConsumeRequest) error                        // at the start of a ConsumeStream
	onSend    func(call int, res *logv1.ConsumeResponse) error                       // before a response of a ConsumeStream
	onProduce func(n int, req *logv1.ProduceRequest) (after func() error, err error) // for each request of a ProduceStream

	onBeat      func(call int) error // after a heartbeat of a ConsumeStream
	limits      *logv1.Limits        // that GetLog tells
	onGetLog    func() error         // before GetLog, without the lock
	answer      func(*logv1.GetLogResponse)
	beforeUnary func(*logv1.ProduceRequest) error
	afterUnary  func() error // after the append of a Produce

	unary, streams int
}

// errEndOK makes a ProduceStream end without an error.
var errEndOK = errors.New("end without an error")

// startFake serves a log on a free port of this machine until the test ends.
func startFake(t *testing.T, setUp ...func(*fakeLog)) *fakeLog {
	t.Helper()
	f := newFakeLog("id-1")
	for _, s := range setUp {
		s(f)
	}
	server := connect.NewServer()
	logv1connect.RegisterLogHandler(server, f)
	logv1connect.RegisterAdminHandler(server, fakeAdmin{f: f})
	mux := http.NewServeMux()
	connecthttp.Mount(mux, server)
	f.url = serve(t, f, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.headers = append(f.headers, r.Header.Clone())
		f.mu.Unlock()
		mux.ServeHTTP(w, r)
	}), true)
	return f
}

// serve runs a handler over plaintext HTTP/1.1, and HTTP/2 if wanted.
func serve(t *testing.T, f *fakeLog, h http.Handler, h2 bool) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(h2)
	ctx, cancel := context.WithCancel(context.Background())
	hs := &http.Server{
		Handler: h, Protocols: protocols, ReadHeaderTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    quiet(),
	}
	tracked := &connTracker{Listener: listener}
	if f != nil {
		f.conns = tracked
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = hs.Serve(tracked)
	}()
	t.Cleanup(func() {
		cancel()
		_ = hs.Close()
		<-served
	})
	return "http://" + listener.Addr().String()
}

// quiet is the log of a server whose clients misbehave on purpose.
func quiet() *log.Logger { return slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) }

// connTracker keeps the connections of a server, so that they can be cut.
type connTracker struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (c *connTracker) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		c.conns = append(c.conns, conn)
		c.mu.Unlock()
	}
	return conn, err
}

// cut breaks all connections without a word, as a crash would.
func (c *connTracker) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	c.conns = nil
}

// fail makes an error as the server does: with a detail.
func fail(code connect.Code, detail *logv1.ErrorDetail) error {
	d, err := connectproto.NewErrorDetail(detail)
	if err != nil {
		return err
	}
	return connect.NewError(code, "as the test wants").WithDetail(d)
}

func draining(nothing bool) error {
	return fail(connect.CodeUnavailable, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_DRAINING, NothingAppended: nothing})
}

// append adds records and returns the acknowledgement.
func (f *fakeLog) append(records ...*logv1.Record) *logv1.ProduceResponse {
	f.mu.Lock()
	defer f.mu.Unlock()
	res := &logv1.ProduceResponse{Offset: f.next(), Timestamp: timestamppb.New(time.Unix(1700000000, 7))}
	for _, r := range records {
		r = proto.CloneOf(r)
		r.Offset, r.Timestamp = f.next(), res.Timestamp
		f.records = append(f.records, r)
	}
	res.NextOffset = f.next()
	close(f.grown)
	f.grown = make(chan struct{})
	return res
}

func (f *fakeLog) next() uint64 { return f.first + uint64(len(f.records)) }

// set changes a hook or the state.
func (f *fakeLog) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// calls returns how often Produce or Consume, and ConsumeStream, were called.
func (f *fakeLog) calls() (unary, streams int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unary, f.streams
}

// values returns what the log holds.
func (f *fakeLog) values() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, r := range f.records {
		all = append(all, string(r.GetValue()))
	}
	return all
}

// fill appends records whose values tell their offsets.
func (f *fakeLog) fill(n int) {
	for range n {
		f.mu.Lock()
		next := f.next()
		f.mu.Unlock()
		f.append(&logv1.Record{Value: valueAt(next)})
	}
}

func (f *fakeLog) offsetError(offset uint64) error {
	first, next := f.first, f.next()
	reason := logv1.Reason_REASON_OFFSET_UNWRITTEN
	if offset < first {
		reason = logv1.Reason_REASON_OFFSET_TRIMMED
	}
	return fail(connect.CodeOutOfRange, &logv1.ErrorDetail{Reason: reason, FirstOffset: &first, NextOffset: &next})
}

func requestRecords(req *logv1.ProduceRequest) []*logv1.Record {
	if req.GetRecord() != nil {
		return []*logv1.Record{req.GetRecord()}
	}
	return req.GetRecords()
}

func (f *fakeLog) countUnary() error {
	f.mu.Lock()
	n, hook := f.unary, f.onUnary
	f.unary++
	f.mu.Unlock()
	if hook != nil {
		return hook(n)
	}
	return nil
}

func (f *fakeLog) Produce(_ context.Context, req *logv1.ProduceRequest) (*logv1.ProduceResponse, error) {
	if err := f.countUnary(); err != nil {
		return nil, err
	}
	g, err := f.pick(req.GetLog())
	if err != nil {
		return nil, err
	}
	if f.beforeUnary != nil {
		if err := f.beforeUnary(req); err != nil {
			return nil, err
		}
	}
	res, err := g.accept(req)
	if err == nil && f.afterUnary != nil {
		err = f.afterUnary()
	}
	return res, err
}

func (f *fakeLog) ProduceStream(_ context.Context, stream logv1connect.LogProduceStreamServerStream) error {
	f.mu.Lock()
	onProduce := f.onProduce
	f.mu.Unlock()
	g := f
	for n := 0; ; n++ {
		req, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if n == 0 {
			if g, err = f.pick(req.GetLog()); err != nil {
				return err
			}
		}
		var after func() error
		if onProduce != nil {
			if after, err = onProduce(n, req); errors.Is(err, errEndOK) {
				return nil
			} else if err != nil {
				return err
			}
		}
		res, err := g.accept(req)
		if err != nil {
			return err
		}
		if after != nil {
			if err := after(); err != nil {
				return err
			}
		}
		if err := stream.Send(res); err != nil {
			return err
		}
	}
}

// fast is a retry policy for tests: it waits for next to nothing.
func fast() proglog.Option {
	return proglog.WithRetry(proglog.Retry{Attempts: 4, MinDelay: time.Millisecond, MaxDelay: 2 * time.Millisecond})
}

// connectTo makes a client that is closed when the test ends.
func connectTo(t *testing.T, url string, opts ...proglog.Option) *proglog.Client {
	t.Helper()
	c, err := proglog.New(url, append([]proglog.Option{fast()}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

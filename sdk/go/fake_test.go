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

	// Hooks, called without the lock.
	onUnary   func(call int) error                                                   // before Produce or Consume
	onStream  func(call int, req *logv1.ConsumeRequest) error                        // at the start of a ConsumeStream
	onSend    func(call int, res *logv1.ConsumeResponse) error                       // before a response of a ConsumeStream
	onProduce func(n int, req *logv1.ProduceRequest) (after func() error, err error) // for each request of a ProduceStream

	unary, streams int
}

// errEndOK makes a ProduceStream end without an error.
var errEndOK = errors.New("end without an error")

// startFake serves a log on a free port of this machine until the test ends.
func startFake(t *testing.T, setUp ...func(*fakeLog)) *fakeLog {
	t.Helper()
	f := &fakeLog{grown: make(chan struct{}), logID: "id-1"}
	for _, s := range setUp {
		s(f)
	}
	server := connect.NewServer()
	logv1connect.RegisterLogHandler(server, f)
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
	f.mu.Lock()
	next := f.next()
	f.mu.Unlock()
	if req.ExpectedOffset != nil && req.GetExpectedOffset() != next {
		return nil, fail(connect.CodeAborted, &logv1.ErrorDetail{
			Reason: logv1.Reason_REASON_OFFSET_MISMATCH, NothingAppended: true, NextOffset: &next,
		})
	}
	return f.append(requestRecords(req)...), nil
}

func (f *fakeLog) Consume(_ context.Context, req *logv1.ConsumeRequest) (*logv1.ConsumeResponse, error) {
	if err := f.countUnary(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if req.GetOffset() < f.first || req.GetOffset() >= f.next() {
		return nil, f.offsetError(req.GetOffset())
	}
	return &logv1.ConsumeResponse{Record: f.records[req.GetOffset()-f.first]}, nil
}

func (f *fakeLog) GetLog(context.Context, *logv1.GetLogRequest) (*logv1.GetLogResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.logID == "" {
		return nil, fail(connect.CodeUnimplemented, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_UNSUPPORTED})
	}
	return &logv1.GetLogResponse{Info: &logv1.LogInfo{LogId: f.logID, FirstOffset: f.first, NextOffset: f.next()}}, nil
}

func (f *fakeLog) ConsumeStream(ctx context.Context, req *logv1.ConsumeRequest, stream logv1connect.LogConsumeStreamServerStream) error {
	f.mu.Lock()
	call, onStream, onSend := f.streams, f.onStream, f.onSend
	f.streams++
	f.mu.Unlock()
	if onStream != nil {
		if err := onStream(call, req); err != nil {
			return err
		}
	}
	for offset := req.GetOffset(); ; {
		f.mu.Lock()
		res, grown, err := f.read(offset, req)
		f.mu.Unlock()
		if err != nil || res == nil && grown == nil {
			return err
		}
		if res == nil {
			select {
			case <-grown:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		if onSend != nil {
			if err := onSend(call, res); err != nil {
				return err
			}
		}
		if err := stream.Send(res); err != nil {
			return err
		}
		offset += uint64(len(res.GetRecords()))
	}
}

// read returns the next response, or what to wait for, or nothing at the end.
func (f *fakeLog) read(offset uint64, req *logv1.ConsumeRequest) (*logv1.ConsumeResponse, chan struct{}, error) {
	until := f.next()
	if req.UntilOffset != nil {
		until = min(until, req.GetUntilOffset())
	}
	switch {
	case req.GetLogId() != "" && req.GetLogId() != f.logID:
		return nil, nil, fail(connect.CodeFailedPrecondition, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_LOG_CHANGED})
	case offset < f.first:
		return nil, nil, f.offsetError(offset)
	case req.UntilOffset != nil && offset >= req.GetUntilOffset(), f.sealed && offset >= f.next():
		return nil, nil, nil
	case offset >= until:
		return nil, f.grown, nil
	}
	end := min(until, offset+uint64(req.GetMaxRecords()))
	res := &logv1.ConsumeResponse{Records: f.records[offset-f.first : end-f.first]}
	if next := f.next(); end == next {
		res.NextOffset = &next
	}
	return res, nil, nil
}

func (f *fakeLog) ProduceStream(_ context.Context, stream logv1connect.LogProduceStreamServerStream) error {
	f.mu.Lock()
	onProduce := f.onProduce
	f.mu.Unlock()
	for n := 0; ; n++ {
		req, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var after func() error
		if onProduce != nil {
			if after, err = onProduce(n, req); errors.Is(err, errEndOK) {
				return nil
			} else if err != nil {
				return err
			}
		}
		res := f.append(requestRecords(req)...)
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

package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/commitlog/commitlogtest"
	"github.com/proglog/proglog/server/internal/rpc"
)

// patience is how long a test waits for what has to happen; it only passes when
// a test fails.
const patience = time.Minute

// TestMain checks, after all tests, that none of them left a goroutine of the
// server behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leaked(); left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leaked returns the stacks of goroutines that run this package's code, once
// they had time to end.
func leaked() string {
	var left []string
	for start := time.Now(); time.Since(start) < patience; runtime.Gosched() {
		buf := make([]byte, 1<<22)
		buf = buf[:runtime.Stack(buf, true)]
		left = nil
		for _, g := range strings.Split(string(buf), "\n\n") {
			if strings.Contains(g, "server/internal/rpc.") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			break
		}
	}
	return strings.Join(left, "\n\n")
}

// testServer is a server on a port of its own, with everything that tests want
// to look at.
type testServer struct {
	*rpc.Server
	engine *commitlogtest.Memory
	addr   string
	url    string
	logs   *logBuffer
	served chan error
	clock  *clock
}

// A clock is the engine's: the system's, until a test makes it tick.
type clock struct {
	mu   sync.Mutex
	now  time.Time
	step time.Duration // at each look; 0: the system's clock
}

func (c *clock) look() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.step == 0 {
		return time.Now()
	}
	c.now = c.now.Add(c.step)
	return c.now
}

// tick makes the engine's clock move by a step at each look, from now on.
func (s *testServer) tick(step time.Duration) {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	s.clock.now, s.clock.step = time.Now(), step
}

// logBuffer collects a server's log.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newServer starts a server on the engine in memory. wrap, if not nil, decorates
// the engine.
func newServer(t *testing.T, opts rpc.Options, wrap func(commitlog.Engine) commitlog.Engine) *testServer {
	t.Helper()
	clock := new(clock)
	s := &testServer{
		engine: commitlogtest.NewMemory(commitlogtest.Options{Limits: opts.Limits.Batch, Now: clock.look}),
		logs:   new(logBuffer),
		served: make(chan error, 1),
		clock:  clock,
	}
	opts.Logger = slog.New(slog.NewJSONHandler(s.logs, nil))
	var engine commitlog.Engine = s.engine
	if wrap != nil {
		engine = wrap(engine)
	}
	var err error
	s.Server, err = rpc.New(engine, opts)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = l.Addr().String()
	s.url = "http://" + s.addr
	go func() { s.served <- s.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, <-s.served)
		require.NoError(t, s.engine.Close())
	})
	return s
}

// newLog makes a named log and returns it.
func (s *testServer) newLog(t *testing.T, name string) commitlog.CommitLog {
	t.Helper()
	log, _, err := s.engine.Put(t.Context(), name, commitlog.Change{})
	require.NoError(t, err)
	return log
}

// fill appends values to the default log, behind the server's back.
func (s *testServer) fill(t *testing.T, values ...string) {
	t.Helper()
	log, err := s.engine.Log(t.Context(), "")
	require.NoError(t, err)
	for _, v := range values {
		_, err := log.Append(t.Context(), commitlog.Batch{Records: []commitlog.Record{{Value: []byte(v)}}})
		require.NoError(t, err)
	}
}

// A dialect is a way to speak to the server.
type dialect struct {
	name    string
	http2   bool
	options []connecthttp.Option
}

// json says whether the dialect's messages are JSON.
func (d dialect) json() bool { return strings.Contains(d.name, "JSON") }

func dialects() []dialect {
	json := []connecthttp.Option{connecthttp.WithProtoJSON()}
	grpc := []connecthttp.Option{connecthttp.WithGRPC()}
	web := []connecthttp.Option{connecthttp.WithGRPCWeb()}
	return []dialect{
		{"connect over HTTP/1.1", false, nil},
		{"connect JSON over HTTP/1.1", false, json},
		{"gRPC-Web over HTTP/1.1", false, web},
		{"connect over h2c", true, nil},
		{"connect JSON over h2c", true, json},
		{"gRPC over h2c", true, grpc},
		{"gRPC-Web over h2c", true, web},
	}
}

// newHTTPClient returns a client for HTTP/1.1, or HTTP/2 by prior knowledge.
func newHTTPClient(t *testing.T, http2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetUnencryptedHTTP2(http2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (s *testServer) transport(t *testing.T, d dialect) *connect.Client {
	t.Helper()
	return connect.NewClient(connecthttp.NewTransport(newHTTPClient(t, d.http2), s.url, d.options...))
}

func (s *testServer) client(t *testing.T, d dialect) logv1connect.LogClient {
	t.Helper()
	return logv1connect.NewLogClient(s.transport(t, d))
}

func (s *testServer) admin(t *testing.T, d dialect) logv1connect.AdminClient {
	t.Helper()
	return logv1connect.NewAdminClient(s.transport(t, d))
}

// grpc returns a client of the dialect that can do everything.
func (s *testServer) grpc(t *testing.T) logv1connect.LogClient {
	t.Helper()
	return s.client(t, dialect{"gRPC over h2c", true, []connecthttp.Option{connecthttp.WithGRPC()}})
}

// eachDialect runs a test in every dialect; those over HTTP/1.1 are left out if
// the test needs both directions at once.
func eachDialect(t *testing.T, bidi bool, test func(t *testing.T, d dialect)) {
	t.Helper()
	for _, d := range dialects() {
		if bidi && !d.http2 {
			continue
		}
		t.Run(d.name, func(t *testing.T) { test(t, d) })
	}
}

func ctxWithPatience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// requireError checks an error of ours: its code, and the reason in its detail,
// which it returns.
func requireError(t *testing.T, err error, code connect.Code, reason logv1.Reason) *logv1.ErrorDetail {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code.String(), connect.CodeOf(err).String(), "%v", err)
	detail := detailOf(t, err)
	require.NotNil(t, detail, "%v has no detail", err)
	require.Equal(t, reason.String(), detail.GetReason().String())
	return detail
}

// detailOf returns the detail of an error that came over the wire; nil if it has
// none.
func detailOf(t *testing.T, err error) *logv1.ErrorDetail {
	t.Helper()
	e, ok := errors.AsType[*connect.Error](err)
	require.True(t, ok, "%v is no error of the protocol", err)
	require.True(t, e.IsRemote(), "%v is not the server's", err)
	if len(e.Details()) == 0 {
		return nil
	}
	require.Len(t, e.Details(), 1)
	m, err := connectproto.UnmarshalErrorDetail(e.Details()[0])
	require.NoError(t, err)
	detail, ok := m.(*logv1.ErrorDetail)
	require.True(t, ok)
	return detail
}

func one(value string) *logv1.ProduceRequest {
	return &logv1.ProduceRequest{Record: &logv1.Record{Value: []byte(value)}}
}

func many(values ...string) *logv1.ProduceRequest {
	req := &logv1.ProduceRequest{}
	for _, v := range values {
		req.Records = append(req.Records, &logv1.Record{Value: []byte(v)})
	}
	return req
}

func ptr[T any](v T) *T { return &v }

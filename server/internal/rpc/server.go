// Package rpc serves log.v1 from an engine, as Connect, gRPC and gRPC-Web, over
// HTTP/1.1 and HTTP/2 on one port.
//
// It knows nothing of files. Handlers turn requests into calls of a
// [commitlog.Engine]; errors.go is the one place where errors get their codes;
// limits.go names every bound.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
)

// Options tune a [Server]. The zero value of each field is its default.
type Options struct {
	Limits Limits

	// Timeouts of connections.
	Timeouts Timeouts

	// CreateOnProduce lets a produce make the log that it names: "*" is every
	// log, another text those whose names start with it, and empty none.
	CreateOnProduce string

	// PublicCache lets the caches between server and client keep what they may,
	// not just the client's own. It is not for servers that ask who is calling.
	PublicCache bool

	// AllowOrigins are the origins whose pages may call the server from a browser
	// (CORS), such as "https://app.example"; "*" alone is all of them. By default
	// there is none.
	AllowOrigins []string

	// CheckHost refuses requests whose Host is neither a loopback name or
	// address nor ListenHost. It is for servers that listen on loopback.
	CheckHost  bool
	ListenHost string

	// HealthInterval is how often a health watch asks the engine by itself: 5 s
	// by default. A failed append is noticed at once.
	HealthInterval time.Duration

	// Logger gets internal errors, each with the incident that its caller was
	// told, and the stages of a drain; by default nothing is logged. No value,
	// header or other content of a record is ever logged.
	Logger *slog.Logger
}

// Timeouts of connections. The zero value of each field is its default. There is
// none for the whole of a request or response: streams live long.
type Timeouts struct {
	ReadHeader time.Duration // for a request's headers, or the HTTP/2 preface: 5 s
	Idle       time.Duration // a connection without calls: 120 s
	SendPing   time.Duration // silence before an HTTP/2 connection is probed: 30 s
	Ping       time.Duration // for the answer to a probe: 15 s
	WriteByte  time.Duration // for a connection to take anything at all: 30 s
}

func (t Timeouts) withDefaults() Timeouts {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.ReadHeader, 5 * time.Second},
		{&t.Idle, 120 * time.Second},
		{&t.SendPing, 30 * time.Second},
		{&t.Ping, 15 * time.Second},
		{&t.WriteByte, 30 * time.Second},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	return t
}

// A Server serves an engine until it is drained. It does not close the engine.
type Server struct {
	limits   Limits
	logger   *slog.Logger
	health   *health
	http     *http.Server
	draining context.Context // ends when a drain begins
	drain    context.CancelFunc
	cut      context.CancelFunc // ends every call that is still running
	running  calls
	failed   atomic.Bool // an append has shown that the storage failed
}

// New returns a server for an engine.
func New(engine commitlog.Engine, opts Options) (*Server, error) {
	if err := opts.Limits.Validate(); err != nil {
		return nil, err
	}
	if err := CheckCreateOnProduce(opts.CreateOnProduce); err != nil {
		return nil, err
	}
	if err := CheckOrigins(opts.AllowOrigins); err != nil {
		return nil, err
	}
	s := &Server{limits: opts.Limits.withDefaults(), logger: opts.Logger}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if opts.HealthInterval == 0 {
		opts.HealthInterval = 5 * time.Second
	}
	s.draining, s.drain = context.WithCancel(context.Background())
	s.health = newHealth(s.draining.Done(), engine.Check, opts.HealthInterval)
	handler, err := s.routes(engine, opts)
	if err != nil {
		return nil, err
	}
	pages := newCORS(opts.AllowOrigins)
	if len(opts.AllowOrigins) > 0 {
		handler = pages.preflights(handler)
	}
	if opts.CheckHost {
		handler = checkHost(handler, opts.ListenHost)
	}
	handler = &lender{handler, &s.running, &budget{limit: int64(s.limits.RequestMemory)}, s.limits}
	if len(opts.AllowOrigins) > 0 {
		handler = pages.mark(handler)
	}
	s.http = s.newHTTPServer(handler, opts.Timeouts.withDefaults())
	return s, nil
}

// CheckCreateOnProduce reports an [Options.CreateOnProduce] with which no name of
// a log can start.
func CheckCreateOnProduce(prefix string) error {
	if prefix == "" || prefix == "*" || commitlog.CheckLogName(prefix) == nil || commitlog.CheckLogName(prefix+"x") == nil {
		return nil
	}
	return fmt.Errorf("no log's name starts with %q: use * for every log, or the start of a name", prefix)
}

// routes returns the handler of every path.
func (s *Server) routes(engine commitlog.Engine, opts Options) (http.Handler, error) {
	server := connect.NewServer(s.interceptors()...)
	logv1connect.RegisterLogHandler(server, &logService{
		engine: engine, limits: s.limits, create: opts.CreateOnProduce, publicCache: opts.PublicCache, draining: s.draining,
	})
	logv1connect.RegisterAdminHandler(server, &adminService{engine: engine, limits: s.limits})
	schema, err := newHealthSchema()
	if err != nil {
		return nil, err
	}
	s.health.register(server, schema)
	if err := registerReflection(server); err != nil {
		return nil, err
	}
	mount := func(messageBytes int) http.Handler {
		options := protocolOptions(s.limits, messageBytes)
		errors := connecthttp.NewErrorWriter(options...)
		mux := newProcedureMux(errors)
		connecthttp.Mount(mux, server, options...)
		return checkTimeout(mux, errors)
	}
	binary, json := mount(s.limits.messageBytes()), mount(s.limits.jsonBytes())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isJSON(r) {
			json.ServeHTTP(w, r)
			return
		}
		binary.ServeHTTP(w, r)
	}), nil
}

// newHTTPServer returns the HTTP server: HTTP/1.1 and, by prior knowledge,
// HTTP/2 without TLS on the same port.
func (s *Server) newHTTPServer(handler http.Handler, t Timeouts) *http.Server {
	calls, cut := context.WithCancel(context.Background())
	s.cut = cut
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: t.ReadHeader,
		IdleTimeout:       t.Idle,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: s.limits.StreamsPerConnection,
			SendPingTimeout:      t.SendPing,
			PingTimeout:          t.Ping,
			WriteByteTimeout:     t.WriteByte,
		},
		ErrorLog:    slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return calls },
	}
}

// Serve answers what the listener accepts, until Drain or Close. It closes the
// listener. It returns nil when it was asked to end.
func (s *Server) Serve(l net.Listener) error {
	bounded := &boundedListener{Listener: l, limit: int64(s.limits.Connections), logger: s.logger}
	if err := s.http.Serve(bounded); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// Drain ends the server without losing anything that it acknowledged. Health
// turns to NOT_SERVING, no connection is accepted any more, and new calls are
// refused. Tails end with UNAVAILABLE and reason DRAINING; a ProduceStream is
// answered what it had sent and ends likewise; other calls run to their end.
// What is still running when the context ends is cut, and the context's error
// returned.
func (s *Server) Drain(ctx context.Context) error {
	s.logger.Info("drain: refusing new calls and ending streams")
	s.drain()
	s.health.changed()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.logger.Warn("drain: cutting the calls that are still running", "error", err)
	} else {
		s.logger.Info("drain: every call has ended")
	}
	return errors.Join(err, s.Close())
}

// Draining says whether a drain has begun.
func (s *Server) Draining() bool { return s.draining.Err() != nil }

// Running returns how many calls are under way.
func (s *Server) Running() int { return int(s.running.count.Load()) }

// Close ends the server at once, and returns when no call uses the engine any
// more.
func (s *Server) Close() error {
	s.drain()
	s.cut()
	err := s.http.Close()
	s.running.wait() // later calls find that the server drains
	return err
}

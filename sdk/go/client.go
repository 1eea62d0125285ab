package proglog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// Version is the version of this SDK, which it tells the server.
const Version = "0.1.0"

// maxResponseBytes is the largest response that is read: the highest that a
// server's limit of a value can be, its headers and the encoding.
const maxResponseBytes = 17 << 20

// Client speaks to one server. It is safe for concurrent use, and one is
// enough: its calls share a connection, and open more of them when the server
// wants no more streams on one.
type Client struct {
	rpc    *connect.Client
	log    logv1connect.LogClient
	limits Limits
	retry  Retry
	logger *slog.Logger
	conns  conns
	life   life

	admin      logv1connect.AdminClient
	shared     sharing
	identities identities
	dedups     atomic.Bool // the server knows a request that comes twice
}

// New makes a client of the server at baseURL, such as "http://127.0.0.1:8400".
// An http:// address is reached over plaintext HTTP/2, an https:// address over
// TLS. Nothing is dialled before the first call.
func New(baseURL string, opts ...Option) (*Client, error) {
	base, err := parseBase(baseURL)
	if err != nil {
		return nil, fmt.Errorf("proglog: address %q: %w", baseURL, err)
	}
	config := clientConfig{
		headers:   make(http.Header),
		userAgent: "proglog-go/" + Version,
		retry:     DefaultRetry(),
		limits:    DefaultLimits(),
		logger:    slog.New(slog.DiscardHandler),
	}
	for _, o := range opts {
		if o == nil {
			return nil, errors.New("proglog: an option is nil")
		}
		o.applyClient(&config)
	}
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("proglog: %w", err)
	}
	if config.token != nil && base.Scheme == "http" && !isLoopback(base.Hostname()) {
		return nil, fmt.Errorf("proglog: a token would travel to %s in the clear: use https://", base.Host)
	}
	c := &Client{limits: config.limits, retry: config.retry, logger: config.logger}
	c.life.running = make(map[*context.Context]context.CancelCauseFunc)
	c.shared = sharing{open: make(map[string]*sharedStream), idle: sharedIdle}
	c.identities.free = make(map[string][]identity)
	c.conns.dialed.open = make(map[*dialedConn]struct{})
	c.conns.make = func(again bool) (*http.Client, func()) {
		if config.httpClient != nil {
			hc, closeIdle := c.conns.ofCaller(config.httpClient, again)
			return config.wrapped(hc), closeIdle
		}
		transport := newTransport(base.Scheme, config.tls, c.conns.track(c.conns.checked(base.Scheme, dialer())))
		return config.wrapped(&http.Client{Transport: transport}), transport.CloseIdleConnections
	}
	c.conns.renew(0)
	options := []connecthttp.Option{
		connecthttp.WithCodecs(codec{connectproto.NewBinaryCodec()}),
		// Compressing small records costs more than sending them.
		connecthttp.WithCompressors(),
		connecthttp.WithReadMaxBytes(maxResponseBytes),
	}
	if config.protocol == ProtocolGRPC {
		options = append(options, connecthttp.WithGRPC())
	}
	c.rpc = connect.NewClient(
		connecthttp.NewTransport(&bufferingClient{conns: &c.conns}, base.String(), options...),
		c.refuseWhenClosed,
		config.addHeaders,
	)
	c.log = logv1connect.NewLogClient(c.rpc)
	c.admin = logv1connect.NewAdminClient(c.rpc)
	return c, nil
}

// Close ends everything of the client, whatever the network does: calls, reads
// and producers that still run end with an error that is [ErrClosed], with
// [CodeCanceled], and so do those that come after. What a producer has not sent is
// [ErrNothingAppended]; what was on its way is [ErrOutcomeUnknown]. Close the
// producers first to have their records in the log. Close waits for nothing, and
// returns nil.
func (c *Client) Close() error {
	c.life.end()
	c.shared.close()
	c.conns.close()
	return nil
}

// parseBase checks the address of a server.
func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case !strings.Contains(s, "://"):
		return nil, errors.New("add http:// or https:// in front of it")
	case err != nil:
		return nil, errors.Unwrap(err) // the outer error repeats the address
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("it has to start with http:// or https://")
	case u.Host == "":
		return nil, errors.New("it names no host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("it may have a host, a port and a path, and nothing else")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// clientClosed is the message of what Close has ended.
const clientClosed = "the client is closed"

// refuseWhenClosed fails every call after Close.
func (c *Client) refuseWhenClosed(next connect.ClientFunc) connect.ClientFunc {
	return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
		if c.life.ended() {
			e := refused(CodeCanceled, ReasonUnspecified, clientClosed)
			e.cause = ErrClosed
			return nil, e
		}
		return next(ctx, spec)
	}
}

// bounds is what a read needs to know of a log before it starts.
type bounds struct {
	logID       string // "" if the server does not tell
	first, next uint64
	heartbeat   [2]time.Duration // the shortest and the longest interval; 0: there are none
}

// bounds asks for the identity and the bounds of a log; see alive for patience.
func (c *Client) bounds(ctx context.Context, log string, patience time.Duration) (bounds, *Error) {
	var b bounds
	err := c.retryRead(ctx, "describe the log", c.alive(patience, func(ctx context.Context) *Error {
		res, err := c.log.GetLog(ctx, &logv1.GetLogRequest{Log: log})
		if err == nil {
			info, limits := res.GetInfo(), res.GetLimits()
			b = bounds{
				info.GetLogId(), info.GetFirstOffset(), info.GetNextOffset(),
				[2]time.Duration{limits.GetMinHeartbeat().AsDuration(), limits.GetMaxHeartbeat().AsDuration()},
			}
			return nil
		}
		e := translate(ctx, err)
		if e.Code != CodeUnimplemented || !e.FromServer {
			return e
		}
		// A server without GetLog tells the bounds when it is asked for a
		// record that cannot be there.
		ctx = newAttempt(ctx)
		_, e = c.consumeOnce(ctx, &logv1.ConsumeRequest{Log: log, Offset: ^uint64(0), MaxRecords: 1})
		if e == nil || e.Reason != ReasonOffsetUnwritten {
			return e
		}
		b = bounds{first: e.FirstOffset, next: e.NextOffset}
		return nil
	}))
	return b, err
}

// retryRead calls once until it succeeds, fails for good, or the attempts are
// used up. Each try gets a context of its own to find its response by.
func (c *Client) retryRead(ctx context.Context, what string, once func(context.Context) *Error) *Error {
	ctx, leave := c.life.join(ctx)
	defer leave()
	for b := (backoff{policy: c.retry}); ; {
		err := once(newAttempt(ctx))
		if err == nil || err.fate() == final || b.exhausted() {
			return err
		}
		if !c.pause(ctx, &b, what, err) {
			return interrupted(ctx, err)
		}
	}
}

// interrupted is the error of a call whose context ended between two tries: why it
// ended, and what the last try failed with.
func interrupted(ctx context.Context, last *Error) *Error {
	e := translate(ctx, ctx.Err())
	if last.Code == e.Code && !last.FromServer {
		return last // the end came upon the try
	}
	e.NothingAppended = last.NothingAppended
	e.Message += "; before that: " + last.Message
	e.cause = errors.Join(e.cause, last)
	return e
}

// pause waits before the next try, and reports false if the context ended.
func (c *Client) pause(ctx context.Context, b *backoff, what string, err *Error) bool {
	d := b.pause()
	c.logger.WarnContext(ctx, "proglog: trying again", "to", what, "after", d, "failures", b.failed, "error", err)
	return sleep(ctx, d)
}

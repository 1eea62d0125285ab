package proglog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
)

// Option sets up a [Client].
type Option interface{ applyClient(*clientConfig) }

// Protocol is the way the client speaks over HTTP.
type Protocol int

const (
	// ProtocolConnect is the default. It needs no HTTP trailers, and all but
	// producers work over HTTP/1.1 too, which an https:// address may turn out to
	// speak: calls of Produce go alone there, and a producer ends at once with
	// [CodeUnimplemented]. A proxy must not hold requests or answers back.
	ProtocolConnect Protocol = iota
	// ProtocolGRPC is for networks that let through only gRPC.
	ProtocolGRPC
)

type clientConfig struct {
	wrong      error // the first option that makes no sense by itself
	httpClient *http.Client
	tls        *tls.Config
	token      func(context.Context) (string, error)
	headers    http.Header
	userAgent  string
	retry      Retry
	limits     Limits
	logger     *slog.Logger
	protocol   Protocol
	wraps      []func(http.RoundTripper) http.RoundTripper
}

// clientOption is how every option of a client is made: the set is closed.
type clientOption func(*clientConfig)

func (o clientOption) applyClient(c *clientConfig) { o(c) }

// WithHTTPClient sends everything through hc instead of a client of its own.
// It has to speak HTTP/2 if producers are used: to an http:// address by prior
// knowledge, which [http.Transport] does when its Protocols say so. Redirects are not
// followed, whatever it does with them elsewhere. Its connections stay its own.
//
// When a follower misses heartbeats, those that are idle are closed, and what comes
// goes out by a copy of its [http.Transport]. A transport of another kind is used on:
// it has to notice by itself that a connection is dead, by pings for one.
func WithHTTPClient(hc *http.Client) Option {
	return clientOption(func(c *clientConfig) {
		c.httpClient = hc
		c.refuse(hc == nil, "the HTTP client is nil")
	})
}

// WithRoundTripper puts a layer around whatever sends the requests, such as one
// that traces them (otelhttp.NewTransport) or counts them: it sees every try of a
// call, with the method as the last part of the path, and may add headers. The
// one that is given first is the outermost.
func WithRoundTripper(wrap func(next http.RoundTripper) http.RoundTripper) Option {
	return clientOption(func(c *clientConfig) {
		c.wraps = append(c.wraps, wrap)
		c.refuse(wrap == nil, "the layer around the transport is nil")
	})
}

// wrapped is an HTTP client with all layers around its transport.
func (c *clientConfig) wrapped(hc *http.Client) *http.Client {
	layered := *hc
	// Records and tokens go to the address that was given, and nowhere else.
	layered.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if len(c.wraps) == 0 {
		return &layered
	}
	if layered.Transport == nil {
		layered.Transport = http.DefaultTransport
	}
	for _, wrap := range slices.Backward(c.wraps) {
		layered.Transport = wrap(layered.Transport)
	}
	return &layered
}

// WithTLSConfig sets what an https:// address is reached with: the roots to
// trust, a certificate of the client's own.
func WithTLSConfig(config *tls.Config) Option {
	return clientOption(func(c *clientConfig) { c.tls = config })
}

// WithToken asks source for a token before every call and sends it as "Bearer".
// A token goes to an https:// address, or to this machine, only. When source fails,
// or returns what cannot be sent, the call, the reader or the producer ends with an
// error and nothing is sent.
func WithToken(source func(context.Context) (string, error)) Option {
	return clientOption(func(c *clientConfig) {
		c.token = source
		c.refuse(source == nil, "the source of tokens is nil")
	})
}

// WithHeader adds an HTTP header to every call. [New] refuses one that cannot be
// sent: a value has printable ASCII and tabs, and what frames requests, such as
// Content-Type, is not the caller's to set.
func WithHeader(name, value string) Option {
	return clientOption(func(c *clientConfig) {
		if err := checkHeader(name, value); err != nil {
			c.refuse(true, err.Error())
			return
		}
		c.headers.Add(name, value)
	})
}

// WithUserAgent puts a program's name, such as "billing/2.1", before the SDK's
// in the User-Agent header. It has printable ASCII.
func WithUserAgent(program string) Option {
	return clientOption(func(c *clientConfig) {
		if err := checkHeaderValue(program); err != nil {
			c.refuse(true, "the user agent: "+err.Error())
		}
		c.userAgent = program + " " + c.userAgent
	})
}

// WithRetry changes how failed calls are tried again; see [DefaultRetry].
func WithRetry(retry Retry) Option {
	return clientOption(func(c *clientConfig) { c.retry = retry })
}

// WithLimits changes the limits that are checked before anything is sent, for a
// server that has others; see [DefaultLimits].
func WithLimits(limits Limits) Option {
	return clientOption(func(c *clientConfig) { c.limits = limits })
}

// WithLogger reports every lost connection and every retry, without values.
// Unless it is set, nothing is logged.
func WithLogger(logger *slog.Logger) Option {
	return clientOption(func(c *clientConfig) { c.logger = logger })
}

// WithProtocol changes the protocol; see [ProtocolConnect].
func WithProtocol(p Protocol) Option {
	return clientOption(func(c *clientConfig) { c.protocol = p })
}

// refuse notes what is wrong with an option, unless something is already.
func (c *clientConfig) refuse(wrong bool, why string) {
	if wrong && c.wrong == nil {
		c.wrong = errors.New(why)
	}
}

// validate reports the first setting that makes no sense.
func (c *clientConfig) validate() error {
	switch l, r := c.limits, c.retry; {
	case c.wrong != nil:
		return c.wrong
	case c.httpClient != nil && c.tls != nil:
		return errors.New("WithTLSConfig has no effect beside WithHTTPClient: set it on the transport of the HTTP client")
	case r.Attempts < 1 || r.MinDelay <= 0 || r.MaxDelay < r.MinDelay:
		return fmt.Errorf("retry needs at least 1 attempt and delays above 0 in order, not %+v", r)
	case r.MaxDelay > MaxRetryDelay:
		return fmt.Errorf("retry has a delay of %v: the longest is %v", r.MaxDelay, MaxRetryDelay)
	case l.ValueBytes < 1 || l.Headers < 0 || l.HeaderBytes < 0 || l.BatchRecords < 1 || l.BatchBytes < 1:
		return fmt.Errorf("a limit is out of range: %+v", l)
	case c.protocol != ProtocolConnect && c.protocol != ProtocolGRPC:
		return fmt.Errorf("there is no protocol %d", c.protocol)
	case c.logger == nil:
		return errors.New("the logger is nil")
	}
	return nil
}

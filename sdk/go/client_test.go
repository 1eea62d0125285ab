package proglog_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

// Goal: an address or a setting that cannot work is refused by New.
func TestNewRefuses(t *testing.T) {
	token := proglog.WithToken(func(context.Context) (string, error) { return "t", nil })
	for _, row := range []struct {
		name, url string
		opts      []proglog.Option
		text      string // empty: it is accepted
	}{
		{"loopback", "http://127.0.0.1:8400", nil, ""},
		{"a path", "https://example.com/logs/", nil, ""},
		{"no scheme", "127.0.0.1:8400", nil, "add http://"},
		{"host and port only", "localhost:8400", nil, "http://"},
		{"another scheme", "ftp://localhost", nil, "http://"},
		{"no host", "http://", nil, "host"},
		{"a query", "http://localhost?x=1", nil, "nothing else"},
		{"a password", "http://a:b@localhost", nil, "nothing else"},
		{"a token in the clear", "http://example.com", []proglog.Option{token}, "in the clear"},
		{"a token on this machine", "http://[::1]:1", []proglog.Option{token}, ""},
		{"a token over TLS", "https://example.com", []proglog.Option{token}, ""},
		{"no attempt", "http://localhost", []proglog.Option{proglog.WithRetry(proglog.Retry{})}, "retry"},
		{"delays that overflow", "http://localhost", []proglog.Option{
			proglog.WithRetry(proglog.Retry{Attempts: 3, MinDelay: math.MaxInt64, MaxDelay: math.MaxInt64}),
		}, "the longest is 24h"},
		{"delays at their limit", "http://localhost", []proglog.Option{
			proglog.WithRetry(proglog.Retry{Attempts: 3, MinDelay: 1, MaxDelay: proglog.MaxRetryDelay}),
		}, ""},
		{"an option that is nil", "http://localhost", []proglog.Option{nil}, "option is nil"},
		{"no HTTP client", "http://localhost", []proglog.Option{proglog.WithHTTPClient(nil)}, "HTTP client is nil"},
		{"no source of tokens", "http://localhost", []proglog.Option{proglog.WithToken(nil)}, "tokens is nil"},
		{"no limits", "http://localhost", []proglog.Option{proglog.WithLimits(proglog.Limits{})}, "limit"},
		{"an unknown protocol", "http://localhost", []proglog.Option{proglog.WithProtocol(7)}, "protocol"},
		{"no logger", "http://localhost", []proglog.Option{proglog.WithLogger(nil)}, "logger"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := proglog.New(row.url, row.opts...)
			if row.text == "" {
				require.NoError(t, err)
				require.NoError(t, c.Close())
				return
			}
			assert.ErrorContains(t, err, row.text)
		})
	}
}

// Goal: headers, token and user agent go with every call; a token that cannot be
// had fails the call before anything is sent.
func TestHeaders(t *testing.T) {
	f := startFake(t)
	c := connectTo(t, f.url, proglog.WithHeader("X-Team", "blue"), proglog.WithUserAgent("test/1"),
		proglog.WithToken(func(context.Context) (string, error) { return "secret", nil }))
	_, err := c.Produce(t.Context(), record("a"))
	require.NoError(t, err)
	collectNothing(t, c)
	f.set(func() {
		require.NotEmpty(t, f.headers)
		for _, h := range f.headers {
			assert.Equal(t, "blue", h.Get("X-Team"))
			assert.Equal(t, "Bearer secret", h.Get("Authorization"))
			assert.Equal(t, "test/1 proglog-go/"+proglog.Version, h.Get("User-Agent"))
			assert.NotContains(t, h.Get("Accept-Encoding")+h.Get("Connect-Accept-Encoding"), "gzip")
		}
	})
	noToken := errors.New("no token today")
	c = connectTo(t, f.url, proglog.WithToken(func(context.Context) (string, error) { return "", noToken }))
	_, err = c.Produce(t.Context(), record("a"))
	requireOutcome(t, err, proglog.ErrNothingAppended)
	require.ErrorIs(t, err, noToken)
	_, err = c.NewProducer(t.Context())
	require.ErrorIs(t, err, noToken)
}

// collectNothing reads the log to its tail.
func collectNothing(t *testing.T, c *proglog.Client) {
	t.Helper()
	for _, err := range c.Records(t.Context()) {
		require.NoError(t, err)
	}
}

// Goal: a closed client refuses every call.
func TestClosedClient(t *testing.T) {
	c := connectTo(t, startFake(t).url)
	require.NoError(t, c.Close())
	_, err := c.Produce(t.Context(), record("a"))
	require.ErrorIs(t, err, proglog.ErrClosed)
	requireOutcome(t, err, proglog.ErrNothingAppended)
	_, err = c.Consume(t.Context(), 0)
	require.ErrorIs(t, err, proglog.ErrClosed)
	for _, err := range c.Follow(t.Context()) {
		require.ErrorIs(t, err, proglog.ErrClosed)
	}
	_, err = c.NewProducer(t.Context())
	require.ErrorIs(t, err, proglog.ErrClosed)
}

// Goal: retries are logged with their cause and without values.
func TestLogger(t *testing.T) {
	f := startFake(t)
	f.set(func() {
		f.onUnary = func(call int) error {
			if call == 0 {
				return connect.NewError(connect.CodeUnavailable, "soon")
			}
			return nil
		}
	})
	f.fill(1)
	var out bytes.Buffer
	_, err := connectTo(t, f.url, proglog.WithLogger(slog.New(slog.NewTextHandler(&out, nil)))).Consume(t.Context(), 0)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(out.String(), "\n"))
	assert.Contains(t, out.String(), "unavailable")
	assert.NotContains(t, out.String(), "record 0")
}

// Goal: followers that were left, producers that were closed or cut, and calls
// that ended leave no goroutine behind once the client and server are closed.
func TestNoGoroutineIsLeft(t *testing.T) {
	t.Run("use", func(t *testing.T) {
		f := startFake(t)
		f.fill(100)
		c := connectTo(t, f.url)
		_, err := c.Produce(t.Context(), record("x"), proglog.InLog("shared"))
		require.NoError(t, err)
		collect(t, c.Follow(t.Context(), proglog.BatchRecords(3)), 0, 10)
		collect(t, c.Records(t.Context(), proglog.Until(100)), 0, 100)
		for i := range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			p, err := c.NewProducer(ctx, proglog.WithoutIdentity())
			require.NoError(t, err)
			_, err = trySend(t, p, 10)[0].Wait(ctx)
			require.NoError(t, err)
			switch i {
			case 0:
				require.NoError(t, p.Close(ctx))
			case 1:
				cancel()
			case 2:
				f.conns.cut()
			}
			<-p.Done()
			cancel()
		}
	})
	// The last of them end a moment after they were told to.
	var left string
	ended := func() bool {
		buf := make([]byte, 1<<20)
		left = string(buf[:runtime.Stack(buf, true)])
		for _, of := range []string{"go.(*Producer)", "go.(*Client)", "connecthttp.", "ClientConn"} {
			if strings.Contains(left, of) {
				return false
			}
		}
		return true
	}
	if !assert.Eventually(t, ended, 10*time.Second, time.Millisecond) {
		t.Log(left)
	}
}

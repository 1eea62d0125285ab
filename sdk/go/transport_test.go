package proglog_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// silentConn is a connection that can go silent: what is written to it vanishes,
// and so does what comes.
type silentConn struct {
	net.Conn
	silent *atomic.Bool
}

func (c silentConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.silent.Load() {
			return n, err
		}
	}
}

func (c silentConn) Write(p []byte) (int, error) {
	if c.silent.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// Goal: a follower whose connection goes silent, without an end or an error,
// notices by pings and goes on over another one.
func TestFollowSurvivesSilence(t *testing.T) {
	f := startFake(t)
	f.fill(3)
	var first *atomic.Bool
	transport := proglog.NewTransportWithPings(20 * time.Millisecond)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		silent := new(atomic.Bool)
		if first == nil {
			first = silent
		}
		return silentConn{conn, silent}, nil
	}
	n := uint64(0)
	for record, err := range connectTo(t, f.url, proglog.WithHTTPClient(&http.Client{Transport: transport})).Follow(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, n, record.Offset)
		if n++; n == 3 {
			first.Store(true)
			f.fill(1)
		}
		if n == 4 {
			break
		}
	}
	_, streams := f.calls()
	assert.Greater(t, streams, 1)
}

// Goal: an https:// address is reached over HTTP/2 with the given roots, also by
// a producer; one that is not trusted fails at once with nothing appended.
func TestOverTLS(t *testing.T) {
	f := &fakeLog{grown: make(chan struct{}), logID: "id-1"}
	server := connect.NewServer()
	logv1connect.RegisterLogHandler(server, f)
	mux := http.NewServeMux()
	connecthttp.Mount(mux, server)
	hs := httptest.NewUnstartedServer(mux)
	hs.Config.ErrorLog = quiet()
	hs.EnableHTTP2 = true
	hs.StartTLS()
	t.Cleanup(hs.Close)
	roots := x509.NewCertPool()
	roots.AddCert(hs.Certificate())
	c := connectTo(t, hs.URL, proglog.WithTLSConfig(&tls.Config{RootCAs: roots}))
	p, err := c.NewProducer(t.Context())
	require.NoError(t, err)
	sendAll(t, p, 10)
	require.NoError(t, p.Close(t.Context()))
	collect(t, c.Records(t.Context()), 0, 10)

	_, err = connectTo(t, hs.URL).Produce(t.Context(), record("a"))
	requireOutcome(t, err, proglog.ErrNothingAppended)
	require.ErrorContains(t, err, "certificate")
	for _, err := range connectTo(t, hs.URL).Follow(t.Context()) {
		require.ErrorContains(t, err, "certificate")
	}
}

// Goal: a redirect is not followed, by whatever HTTP client: records and tokens go
// nowhere but to the given address. It is an answer of something that is not
// proglog, so it is final, and nothing was appended.
func TestRedirectIsNotFollowed(t *testing.T) {
	f := startFake(t)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	own := proglog.WithHTTPClient(&http.Client{Transport: &http.Transport{Protocols: protocols}})
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, opts := range [][]proglog.Option{nil, {own}} {
			var asked atomic.Int64
			redirect := http.RedirectHandler(f.url+"/log.v1.Log/Produce", status)
			address := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/log.v1.Log/GetLog" {
					asked.Add(1)
				}
				redirect.ServeHTTP(w, r)
			}), true)
			c := connectTo(t, address, opts...)
			for _, how := range [][]proglog.ProduceOption{nil, {proglog.Alone()}} {
				asked.Store(0)
				_, err := c.Produce(t.Context(), record("a"), how...)
				requireOutcome(t, err, proglog.ErrNothingAppended)
				require.ErrorContains(t, err, "HTTP "+strconv.Itoa(status))
				assert.Equal(t, proglog.CodeUnknown, proglog.CodeOf(err))
				assert.Equal(t, int64(1), asked.Load(), "it is not tried again")
			}
			for _, err := range c.Follow(t.Context()) {
				require.ErrorContains(t, err, "HTTP "+strconv.Itoa(status))
				assert.Equal(t, proglog.CodeUnknown, proglog.CodeOf(err))
			}
			require.NoError(t, c.Close())
		}
	}
	assert.Empty(t, f.values())
	f.set(func() { assert.Empty(t, f.headers) })
}

// Goal: over HTTP/1.1 everything works but producers, which say what they need.
func TestOverHTTP1(t *testing.T) {
	f := startFake(t)
	c := connectTo(t, f.url, proglog.WithHTTPClient(&http.Client{Transport: &http.Transport{}}))
	_, err := c.ProduceBatch(t.Context(), []proglog.Record{{Value: valueAt(0)}, {Value: valueAt(1)}})
	require.NoError(t, err)
	collect(t, c.Follow(t.Context()), 0, 2)
	p, err := c.NewProducer(t.Context())
	require.NoError(t, err)
	trySend(t, p, 1)
	<-p.Done()
	require.ErrorContains(t, p.Err(), "needs HTTP/2")
	assert.Zero(t, p.Outcome().Unknown)
}

// Goal: large and small records come through the buffer under the stream as they
// were sent, whatever their size is against that of the buffer.
func TestSizesThroughTheBuffer(t *testing.T) {
	f := startFake(t)
	sizes := []int{0, 1, 5, 127, 128, 129, 4096, 128<<10 - 7, 128 << 10, 128<<10 + 1, 300 << 10, 1 << 20, 3, 1 << 20, 0}
	for i, n := range sizes {
		f.append(&logv1.Record{Value: bytes.Repeat([]byte{byte('a' + i)}, n)})
	}
	for _, batch := range []uint32{1, 2, 1000} {
		c := connectTo(t, f.url)
		for range 2 { // the second time buffers are used again
			i := 0
			for record, err := range c.Records(t.Context(), proglog.BatchRecords(batch)) {
				require.NoError(t, err)
				require.Len(t, record.Value, sizes[i])
				require.Equal(t, sizes[i], bytes.Count(record.Value, []byte{byte('a' + i)}))
				i++
			}
			require.Equal(t, len(sizes), i)
		}
	}
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Goal: layers around the transport see every try of every kind of call, the
// first one outermost, and what they add arrives.
func TestWithRoundTripper(t *testing.T) {
	f := startFake(t)
	f.fill(2)
	f.set(func() {
		f.onUnary = func(call int) error {
			if call == 0 {
				return draining(true)
			}
			return nil
		}
	})
	var mu sync.Mutex
	var seen []string
	layer := func(name string) proglog.Option {
		return proglog.WithRoundTripper(func(next http.RoundTripper) http.RoundTripper {
			return roundTripperFunc(func(req *http.Request) (*http.Response, error) {
				mu.Lock()
				seen = append(seen, name+" "+path.Base(req.URL.Path))
				mu.Unlock()
				return next.RoundTrip(req)
			})
		})
	}
	client := connectTo(t, f.url, layer("outer"), layer("inner"))
	_, err := client.Consume(t.Context(), 0)
	require.NoError(t, err)
	assert.Equal(t, []string{"outer Consume", "inner Consume", "outer Consume", "inner Consume"}, seen)
	seen = nil
	for _, err := range client.Records(t.Context()) {
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"outer GetLog", "inner GetLog", "outer ConsumeStream", "inner ConsumeStream"}, seen)

	_, err = proglog.New(f.url, proglog.WithRoundTripper(nil))
	require.Error(t, err)
}

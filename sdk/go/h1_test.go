package proglog_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// startOldProxy serves a log through a proxy that speaks HTTP/1.1 over TLS to us
// and HTTP/2 to the server, and sends no response on before the request is over, as
// such proxies do. It counts the requests of streams that reached it.
func startOldProxy(t *testing.T, f *fakeLog) (string, *tls.Config, *atomic.Int64) {
	t.Helper()
	target, err := url.Parse(f.url)
	require.NoError(t, err)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport, proxy.ErrorLog, proxy.FlushInterval = transport, quiet(), -1
	streams := new(atomic.Int64)
	hs := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/log.v1.Log/ProduceStream" {
			streams.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	hs.Config.ErrorLog = quiet()
	hs.StartTLS()
	t.Cleanup(func() {
		hs.CloseClientConnections()
		hs.Close()
		transport.CloseIdleConnections()
	})
	roots := x509.NewCertPool()
	roots.AddCert(hs.Certificate())
	return hs.URL, &tls.Config{RootCAs: roots}, streams
}

// Goal: through a proxy that speaks HTTP/1.1, calls of Produce go alone at once, and
// a producer says at once that it needs HTTP/2; none of its records is in the log.
func TestThroughAnOldProxy(t *testing.T) {
	for _, protocol := range []proglog.Protocol{proglog.ProtocolConnect, proglog.ProtocolGRPC} {
		f := startFake(t)
		address, config, streams := startOldProxy(t, f)
		c := connectTo(t, address, proglog.WithTLSConfig(config), proglog.WithProtocol(protocol))
		if protocol == proglog.ProtocolConnect {
			for range 3 {
				done := going(func() error { _, err := c.Produce(t.Context(), record("a")); return err })
				require.NoError(t, within(t, "produce", done))
			}
			assert.Equal(t, []string{"a", "a", "a"}, f.values())
			assert.LessOrEqual(t, streams.Load(), int64(1), "it is known from the first time on")
			collectNothing(t, c)
		}
		before := len(f.values())
		p, err := c.NewProducer(t.Context())
		require.NoError(t, err)
		err = within(t, "send", going(func() error { return sendOne(t.Context(), p) }))
		requireOutcome(t, err, proglog.ErrNothingAppended)
		within(t, "producer", going(func() error { <-p.Done(); return nil }))
		require.ErrorContains(t, p.Err(), "needs HTTP/2")
		assert.Equal(t, proglog.CodeUnimplemented, proglog.CodeOf(p.Err()))
		assert.Len(t, f.values(), before)
	}
}

// Goal: what is known of a connection does not hang on the answer of GetLog: the
// proxy loses it, and still no record goes out over HTTP/1.1.
func TestThroughAnOldProxyWithoutGetLog(t *testing.T) {
	f := startFake(t)
	f.set(func() { f.onGetLog = func() error { return draining(false) } })
	sent := make(chan struct{}, 10)
	f.hookProduce(func(int, *logv1.ProduceRequest) (func() error, error) {
		sent <- struct{}{}
		return nil, nil
	})
	address, config, _ := startOldProxy(t, f)
	c := connectTo(t, address, proglog.WithTLSConfig(config))
	require.NoError(t, within(t, "produce", going(func() error { _, err := c.Produce(t.Context(), record("a")); return err })))
	p, err := c.NewProducer(t.Context(), proglog.GiveUpAfter(time.Hour))
	require.NoError(t, err)
	require.Error(t, within(t, "send", going(func() error { return sendOne(t.Context(), p) })))
	require.ErrorContains(t, p.Err(), "needs HTTP/2")
	assert.Empty(t, sent, "no record reached a stream")
	assert.Equal(t, []string{"a"}, f.values())
}

package proglog_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

// Goal: what answers an http:// address in another language than HTTP/2 has read
// nothing: nothing was appended, one try is enough, and the error says what to do.
func TestAddressThatSpeaksNoHTTP2(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	overTLS := httptest.NewUnstartedServer(handler)
	overTLS.Config.ErrorLog = quiet()
	overTLS.StartTLS()
	defer overTLS.Close()
	alert := answering(t, []byte("\x15\x03\x01\x00\x02\x02\x0a"))
	for url, hint := range map[string]string{
		answering(t, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")): "HTTP/1.1", alert: "https://", answering(t, []byte("220 mail\r\n")): "proglog",
	} {
		for _, opts := range [][]proglog.ProduceOption{nil, {proglog.Alone()}} {
			_, err := connectTo(t, url).Produce(t.Context(), record("a"), opts...)
			requireOutcome(t, err, proglog.ErrNothingAppended)
			require.ErrorContains(t, err, hint)
			assert.Equal(t, proglog.CodeUnavailable, proglog.CodeOf(err))
		}
		p, err := connectTo(t, url).NewProducer(t.Context())
		require.NoError(t, err)
		requireOutcome(t, within(t, "send", going(func() error { return sendOne(t.Context(), p) })), proglog.ErrNothingAppended)
		_, err = connectTo(t, url).Consume(t.Context(), 0)
		require.ErrorContains(t, err, hint)
	}
	// Of one that hangs up it may be that its word is lost; the hint is all there is.
	_, err := connectTo(t, strings.Replace(overTLS.URL, "https", "http", 1)).Consume(t.Context(), 0)
	require.ErrorContains(t, err, "https://")
}

// answering is an address that says the same to everybody.
func answering(t *testing.T, word []byte) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			_, _ = conn.Write(word)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return "http://" + listener.Addr().String()
}

// Goal: a client that has spoken with its server goes on when something else answers
// in between, as it may while the server is replaced.
func TestServerThatSpeaksNoHTTP2ForAWhile(t *testing.T) {
	f := startFake(t)
	f.fill(1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if n == 1 {
				_, _ = conn.Write([]byte("HTTP/1.1 503 Service Unavailable\r\n\r\n"))
				_ = conn.Close()
				continue
			}
			forward(t, conn, strings.TrimPrefix(f.url, "http://"))
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-accepted })
	n := 0
	for record, err := range connectTo(t, "http://"+listener.Addr().String()).Follow(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, uint64(n), record.Offset)
		if n++; n == 2 {
			break
		}
		f.conns.cut()
		f.fill(1)
	}
}

// forward joins a connection with one to another address until either ends.
func forward(t *testing.T, conn net.Conn, to string) {
	t.Helper()
	other, err := net.Dial("tcp", to)
	if err != nil {
		_ = conn.Close()
		return
	}
	for _, pair := range [][2]net.Conn{{conn, other}, {other, conn}} {
		go func() {
			defer func() { _, _ = conn.Close(), other.Close() }()
			buf := make([]byte, 4096)
			for {
				n, err := pair[0].Read(buf)
				if err != nil {
					return
				}
				if _, err := pair[1].Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// Goal: a call that ends while its connection is made, in a TLS handshake that hangs
// for one, was not sent, and says so.
func TestEndWhileConnecting(t *testing.T) {
	silent, _ := startSilent(t)
	url := strings.Replace(silent, "http", "https", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c := connectTo(t, url)
	_, err := c.Produce(ctx, record("a"), proglog.Alone())
	requireOutcome(t, err, proglog.ErrNothingAppended)
	assert.Equal(t, proglog.CodeDeadlineExceeded, proglog.CodeOf(err))

	silent, accepted := startSilent(t)
	c = connectTo(t, strings.Replace(silent, "http", "https", 1))
	done := going(func() error { _, err := c.Produce(t.Context(), record("a"), proglog.Alone()); return err })
	<-accepted
	require.NoError(t, c.Close())
	err = within(t, "produce", done)
	requireClosed(t, "produce", err)
	requireOutcome(t, err, proglog.ErrNothingAppended)
}

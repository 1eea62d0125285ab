package suite

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Goal: pauses that are right pass, and every way to be wrong has its own error.
func TestBackoffIsJudged(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct {
		name   string
		pauses []time.Duration // of each of four calls
		want   string          // "": they are right
	}{
		{"drawn", []time.Duration{20 * ms, 70 * ms, 30 * ms, 390 * ms, 500 * ms}, ""},
		{"short ones, and a slow machine", []time.Duration{300 * ms, 300 * ms, 300 * ms, 300 * ms, 300 * ms}, ""},
		{"none", make([]time.Duration, 5), "every last pause is short"},
		{"the same short one", []time.Duration{50 * ms, 50 * ms, 50 * ms, 50 * ms, 50 * ms}, "every last pause is short"},
		{"the same long one", []time.Duration{800 * ms, 800 * ms, 800 * ms, 800 * ms, 800 * ms}, "every first pause is long"},
		{"not drawn", []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 800 * ms}, "nothing is drawn"},
		{"a try too few", []time.Duration{20 * ms, 70 * ms, 30 * ms, 390 * ms}, "20 times in all"},
		{"a try too many", []time.Duration{20 * ms, 70 * ms, 30 * ms, 390 * ms, 0, 0}, "28 times in all"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f, now := newFronts("", ""), time.Now()
			for range 4 {
				f.tries = append(f.tries, now)
				for _, pause := range row.pauses {
					now = now.Add(pause)
					f.tries = append(f.tries, now)
				}
			}
			err := f.backoff(4, 6, 50*ms, 800*ms)
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.want)
		})
	}
}

// Goal: each front is what it says: whom it can be trusted by, what it speaks, and
// that a redirect leads to the recorder. Without that, cases about them prove
// nothing.
func TestFronts(t *testing.T) {
	behind := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}), Protocols: new(http.Protocols)}
	behind.Protocols.SetHTTP1(true)
	behind.Protocols.SetUnencryptedHTTP2(true)
	f := newFronts("", "")
	t.Cleanup(f.close)
	f.ca = nil
	at, err := f.serve(behind.Handler, nil)
	require.NoError(t, err)
	f.target, f.recorder = at[len("http://"):], at

	get := func(name, roots string) (body, proto string, status int, err error) {
		url, known, err := f.value(name)
		require.NoError(t, err)
		require.True(t, known)
		pool := x509.NewCertPool()
		if roots != "" {
			text, _, err := f.value(roots)
			require.NoError(t, err)
			require.True(t, pool.AppendCertsFromPEM([]byte(text)))
		}
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/x", nil)
		require.NoError(t, err)
		res, err := client.Do(req)
		if err != nil {
			return "", "", 0, err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if res.StatusCode == http.StatusTemporaryRedirect {
			text = []byte(res.Header.Get("Location"))
		}
		return string(text), res.Proto, res.StatusCode, err
	}

	body, proto, _, err := get("tls", "ca")
	require.NoError(t, err)
	assert.Equal(t, "HTTP/2.0", proto)
	assert.Equal(t, "HTTP/2.0", body, "the bytes go on as they came")
	for _, refused := range [][2]string{{"tls", "other_ca"}, {"tls", ""}, {"tls_named", "ca"}} {
		_, _, _, err = get(refused[0], refused[1])
		var wrong *tls.CertificateVerificationError
		require.ErrorAs(t, err, &wrong, "%v", refused)
	}
	body, proto, _, err = get("http1", "ca")
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1", proto)
	assert.Equal(t, "HTTP/2.0", body, "onwards it speaks HTTP/2")
	body, _, status, err := get("redirect", "")
	require.NoError(t, err)
	assert.Equal(t, http.StatusTemporaryRedirect, status)
	assert.Equal(t, at+"/elsewhere", body)
	_, _, status, err = get("unavailable", "")
	require.NoError(t, err)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Len(t, f.tries, 1)
	_, known, err := f.value("nobody")
	require.NoError(t, err)
	assert.False(t, known)
}

// Goal: a trickle lets little go on at a time, in order, and a heal ends it.
func TestProxyTrickles(t *testing.T) {
	p, dial := echo(t)
	do(t, p, "trickle", 2)
	c := dial()
	say(t, c, "0123456789")
	first := make([]byte, 10)
	n, err := c.Read(first)
	require.NoError(t, err)
	assert.LessOrEqual(t, n, 4, "more than two pieces came at once")
	hear(t, c, "0123456789"[n:])
	do(t, p, "heal", 0)
	say(t, c, "abc")
	hear(t, c, "abc")
}

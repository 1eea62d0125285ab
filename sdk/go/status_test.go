package proglog_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

// startCurtain is a proxy that lets everything through but the answers of streams:
// when the first record of one is in the log, it says only the status.
func startCurtain(t *testing.T, f *fakeLog, status int) string {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), r.Method, f.url+r.URL.Path, r.Body)
		if err != nil {
			return
		}
		req.Header = r.Header.Clone()
		res, err := transport.RoundTrip(req)
		if err != nil {
			return
		}
		defer func() { _ = res.Body.Close() }()
		if strings.HasSuffix(r.URL.Path, "/ProduceStream") {
			_, _ = io.ReadFull(res.Body, make([]byte, 1))
			w.WriteHeader(status)
			return
		}
		for name, values := range res.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	}), true)
}

// Goal: a status that comes after something of a stream was passed on proves
// nothing of what was sent; what was not sent is not in the log.
func TestStatusOfAStreamProvesNothing(t *testing.T) {
	for _, status := range []int{301, 401, 403, 404, 407, 413, 421, 429, 431} {
		f := startFake(t)
		c := connectTo(t, startCurtain(t, f, status), proglog.WithRetry(proglog.Retry{Attempts: 1, MinDelay: 1, MaxDelay: 1}))
		p, err := c.NewProducer(t.Context(), proglog.MaxBatch(1, 1<<20), proglog.MaxInFlight(1, 1<<20), proglog.GiveUpAfter(0))
		require.NoError(t, err)
		futures := trySend(t, p, 2)
		<-p.Done()
		require.Len(t, futures, 2)
		_, err = futures[0].Wait(t.Context())
		requireOutcome(t, err, proglog.ErrOutcomeUnknown)
		require.ErrorContains(t, err, http.StatusText(status))
		_, err = futures[1].Wait(t.Context())
		requireOutcome(t, err, proglog.ErrNothingAppended)
		assert.Len(t, f.values(), 1)

		_, err = c.Produce(t.Context(), record("b"))
		requireOutcome(t, err, proglog.ErrOutcomeUnknown)
		assert.Len(t, f.values(), 2)
	}
}

// Goal: a unary call that was answered in the place of the server, by a status that
// says so, appended nothing; of any other status the outcome is unknown. A call
// that shares a stream tells the same, since it asks first.
func TestStatusInThePlaceOfTheServer(t *testing.T) {
	proof := map[int]bool{
		301: true, 302: true, 307: true, 308: true, 401: true, 403: true, 404: true, 405: true, 407: true, 413: true,
		415: true, 421: true, 426: true, 429: true, 431: true, 400: false, 408: false, 409: false, 500: false, 502: false, 503: false, 504: false,
	}
	for status, proves := range proof {
		url := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }), true)
		want := proglog.ErrOutcomeUnknown
		if proves {
			want = proglog.ErrNothingAppended
		}
		_, err := connectTo(t, url).Produce(t.Context(), record("a"), proglog.Alone())
		requireOutcome(t, err, want)
		if proves && status != http.StatusTooManyRequests {
			_, err = connectTo(t, url).Produce(t.Context(), record("a"))
			requireOutcome(t, err, want)
		}
	}
}

// Goal: a status that came in the place of passing a call on proves that nothing was
// appended; one that may come after that does not. The list is that of all SDKs.
func TestStatusOfACall(t *testing.T) {
	refused := []int{
		300, 301, 302, 303, 304, 305, 307, 308, 401, 403, 404, 405, 407, 411, 413, 414, 415, 421, 426, 428, 429, 431, 505,
	}
	for _, status := range append(refused, 400, 402, 406, 408, 409, 410, 412, 416, 417, 418, 422, 425, 451, 500, 501, 502, 503, 504) {
		want := proglog.ErrOutcomeUnknown
		if slices.Contains(refused, status) {
			want = proglog.ErrNothingAppended
		}
		url := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }), true)
		c := connectTo(t, url, proglog.WithRetry(proglog.Retry{Attempts: 1, MinDelay: 1, MaxDelay: 1}))
		_, err := c.Produce(t.Context(), record("a"), proglog.Alone())
		require.Error(t, err)
		assert.ErrorIs(t, err, want, "status %d", status)
	}
}

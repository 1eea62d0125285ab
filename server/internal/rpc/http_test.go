package rpc_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/internal/rpc"
)

// get calls Consume by GET, with the message in JSON.
func (s *testServer) get(t *testing.T, message string, header http.Header) (*http.Response, string) {
	t.Helper()
	query := url.Values{"encoding": {"json"}, "message": {message}, "connect": {"v1"}}
	req, err := http.NewRequestWithContext(ctxWithPatience(t), http.MethodGet, s.url+consumePath+"?"+query.Encode(), nil)
	require.NoError(t, err)
	for key, values := range header {
		req.Header[key] = values
	}
	res, err := newHTTPClient(t, false).Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

// Goal: a GET is cacheable exactly if it names the log's identity and did not
// reach the tail; everything else, errors and unknown pages too, is no-store.
func TestGetAndCaches(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	s.fill(t, "a", "b", "c")
	log, err := s.engine.Log(t.Context(), "")
	require.NoError(t, err)
	id := log.ID()
	const immutable = "private, max-age=31536000, immutable"
	for _, tc := range []struct {
		name, message string
		status        int
		cache         string
	}{
		{"history of a named log", fmt.Sprintf(`{"logId":%q}`, id), 200, immutable},
		{"history, a batch", fmt.Sprintf(`{"logId":%q,"maxRecords":2}`, id), 200, immutable},
		{"history of any log", `{}`, 200, "no-store"},
		{"the tail", fmt.Sprintf(`{"logId":%q,"offset":2}`, id), 200, "no-store"},
		{"the tail, a batch", fmt.Sprintf(`{"logId":%q,"maxRecords":3}`, id), 200, "no-store"},
		{"until the tail", fmt.Sprintf(`{"logId":%q,"maxRecords":9,"untilOffset":3}`, id), 200, "no-store"},
		{"beyond", fmt.Sprintf(`{"logId":%q,"offset":3}`, id), 400, "no-store"},
		{"another log", `{"logId":"x"}`, 400, "no-store"},
		{"malformed", `{`, 400, "no-store"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, body := s.get(t, tc.message, nil)
			require.Equal(t, tc.status, res.StatusCode, body)
			require.Equal(t, []string{tc.cache}, res.Header["Cache-Control"])
		})
	}
	res, err := newHTTPClient(t, false).Get(s.url + "/favicon.ico")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, []string{"no-store"}, res.Header["Cache-Control"])

	// A generated client uses GET too.
	c := logv1connect.NewLogClient(connect.NewClient(
		connecthttp.NewTransport(newHTTPClient(t, true), s.url, connecthttp.WithHTTPGet())))
	ctx, info := connect.NewClientContext(ctxWithPatience(t))
	_, err = c.Consume(ctx, &logv1.ConsumeRequest{LogId: id})
	require.NoError(t, err)
	require.Equal(t, immutable, info.ResponseHeader().Get("Cache-Control"))
}

// Goal: JSON prints zero values, leaves out what is not set, and names an unknown
// field.
func TestJSON(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	post := func(path, body string) (int, string) {
		res, err := newHTTPClient(t, false).Post(s.url+path, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, strings.ReplaceAll(string(got), " ", "")
	}
	value := base64.StdEncoding.EncodeToString([]byte("hi"))
	code, body := post(producePath, fmt.Sprintf(`{"record":{"value":%q}}`, value))
	require.Equal(t, 200, code)
	require.Contains(t, body, `"offset":"0"`)
	require.Contains(t, body, `"duplicate":false`)
	_, _ = post(producePath, fmt.Sprintf(`{"record":{"value":%q}}`, value))
	code, body = post(consumePath, `{}`)
	require.Equal(t, 200, code)
	require.Contains(t, body, `"offset":"0"`)
	require.NotContains(t, body, "nextOffset", "history does not tell the tail")

	for _, tc := range []struct{ path, body, field string }{
		{producePath, `{"recrod":{}}`, "recrod"},
		{producePath, `{"record":{"vlaue":""}}`, "vlaue"},
		{consumePath, `{"ofset":1}`, "ofset"},
	} {
		code, body = post(tc.path, tc.body)
		require.Equal(t, 400, code)
		require.Contains(t, body, "invalid_argument")
		require.Contains(t, body, tc.field)
	}
}

// Goal: on loopback only a Host that is loopback or the listen address is
// answered, by every version of HTTP; elsewhere every Host is.
func TestHost(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		host string
		want int
	}{
		{"localhost", 404}, {"LocalHost:1", 404}, {"127.0.0.1:8400", 404}, {"127.9.9.9", 404}, {"[::1]:1", 404}, {"[::1]", 404},
		{"log.internal:8400", 404}, {"evil.example", 403}, {"localhost.evil.example:8400", 403}, {"10.0.0.1", 403},
		{"127.0.0.1.evil.example", 403}, {"0.0.0.0:8400", 403}, {"[::ffff:10.0.0.1]:1", 403},
	} {
		for _, http2 := range []bool{false, true} {
			for _, checked := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/h2=%v/checked=%v", tc.host, http2, checked), func(t *testing.T) {
					s := newServer(t, rpc.Options{CheckHost: checked, ListenHost: "log.internal"}, nil)
					req, err := http.NewRequestWithContext(ctxWithPatience(t), http.MethodGet, s.url+"/nothing", nil)
					require.NoError(t, err)
					req.Host = tc.host
					res, err := newHTTPClient(t, http2).Do(req)
					require.NoError(t, err)
					require.NoError(t, res.Body.Close())
					want := tc.want
					if !checked {
						want = 404
					}
					require.Equal(t, want, res.StatusCode)
				})
			}
		}
	}
}

// Goal: responses are compressed for a client that asks for it, but not small
// ones, which cost more than they save.
func TestCompression(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	s.fill(t, "small", strings.Repeat("large ", 1000))
	for offset, want := range []string{"", "gzip"} {
		res, _ := s.get(t, fmt.Sprintf(`{"offset":%d}`, offset), http.Header{"Accept-Encoding": {"gzip"}})
		require.Equal(t, want, res.Header.Get("Content-Encoding"))
	}
}

// Goal: the timeout for headers closes connections that say nothing, or half of
// HTTP/2's preface, and leaves a tail alone, over both versions of HTTP. Method:
// the silent connections open after the tail; when they have been closed, the
// timeout has passed for the tail as well, and it still gets what is produced.
func TestReadHeaderTimeout(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{Timeouts: rpc.Timeouts{ReadHeader: 200 * time.Millisecond}}, nil)
	var tails []logv1connect.LogConsumeStreamClientStream
	ctx, cancel := context.WithCancel(ctxWithPatience(t))
	defer cancel()
	s.fill(t, "a")
	for _, d := range dialects() {
		tail, err := s.client(t, d).ConsumeStream(ctx, &logv1.ConsumeRequest{})
		require.NoError(t, err)
		requireNext(t, tail, 0, "a", true)
		tails = append(tails, tail)
	}
	for _, said := range []string{"", "PRI * HTTP/2.0\r\n\r\n", "GET / HTTP/1.1\r\nHost:"} {
		conn, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, said)
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
		_, err = io.Copy(io.Discard, conn) // until the server closes it
		netErr, ok := errors.AsType[net.Error](err)
		require.False(t, ok && netErr.Timeout(), "the server left the connection open")
	}
	s.fill(t, "b")
	for _, tail := range tails {
		requireNext(t, tail, 1, "b", true)
	}
}

// Goal: a client that opens a tail and does not read it is cut, and holds
// nothing; a client that merely waits is not.
func TestStalledTail(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 1)
	s := serveFaulty(t, &faulty{read: func(from uint64) error {
		if from == 0 {
			begun <- struct{}{}
		}
		return nil
	}}, rpc.Options{Limits: rpc.Limits{Stall: 100 * time.Millisecond}})
	noise := make([]byte, 1<<20) // it cannot be compressed
	_, err := rand.NewChaCha8([32]byte{1}).Read(noise)
	require.NoError(t, err)
	for range 32 {
		s.fill(t, string(noise)) // more than windows and socket buffers hold
	}
	s.fill(t, "early")
	waiting, err := s.grpc(t).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{Offset: 32})
	require.NoError(t, err)
	requireNext(t, waiting, 32, "early", true) // the bound on that response must not outlast it
	for _, d := range dialects() {
		d.options = append(d.options, connecthttp.WithCompressors())
		stalled, err := s.client(t, d).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{})
		require.NoError(t, err)
		<-begun
		require.Eventually(t, func() bool { return s.Running() == 1 }, patience, time.Millisecond, d.name)
		require.NoError(t, stalled.Close())
	}
	s.fill(t, "late")
	requireNext(t, waiting, 33, "late", true)
}

// Goal: an upload that stops in the middle ends when a unary call's time is over.
func TestStalledUpload(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{Limits: rpc.Limits{Unary: 50 * time.Millisecond}}, nil)
	for _, http2 := range []bool{false, true} {
		for _, path := range []string{producePath, consumeStreamPath} {
			body, stop := io.Pipe()
			req, err := http.NewRequestWithContext(ctxWithPatience(t), http.MethodPost, s.url+path, body)
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/grpc-web+proto")
			sent := make(chan error, 1)
			go func() {
				_, err := stop.Write([]byte{0, 0, 0, 0, 9, 'a'})
				sent <- err
			}()
			res, err := newHTTPClient(t, http2).Do(req)
			require.NoError(t, err)
			require.NoError(t, <-sent)
			got, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, "REASON_DEADLINE", outcome(t, res, got))
			require.NoError(t, res.Body.Close())
			require.NoError(t, stop.Close())
		}
	}
}

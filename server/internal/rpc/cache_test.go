package rpc_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

// Goal: an answer is kept no longer than the log keeps its records, and by shared
// caches only where the operator lets them.
func TestCacheAge(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	for _, tc := range []struct {
		name   string
		keep   time.Duration
		public bool
		want   string
	}{
		{"for ever", 0, false, "private, max-age=31536000, immutable"},
		{"more than a year", year + time.Second, false, "private, max-age=31536000, immutable"},
		{"a year", year, false, "private, max-age=31536000, immutable"},
		{"less than a year", year - time.Second, false, "private, max-age=31535999, immutable"},
		{"an hour", time.Hour, false, "private, max-age=3600, immutable"},
		{"an hour and a bit", time.Hour + time.Second - 1, false, "private, max-age=3600, immutable"},
		{"shared", time.Hour, true, "public, max-age=3600, immutable"},
		{"less than a second", 900 * time.Millisecond, false, "no-store"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, rpc.Options{PublicCache: tc.public}, nil)
			_, _, err := s.engine.Put(t.Context(), "", commitlog.Change{Retention: &commitlog.Retention{MaxAge: tc.keep}})
			require.NoError(t, err)
			log, err := s.engine.Log(t.Context(), "")
			require.NoError(t, err)
			s.clock.mu.Lock()
			s.clock.now, s.clock.step = time.Now(), time.Nanosecond // nothing gets old
			s.clock.mu.Unlock()
			s.fill(t, "a", "b")
			res, body := s.get(t, fmt.Sprintf(`{"logId":%q}`, log.ID()), nil)
			require.Equal(t, http.StatusOK, res.StatusCode, body)
			require.Equal(t, []string{tc.want}, res.Header["Cache-Control"])
			res, _ = s.get(t, `{"fromTail":"2"}`, nil)
			require.Equal(t, []string{"no-store"}, res.Header["Cache-Control"])
			res, _ = s.get(t, fmt.Sprintf(`{"logId":%q,"fromTail":"2"}`, log.ID()), nil)
			require.Equal(t, []string{"no-store"}, res.Header["Cache-Control"], "the start moves with the tail")
			res, _ = s.get(t, fmt.Sprintf(`{"logId":%q,"fromTime":"2000-01-01T00:00:00Z"}`, log.ID()), nil)
			require.Equal(t, []string{"no-store"}, res.Header["Cache-Control"], "the start moves with the first offset")
		})
	}
}

// Goal: GetLog and ListLogs answer GET, by a generated client, and no cache keeps
// what they say.
func TestGetDescribes(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		s := newServer(t, rpc.Options{}, nil)
		transport := connect.NewClient(connecthttp.NewTransport(newHTTPClient(t, http2), s.url, connecthttp.WithHTTPGet()))
		ctx, info := connect.NewClientContext(ctxWithPatience(t))
		_, err := logv1connect.NewLogClient(transport).GetLog(ctx, &logv1.GetLogRequest{})
		require.NoError(t, err)
		require.Equal(t, "no-store", info.ResponseHeader().Get("Cache-Control"))
		ctx, info = connect.NewClientContext(ctxWithPatience(t))
		list, err := logv1connect.NewAdminClient(transport).ListLogs(ctx, &logv1.ListLogsRequest{PageSize: 1})
		require.NoError(t, err)
		require.Len(t, list.GetLogs(), 1)
		require.Equal(t, "no-store", info.ResponseHeader().Get("Cache-Control"))
	}
}

// Goal: no answer to a POST may be kept, of any method, whether it succeeds or
// fails, in any protocol: not even one that a GET may keep.
func TestPostIsNotCached(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{PublicCache: true}, nil)
	s.fill(t, "a", "b")
	log, err := s.engine.Log(t.Context(), "")
	require.NoError(t, err)
	for _, tc := range []struct{ path, body string }{
		{producePath, `{"record":{}}`}, {producePath, `{}`}, {producePath, `{`},
		{consumePath, fmt.Sprintf(`{"logId":%q}`, log.ID())}, {consumePath, `{"offset":99}`},
		{"/log.v1.Log/GetLog", `{}`}, {"/log.v1.Log/GetLog", `{"log":"none"}`}, {"/log.v1.Log/Nothing", `{}`}, {"/nothing", `{}`},
		{"/log.v1.Admin/ListLogs", `{}`}, {"/log.v1.Admin/PutLog", `{"log":"x"}`},
		{"/log.v1.Admin/TrimLog", `{"log":"x"}`}, {"/log.v1.Admin/DeleteLog", `{"log":"x"}`}, {"/log.v1.Admin/DeleteLog", `{}`},
	} {
		res, err := newHTTPClient(t, false).Post(s.url+tc.path, "application/json", strings.NewReader(tc.body))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, []string{"no-store"}, res.Header["Cache-Control"], tc)
	}
	for _, d := range dialects() {
		ctx, info := connect.NewClientContext(ctxWithPatience(t))
		_, err := s.client(t, d).Consume(ctx, &logv1.ConsumeRequest{LogId: log.ID()})
		require.NoError(t, err)
		require.Equal(t, "no-store", info.ResponseHeader().Get("Cache-Control"), d.name)
	}
}

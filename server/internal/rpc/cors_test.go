package rpc_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/rpc"
)

const (
	page  = "https://app.example"
	other = "https://evil.example"
)

// ask sends a request with headers, given as name, value, …
func (s *testServer) ask(t *testing.T, http2 bool, method, path, body string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctxWithPatience(t), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := newHTTPClient(t, http2).Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// corsOf returns the headers of an answer that concern other origins.
func corsOf(res *http.Response) map[string]string {
	got := map[string]string{}
	for name, values := range res.Header {
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "Accept-Encoding" }) // a GET varies by it as well
		if len(values) > 0 && (strings.HasPrefix(name, "Access-Control-") || name == "Vary") {
			got[name] = strings.Join(values, "; ")
		}
	}
	return got
}

// Goal: the preflight of an allowed origin is answered with exactly what Connect
// and gRPC-Web need, that of another one is refused, and without the option there
// is none; over every version of HTTP.
func TestPreflight(t *testing.T) {
	t.Parallel()
	granted := func(origin string) map[string]string {
		want := map[string]string{
			"Access-Control-Allow-Origin":  origin,
			"Access-Control-Allow-Methods": "GET, POST",
			"Access-Control-Allow-Headers": "Content-Type, Connect-Protocol-Version, Connect-Timeout-Ms, Grpc-Timeout, X-Grpc-Web, X-User-Agent",
			"Access-Control-Max-Age":       "7200",
		}
		if origin != "*" {
			want["Vary"] = "Origin"
		}
		return want
	}
	vary := map[string]string{"Vary": "Origin"}
	for _, tc := range []struct {
		name    string
		allowed []string
		origin  string
		status  int
		want    map[string]string
	}{
		{"allowed", []string{"http://localhost:3000", page}, page, 204, granted(page)},
		{"everyone", []string{"*"}, page, 204, granted("*")},
		{"a page of no origin, everyone", []string{"*"}, "null", 204, granted("*")},
		{"another", []string{page}, other, 403, vary},
		{"one that begins so", []string{page}, page + ".evil.example", 403, vary},
		{"another port", []string{page}, page + ":8443", 403, vary},
		{"another scheme", []string{page}, "http://app.example", 403, vary},
		{"null", []string{page}, "null", 403, vary},
		{"the option is not set", nil, page, 404, map[string]string{}},
	} {
		for _, http2 := range []bool{false, true} {
			for _, method := range []string{"POST", "GET"} {
				t.Run(fmt.Sprintf("%s/%s/h2=%v", tc.name, method, http2), func(t *testing.T) {
					s := newServer(t, rpc.Options{AllowOrigins: tc.allowed}, nil)
					res := s.ask(t, http2, http.MethodOptions, consumePath, "", "Origin", tc.origin, "Access-Control-Request-Method", method,
						"Access-Control-Request-Headers", "connect-protocol-version,content-type")
					if tc.allowed == nil {
						require.GreaterOrEqual(t, res.StatusCode, 400)
					} else {
						require.Equal(t, tc.status, res.StatusCode)
					}
					require.Equal(t, tc.want, corsOf(res))
				})
			}
		}
	}
}

// Goal: a page of an allowed origin can read every answer: acks, errors of a
// call, streams and their ends in every protocol of browsers, a GET from a cache,
// a page that does not exist, a refused Host, a server that drains. One of another
// origin can read none, and caches are told to tell them apart. Credentials are
// never allowed.
func TestOrigins(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{AllowOrigins: []string{page}, CheckHost: true}, nil)
	all := newServer(t, rpc.Options{AllowOrigins: []string{"*"}}, nil)
	none := newServer(t, rpc.Options{}, nil)
	for _, s := range []*testServer{s, all, none} {
		s.fill(t, "a")
	}
	const webRequest = "\x00\x00\x00\x00\x00"
	stream := "\x00\x00\x00\x00\x13" + `{"untilOffset":"1"}`
	for _, tc := range []struct {
		name, method, path, contentType, body string
		status                                int
		contains                              string
		header                                []string
	}{
		{"an ack", "POST", producePath, "application/json", `{"record":{"value":""}}`, 200, "offset", nil},
		{"a refusal", "POST", consumePath, "application/json", `{"offset":"99"}`, 400, "OFFSET_UNWRITTEN", nil},
		{"a malformed request", "POST", consumePath, "application/json", `{`, 400, "invalid_argument", nil},
		{"a wrong content type", "POST", consumePath, "text/plain", "", 415, "", nil},
		{"a stream", "POST", "/log.v1.Log/ConsumeStream", "application/connect+json", stream, 200, `"offset":"0"`, nil},
		{"a stream's error", "POST", "/log.v1.Log/ConsumeStream", "application/connect+json", "\x00\x00\x00\x00\x0b" + `{"log":"x"}`, 200, "LOG_NOT_FOUND", nil},
		{"gRPC-Web", "POST", consumePath, "application/grpc-web+proto", webRequest, 200, "grpc-status: 0", nil},
		{"gRPC-Web, no such method", "POST", "/log.v1.Log/Nothing", "application/grpc-web+proto", webRequest, 200, "", nil},
		{"a GET", "GET", consumePath + "?connect=v1&encoding=json&message=%7B%7D", "", "", 200, `"offset":"0"`, nil},
		{"nothing there", "GET", "/nothing", "", "", 404, "", nil},
		{"a bad timeout", "POST", consumePath, "application/json", `{}`, 400, "timeout", []string{"Connect-Timeout-Ms", "soon"}},
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/h2=%v", tc.name, http2), func(t *testing.T) {
				call := func(s *testServer, origin string) map[string]string {
					header := tc.header
					if tc.contentType != "" {
						header = append(header, "Content-Type", tc.contentType)
					}
					if origin != "" {
						header = append(header, "Origin", origin)
					}
					res := s.ask(t, http2, tc.method, tc.path, tc.body, header...)
					body, err := io.ReadAll(res.Body)
					require.NoError(t, err)
					require.Equal(t, tc.status, res.StatusCode, string(body))
					require.Contains(t, strings.ReplaceAll(string(body), " ", ""), strings.ReplaceAll(tc.contains, " ", ""))
					return corsOf(res)
				}
				exposed := "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin"
				assert.Equal(t, map[string]string{
					"Vary": "Origin", "Access-Control-Allow-Origin": page, "Access-Control-Expose-Headers": exposed}, call(s, page))
				assert.Equal(t, map[string]string{"Vary": "Origin"}, call(s, other))
				assert.Equal(t, map[string]string{"Vary": "Origin"}, call(s, ""))
				assert.Equal(t, map[string]string{
					"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": exposed}, call(all, other))
				assert.Empty(t, call(none, page))
			})
		}
	}

	res := s.ask(t, false, http.MethodPost, consumePath, `{}`, "Origin", page, "Content-Type", "application/json", "Host", "evil.example")
	require.Equal(t, 403, res.StatusCode)
	assert.Equal(t, page, res.Header.Get("Access-Control-Allow-Origin"))
	res = s.ask(t, false, http.MethodOptions, consumePath, "", "Origin", page, "Access-Control-Request-Method", "POST", "Host", "evil.example")
	require.Equal(t, 403, res.StatusCode, "a Host that means another server is refused before it is asked")
}

// Goal: what no browser would send as its origin is refused, with what to write.
func TestCheckOrigins(t *testing.T) {
	t.Parallel()
	for _, ok := range [][]string{
		nil, {"*"}, {page}, {page, "http://localhost:3000", "http://127.0.0.1:8401", "http://[::1]:8401"},
		{"capacitor://localhost"}, {"chrome-extension://abcdefghijklmnop"}, {"http://a_b.example:65535"},
	} {
		require.NoError(t, rpc.CheckOrigins(ok), ok)
	}
	for _, tc := range []struct{ origin, want string }{
		{"", "no origin"},
		{"app.example", "no origin"},
		{"app.example:80", "no origin"},
		{"null", "no origin"},
		{"https://", "no origin"},
		{"https://:80", "no origin"},
		{"https://me@app.example", "no origin"},
		{"https://app example", "no origin"},
		{"https://*.app.example", "name each origin"},
		{"https://app.example/", "write https://app.example"},
		{"https://app.example/page", "write https://app.example"},
		{"https://app.example?", "write https://app.example"},
		{"https://app.example#x", "write https://app.example"},
		{"HTTPS://App.Example", "write https://app.example"},
		{"https://app.example:443", "write https://app.example"},
		{"http://localhost:80", "write http://localhost"},
		{"https://bücher.example", "ASCII"},
		{"https://app.example:", "port"},
		{"https://app.example:0443", "port"},
		{"https://app.example:65536", "port"},
	} {
		err := rpc.CheckOrigins([]string{page, tc.origin})
		require.ErrorContains(t, err, tc.want, tc.origin)
	}
	require.ErrorContains(t, rpc.CheckOrigins([]string{page, "*"}), "every origin")
	_, err := rpc.New(nil, rpc.Options{AllowOrigins: []string{"app.example"}})
	require.ErrorContains(t, err, "no origin")
}

package rpc_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/internal/rpc"
)

// A framing is how a protocol puts a message into an HTTP body.
type framing struct {
	name        string
	contentType string
	envelopes   bool   // a prefix of five bytes before each message
	encoding    string // the header that names the compression
	timeout     string // the header that bounds the call
}

// framings are those of a unary call, or of a server stream.
func framings(stream bool) []framing {
	grpc := []framing{
		{"gRPC", "application/grpc+proto", true, "Grpc-Encoding", "Grpc-Timeout"},
		{"gRPC-Web", "application/grpc-web+proto", true, "Grpc-Encoding", "Grpc-Timeout"},
	}
	if stream {
		return append(grpc, framing{"connect", "application/connect+proto", true, "Connect-Content-Encoding", "Connect-Timeout-Ms"})
	}
	return append(grpc, framing{"connect", "application/proto", false, "Content-Encoding", "Connect-Timeout-Ms"})
}

// message frames a message; flags are those of its envelope.
func (f framing) message(flags byte, msg []byte) []byte {
	if !f.envelopes {
		return msg
	}
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(msg))), msg...)
}

// A malformed request and what the server makes of it. Where want has no entry
// for a framing, the row does not apply to it.
type malformed struct {
	name   string
	path   string // Produce unless told
	header http.Header
	body   func(f framing) []byte
	want   map[string]string // by framing: a code, "http N", or the reason of an error of ours
}

const (
	producePath       = "/log.v1.Log/Produce"
	consumePath       = "/log.v1.Log/Consume"
	consumeStreamPath = "/log.v1.Log/ConsumeStream"
)

func all(code string) map[string]string {
	return map[string]string{"gRPC": code, "gRPC-Web": code, "connect": code}
}

func enveloped(code string) map[string]string {
	return map[string]string{"gRPC": code, "gRPC-Web": code}
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// malformedRequests are the rows for both a unary call and a server stream.
func malformedRequests() []malformed {
	whole := func(flags byte, msg []byte) func(framing) []byte {
		return func(f framing) []byte { return f.message(flags, msg) }
	}
	good, _ := proto.Marshal(one("a"))
	bomb := gzipped(make([]byte, 8<<20))
	bomb = bomb[:len(bomb)-8] // its checksum is gone: whoever unpacks all of it says "invalid_argument"
	return []malformed{
		{name: "garbage", body: whole(0, []byte("\xff\xff\xff\xff")), want: all("invalid_argument")},
		{name: "truncated message", body: whole(0, []byte{0x0a, 200, 1}), want: all("invalid_argument")},
		{name: "name that is not UTF-8", body: whole(0, []byte{0x12, 2, 0xff, 0xfe}), want: all("invalid_argument")},
		{name: "over the limit", body: whole(0, make([]byte, 2<<20+64<<10+1)), want: all("resource_exhausted")},
		{name: "gzip bomb", header: http.Header{"encoding": {"gzip"}}, body: whole(1, bomb), want: all("resource_exhausted")},
		{name: "corrupt gzip", header: http.Header{"encoding": {"gzip"}}, body: whole(1, []byte("not gzip")), want: all("invalid_argument")},
		{name: "unknown encoding", header: http.Header{"encoding": {"lzma"}}, body: whole(1, good), want: all("unimplemented")},
		{name: "timeout without digits", header: http.Header{"timeout": {"soon"}}, body: whole(0, good), want: all("invalid_argument")},
		{name: "negative timeout", header: http.Header{"timeout": {"-1"}}, body: whole(0, good), want: all("invalid_argument")},
		{name: "endless timeout", header: http.Header{"timeout": {"99999999999"}}, body: whole(0, good), want: all("invalid_argument")},
		{name: "wrong content type", header: http.Header{"Content-Type": {"text/plain"}}, body: whole(0, good), want: all("http 415")},
		{name: "no content type", header: http.Header{"Content-Type": {""}}, body: whole(0, good), want: all("http 415")},
		{name: "unknown method of a known service", path: "/log.v1.Log/Nothing", body: whole(0, nil), want: all("REASON_UNSUPPORTED")},
		{name: "unknown service", path: "/log.v2.Log/Produce", body: whole(0, nil),
			want: map[string]string{"gRPC": "REASON_UNSUPPORTED", "gRPC-Web": "REASON_UNSUPPORTED", "connect": "http 404"}},
		{name: "unknown version of the protocol", header: http.Header{"Connect-Protocol-Version": {"2"}}, body: whole(0, good),
			want: map[string]string{"connect": "invalid_argument"}},
		{name: "envelope of 4 GiB", body: func(framing) []byte { return []byte{0, 0xff, 0xff, 0xff, 0xff, 'a'} },
			want: enveloped("resource_exhausted")},
		{name: "truncated envelope", body: func(framing) []byte { return []byte{0, 0, 0, 0, 9, 'a'} }, want: enveloped("internal")},
		{name: "truncated prefix", body: func(framing) []byte { return []byte{0, 0, 0} }, want: enveloped("internal")},
		{name: "unknown flag", body: whole(0x40, good), want: enveloped("internal")},
		{name: "compressed without a name", body: whole(1, good), want: enveloped("internal")},
		{name: "no message", body: func(framing) []byte { return nil }, want: enveloped("unimplemented")},
		{name: "two messages", body: func(f framing) []byte { return append(f.message(0, good), f.message(0, good)...) },
			want: enveloped("unimplemented")},
	}
}

// Goal: what malformed requests are answered with, by protocol and by version of
// HTTP; the errors are the protocol library's and carry no detail, but for those
// that name a reason. Nothing is appended, and the server's log shows no fault.
func TestMalformedRequests(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	rows := malformedRequests()
	for _, http2 := range []bool{false, true} {
		client := newHTTPClient(t, http2)
		for _, stream := range []bool{false, true} {
			for _, f := range framings(stream) {
				for _, row := range rows {
					want, ok := row.want[f.name]
					if stream && f.name == "connect" && row.want["connect"] == "" {
						want, ok = row.want["gRPC"] // Connect's streams have envelopes too
					}
					if !ok {
						continue
					}
					t.Run(fmt.Sprintf("h2=%v/stream=%v/%s/%s", http2, stream, f.name, row.name), func(t *testing.T) {
						path := row.path
						if path == "" {
							path = producePath
							if stream {
								path = consumeStreamPath
							}
						}
						require.Equal(t, want, s.post(t, client, f, path, row.header, row.body(f)))
					})
				}
			}
		}
	}
	log, err := s.engine.Log(t.Context(), "")
	require.NoError(t, err)
	require.Zero(t, log.Bounds().Next)
	require.NotContains(t, s.logs.String(), "ERROR")
}

// post sends a body and returns the outcome as the caller's protocol tells it.
func (s *testServer) post(t *testing.T, client *http.Client, f framing, path string, header http.Header, body []byte) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctxWithPatience(t), http.MethodPost, s.url+path, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", f.contentType)
	for key, values := range header {
		switch key {
		case "encoding":
			key = f.encoding
		case "timeout":
			key = f.timeout
		}
		req.Header[key] = values
	}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	told := fmt.Sprint(string(got), res.Header, res.Trailer)
	for _, part := range []string{"strconv", "connectgzip", "gzip:", "decompressor", "unexpected EOF", "proto:"} {
		require.NotContains(t, told, part, "a part of the server")
	}
	if res.StatusCode == http.StatusOK || res.Header.Get("Content-Type") == "application/json" {
		return outcome(t, res, got)
	}
	return fmt.Sprint("http ", res.StatusCode)
}

// outcome reads the code of a response; of an error of ours, the reason.
func outcome(t *testing.T, res *http.Response, body []byte) string {
	t.Helper()
	var wire struct {
		Code  string
		Error struct {
			Code    string
			Details []json.RawMessage
		}
		Details []json.RawMessage
	}
	contentType := res.Header.Get("Content-Type")
	trailers := maps.Clone(res.Header)
	maps.Copy(trailers, res.Trailer)
	switch {
	case contentType == "application/json" && res.StatusCode == http.StatusOK:
		return "ok"
	case contentType == "application/json":
		require.NoError(t, json.Unmarshal(body, &wire))
		return reasonOr(string(bytes.Join([][]byte(rawMessages(wire.Details)), nil)), wire.Code)
	case strings.HasPrefix(contentType, "application/connect+"):
		require.NoError(t, json.Unmarshal(lastEnvelope(t, body), &wire))
		return reasonOr(string(bytes.Join([][]byte(rawMessages(wire.Error.Details)), nil)), wire.Error.Code)
	case strings.HasPrefix(contentType, "application/grpc-web") && trailers.Get("Grpc-Status") == "":
		for line := range strings.Lines(string(lastEnvelope(t, body))) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			trailers.Set(textproto.CanonicalMIMEHeaderKey(key), strings.TrimSpace(value))
		}
	}
	code, err := strconv.Atoi(trailers.Get("Grpc-Status"))
	require.NoError(t, err, "%v %q", trailers, body)
	if code == 0 {
		return "ok"
	}
	details, err := connect.DecodeBinaryHeader(trailers.Get("Grpc-Status-Details-Bin"))
	require.NoError(t, err)
	// The details hold an ErrorDetail whose first field is the reason.
	_, detail, found := bytes.Cut(details, []byte("log.v1.ErrorDetail\x12"))
	if found {
		var d logv1.ErrorDetail
		require.NoError(t, proto.Unmarshal(detail[1:1+detail[0]], &d))
		return d.GetReason().String()
	}
	return connect.Code(code).String()
}

func rawMessages(in []json.RawMessage) [][]byte {
	out := make([][]byte, len(in))
	for i, m := range in {
		out[i] = m
	}
	return out
}

// reasonOr finds the reason in the readable form of a detail.
func reasonOr(details, code string) string {
	_, rest, found := strings.Cut(details, `"reason":"`)
	if !found {
		return code
	}
	reason, _, _ := strings.Cut(rest, `"`)
	return reason
}

func lastEnvelope(t *testing.T, body []byte) []byte {
	t.Helper()
	for {
		require.GreaterOrEqual(t, len(body), 5)
		n := int(binary.BigEndian.Uint32(body[1:])) + 5
		require.GreaterOrEqual(t, len(body), n)
		if len(body) == n {
			return body[5:]
		}
		body = body[n:]
	}
}

// Goal: what the other protocols cannot express: methods of HTTP, JSON, headers
// over the limit, and a stream in both directions over HTTP/1.1.
func TestMalformedHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	const jsonType, streamType = "application/json", "application/connect+json"
	for _, row := range []struct {
		name, method, path, contentType, body string
		header                                int // bytes of a header to add
		http2                                 bool
		want                                  string
	}{
		{name: "GET of a write", method: "GET", path: producePath, want: "http 405"},
		{name: "PUT", method: "PUT", path: producePath, want: "http 405"},
		{name: "GET of a stream", method: "GET", path: consumeStreamPath, want: "http 405"},
		{name: "GET of nothing", method: "GET", path: "/", want: "http 404"},
		{name: "GET without a message", method: "GET", path: consumePath + "?encoding=json", want: "invalid_argument"},
		{name: "GET without an encoding", method: "GET", path: consumePath + "?message={}", want: "http 415"},
		{name: "GET of garbage", method: "GET", path: consumePath + "?encoding=proto&base64=1&message=!", want: "REASON_INVALID_REQUEST"},
		{name: "JSON that is none", method: "POST", path: producePath, contentType: jsonType, body: "{", want: "invalid_argument"},
		{name: "no JSON", method: "POST", path: producePath, contentType: jsonType, want: "invalid_argument"},
		{name: "nested JSON", method: "POST", path: producePath, contentType: jsonType, body: strings.Repeat("[", 60_000), want: "invalid_argument"},
		{name: "wrong type", method: "POST", path: producePath, contentType: jsonType, body: `{"record":7}`, want: "invalid_argument"},
		{name: "empty JSON", method: "POST", path: producePath, contentType: jsonType, body: "{}", want: "REASON_NO_RECORD"},
		{name: "null record", method: "POST", path: producePath, contentType: jsonType, body: `{"record":null}`, want: "REASON_NO_RECORD"},
		{name: "empty record", method: "POST", path: producePath, contentType: jsonType, body: `{"record":{}}`, want: "ok"},
		{name: "both directions over HTTP/1.1", method: "POST", path: "/log.v1.Log/ProduceStream", contentType: streamType, want: "http 505"},
		{name: "large headers", method: "POST", path: producePath, contentType: jsonType, body: `{}`, header: 64 << 10, want: "http 431"},
	} {
		t.Run(row.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(ctxWithPatience(t), row.method, s.url+row.path, strings.NewReader(row.body))
			require.NoError(t, err)
			if row.contentType != "" {
				req.Header.Set("Content-Type", row.contentType)
			}
			if row.header > 0 {
				req.Header.Set("X-Large", strings.Repeat("a", row.header))
			}
			res, err := newHTTPClient(t, row.http2).Do(req)
			require.NoError(t, err)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			got := fmt.Sprint("http ", res.StatusCode)
			if res.Header.Get("Content-Type") == jsonType {
				got = outcome(t, res, body)
			}
			require.Equal(t, row.want, got, "%s", body)
		})
	}
}

package rpc_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// A requestSeed is a request for FuzzRequest to begin with.
type requestSeed struct {
	name  string
	raw   []byte
	http2 bool
	good  bool // it succeeds
}

// requestSeeds are the rows of TestMalformedRequests that are small, and a good
// request of each kind in each protocol.
func requestSeeds(t testing.TB) (seeds []requestSeed) {
	for _, stream := range []bool{false, true} {
		for _, f := range framings(stream) {
			for _, row := range malformedRequests() {
				body := row.body(f)
				applies := row.want[f.name] != "" || stream && row.want["gRPC"] != ""
				if !applies || len(body) > fuzzInput/4 {
					continue
				}
				path := row.path
				if path == "" {
					path = map[bool]string{false: producePath, true: consumeStreamPath}[stream]
				}
				header := http.Header{"Content-Type": {f.contentType}}
				for key, values := range row.header {
					switch key {
					case "encoding":
						key = f.encoding
					case "timeout":
						key = f.timeout
					}
					header[key] = values
				}
				seeds = append(seeds, requestSeed{name: f.name + "/" + row.name, raw: rawRequest("POST", path, header, body)})
			}
		}
	}
	return append(seeds, goodSeeds(t)...)
}

// goodSeeds are requests that succeed.
func goodSeeds(t testing.TB) (seeds []requestSeed) {
	type call struct {
		path     string
		messages []proto.Message
		stream   bool
	}
	headers := &logv1.ProduceRequest{Log: "a", Record: &logv1.Record{Value: []byte("b"), Headers: []*logv1.Header{{Name: "n", Value: []byte{0xff}}}}}
	calls := []call{
		{path: producePath, messages: []proto.Message{one("a")}},
		{path: producePath, messages: []proto.Message{many("a", "", "b")}},
		{path: producePath, messages: []proto.Message{headers}},
		{path: producePath, messages: []proto.Message{&logv1.ProduceRequest{
			Log: "made/b", Record: &logv1.Record{}, ExpectedOffset: ptr(uint64(0)), Producer: &logv1.Producer{Id: "p", Epoch: 1},
		}}},
		{path: consumePath, messages: []proto.Message{&logv1.ConsumeRequest{Offset: 1}}},
		{path: consumePath, messages: []proto.Message{&logv1.ConsumeRequest{MaxRecords: 5}}},
		{path: consumeStreamPath, messages: []proto.Message{&logv1.ConsumeRequest{UntilOffset: ptr(uint64(3))}}, stream: true},
		{path: produceStreamPath, messages: []proto.Message{one("a"), many("b", "c"), one("d")}, stream: true},
		{path: "/log.v1.Log/GetLog", messages: []proto.Message{&logv1.GetLogRequest{Log: "a"}}},
		{path: "/log.v1.Admin/ListLogs", messages: []proto.Message{&logv1.ListLogsRequest{Prefix: "a"}}},
		{path: "/log.v1.Admin/PutLog", messages: []proto.Message{&logv1.PutLogRequest{Log: "c"}}},
		{path: "/log.v1.Admin/TrimLog", messages: []proto.Message{&logv1.TrimLogRequest{FirstOffset: 2}}},
		{path: "/log.v1.Admin/DeleteLog", messages: []proto.Message{&logv1.DeleteLogRequest{Log: "a"}}},
		{path: "/grpc.health.v1.Health/Check", messages: []proto.Message{&logv1.GetLogRequest{}}},
	}
	for _, c := range calls {
		for _, f := range framings(c.stream) {
			for _, asJSON := range []bool{false, true} {
				var body []byte
				for _, m := range c.messages {
					b, err := proto.Marshal(m)
					if asJSON {
						b, err = protojson.Marshal(m)
					}
					require.NoError(t, err)
					body = append(body, f.message(0, b)...)
				}
				kind := f.contentType
				if asJSON {
					kind = strings.Replace(kind, "proto", "json", 1)
				}
				header := http.Header{"Content-Type": {kind}}
				seeds = append(seeds, requestSeed{
					name: c.path + " by " + kind, raw: rawRequest("POST", c.path, header, body), http2: c.path == produceStreamPath, good: true,
				})
			}
		}
	}
	get := consumePath + "?encoding=json&message=" + url.QueryEscape(`{"offset":1}`)
	packed := consumePath + "?connect=v1&encoding=proto&compression=gzip&base64=1&message=" + base64.RawURLEncoding.EncodeToString(gzipped([]byte{8, 1}))
	return append(seeds,
		requestSeed{name: "GET", raw: rawRequest("GET", get, nil, nil), good: true},
		requestSeed{name: "GET of what is compressed", raw: rawRequest("GET", packed, nil, nil), good: true},
		requestSeed{name: "compressed", good: true, raw: rawRequest("POST", producePath, http.Header{
			"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"},
		}, gzipped([]byte(`{"record":{"value":"YQ=="}}`)))},
	)
}

// Goal: the requests that FuzzRequest begins with are what their names say: those
// that are to succeed do, in every protocol, and the others do not.
func TestRequestSeeds(t *testing.T) {
	s := newFuzzServer(t)
	for _, seed := range requestSeeds(t) {
		t.Run(seed.name, func(t *testing.T) {
			req := parseRequest(seed.raw, seed.http2)
			require.NotNil(t, req)
			s.renew(t)
			res, body, _ := s.serve(t, req, time.Minute)
			require.Equal(t, seed.good, succeeded(t, res, body), "%d %v %q", res.StatusCode, res.Header, body)
		})
	}
}

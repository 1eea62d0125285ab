package rpc_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/proglog/proglog/server/internal/rpc"
)

// allocated returns the bytes that are allocated while f runs. No other test may
// run meanwhile.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Goal: a message within its bytes that holds a million records or headers, each
// of them two bytes, is refused for their number before they become a hundred
// bytes each. Method: bytes allocated by the whole process, client included; not
// parallel, so that no other test counts.
func TestManySmallPartsCostLittle(t *testing.T) {
	const million = 1 << 20
	const most = 40 << 20 // buffers of both ends for 2 or 2.7 MiB; decoded it is 100 and more
	field := func(number protowire.Number, inner []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), inner)
	}
	headers := bytes.Repeat(field(6, nil), million-8)
	json := func(begin, element, end string, n int) []byte {
		return append(append([]byte(begin), bytes.Repeat([]byte(element+","), n-1)...), element+end...)
	}
	// As many as the limit allows go through, whatever else has their form.
	braces := "\"value\":\"\",\"headers\":[" + string(bytes.TrimSuffix(bytes.Repeat([]byte(`{"name":"[{\"{"},`), 64), []byte(","))) + "]"
	for i, row := range []struct {
		name string
		json bool
		body []byte
		want string // a reason; "": it is appended
	}{
		{"records", false, bytes.Repeat(field(3, nil), million), "REASON_TOO_LARGE"},
		{"headers of a record", false, field(1, headers), "REASON_TOO_LARGE"},
		{"headers of a record of a batch", false, append(field(3, nil), field(3, headers)...), "REASON_TOO_LARGE"},
		{"headers in pieces of a record", false, bytes.Repeat(field(1, bytes.Repeat(field(6, nil), 60)), 10_000), "REASON_TOO_LARGE"},
		{"records, then garbage", false, append(bytes.Repeat(field(3, nil), million/2), 0xff), "REASON_TOO_LARGE"},
		{"records at the limit", false, bytes.Repeat(field(3, bytes.Repeat(field(6, nil), 64)), 1000), ""},
		{"records in JSON", true, json(`{"records":[`, `{}`, `]}`, 900_000), "REASON_TOO_LARGE"},
		{"headers in JSON", true, json(`{"record":{"headers":[`, `{}`, `]}}`, 900_000), "REASON_TOO_LARGE"},
		{"headers of a batch in JSON", true, json(`{"records":[{},{"headers":[`, `{}`, `]}]}`, 900_000), "REASON_TOO_LARGE"},
		{"spaced records in JSON", true, json(`{ "records" : [`, "\n{ }", "\n]\n}", 400_000), "REASON_TOO_LARGE"},
		{"records in JSON at the limit", true, json(`{"records":[`, `{`+braces+`}`, `]}`, 1000), ""},
		{"one more in JSON", true, json(`{"records":[`, `{}`, `]}`, 1001), "REASON_TOO_LARGE"},
	} {
		for _, stream := range []bool{false, true} {
			for _, f := range framings(stream) {
				if row.json && f.name == "gRPC" {
					continue // its clients speak no JSON
				}
				if row.json {
					f.contentType = f.contentType[:len(f.contentType)-len("proto")] + "json"
				}
				for _, gzip := range []bool{false, true} {
					if gzip && i > 0 || row.want == "" && f.name != "connect" {
						continue // these differ in what is counted, not in how it arrives
					}
					t.Run(fmt.Sprintf("%s/%s/stream=%v/gzip=%v", row.name, f.name, stream, gzip), func(t *testing.T) {
						s := newServer(t, rpc.Options{}, nil)
						body, flags, header := row.body, byte(0), map[string][]string{}
						if gzip {
							body, flags = gzipped(body), 1
							header["encoding"] = []string{"gzip"}
						}
						path := producePath
						if stream {
							path = produceStreamPath
						}
						body = f.message(flags, body)
						client := newHTTPClient(t, true)
						if row.want == "" { // what is taken may cost what it costs
							s.requireTaken(t, client, f, path, header["encoding"], body)
							return
						}
						cost := allocated(func() { require.Equal(t, row.want, s.post(t, client, f, path, header, body)) })
						require.Less(t, cost, uint64(most))
						require.Zero(t, s.next(t))
					})
				}
			}
		}
	}
}

// next is the default log's next offset.
func (s *testServer) next(t *testing.T) uint64 {
	t.Helper()
	log, err := s.engine.Log(t.Context(), "")
	require.NoError(t, err)
	return log.Bounds().Next
}

// requireTaken sends a body of a thousand records and finds them appended.
func (s *testServer) requireTaken(t *testing.T, client *http.Client, f framing, path string, encoding []string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctxWithPatience(t), http.MethodPost, s.url+path, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", f.contentType)
	if encoding != nil {
		req.Header[f.encoding] = encoding
	}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	_, err = io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, uint64(1000), s.next(t))
}

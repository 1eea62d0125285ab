package rpc_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/commitlog/commitlogtest"
	"github.com/proglog/proglog/server/internal/rpc"
)

const (
	// fuzzInput bounds the bytes of a request: more find nothing else.
	fuzzInput = 64 << 10
	// fuzzMemory bounds what a request may allocate in all, with the limits of a
	// fuzzServer.
	fuzzMemory = 8 << 20
	// fuzzSlow is far more than any request takes.
	fuzzSlow = 5 * time.Second
	// fuzzPatience is how long a call may wait for records that do not come.
	fuzzPatience = 5 * time.Millisecond
)

// An exchangedEngine is a new engine for each request.
type exchangedEngine struct{ commitlog.Engine }

// A fuzzServer is a handler over an engine in memory, with small limits.
type fuzzServer struct {
	handler http.Handler
	engine  *exchangedEngine
	limits  commitlog.Limits
	logs    bytes.Buffer
}

func newFuzzServer(t testing.TB) *fuzzServer {
	s := &fuzzServer{engine: new(exchangedEngine), limits: commitlog.DefaultLimits()}
	s.limits.ValueBytes, s.limits.BatchBytes = 16<<10, 64<<10
	s.renew(t)
	server, err := rpc.New(s.engine, rpc.Options{
		Limits:          rpc.Limits{Batch: s.limits, Wait: fuzzPatience, Unary: 10 * time.Second},
		CreateOnProduce: "made/", Logger: slog.New(slog.NewTextHandler(&s.logs, nil)),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	s.handler = server.Handler()
	return s
}

// renew makes an engine with two logs, of three records and of one.
func (s *fuzzServer) renew(t testing.TB) {
	s.engine.Engine = commitlogtest.NewMemory(commitlogtest.Options{Limits: s.limits})
	s.logs.Reset()
	for name, records := range map[string]int{"": 3, "a": 1} {
		log, _, err := s.engine.Put(t.Context(), name, commitlog.Change{})
		require.NoError(t, err)
		for i := range records {
			_, err = log.Append(t.Context(), commitlog.Batch{Records: []commitlog.Record{{Value: fmt.Append(nil, i)}}})
			require.NoError(t, err)
		}
	}
}

// records counts those of all logs, from the first ever, and reads each that is
// still there: their offsets are contiguous.
func (s *fuzzServer) records(t testing.TB) (n uint64) {
	infos, more, err := s.engine.List(t.Context(), "", nil, 100)
	require.NoError(t, err)
	require.False(t, more)
	for _, info := range infos {
		log, err := s.engine.Log(t.Context(), info.Name)
		require.NoError(t, err)
		b := log.Bounds()
		n += b.Next
		for at := b.First; at < b.Next; {
			run, err := log.Read(t.Context(), at, commitlog.ReadLimit{}, nil)
			require.NoError(t, err)
			for r, err := range run.All() {
				require.NoError(t, err)
				require.Equal(t, at, r.Offset)
				at++
			}
		}
	}
	return n
}

// serve gives the handler a request, and returns its answer, and whether the
// handler had to be told to stop, since it took longer than that.
func (s *fuzzServer) serve(t testing.TB, req *http.Request, patience time.Duration) (res *http.Response, body []byte, cut bool) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer := httptest.NewRecorder()
	s.handler.ServeHTTP(answer, req.WithContext(ctx))
	res = answer.Result()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, body, ctx.Err() != nil
}

// parseRequest reads raw HTTP/1.1; nil if it is none. A handler sees the same
// request of HTTP/2, but that both directions may be used at once.
func parseRequest(raw []byte, http2 bool) *http.Request {
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil || req.URL.Path == "" {
		return nil
	}
	req.RemoteAddr = "127.0.0.1:9"
	if http2 {
		req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/2.0", 2, 0
	}
	return req
}

// rawRequest writes a request as it travels over HTTP/1.1.
func rawRequest(method, path string, header http.Header, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: a\r\n", method, path)
	if len(body) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	_ = header.Write(&b) // to memory
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// codeNames are the names of the codes that Connect tells.
var codeNames = []string{
	"canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied",
	"resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable",
	"data_loss", "unauthenticated",
}

// statuses are those of HTTP that an answer may have; 301 and 307 are for paths that
// are not clean.
var statuses = []int{200, 301, 304, 307, 400, 403, 404, 405, 408, 409, 412, 415, 416, 429, 431, 499, 500, 501, 503, 504, 505}

// succeeded says whether an answer is one of success; it checks that it is a legal
// one of its protocol.
func succeeded(t *testing.T, res *http.Response, body []byte) bool {
	require.Contains(t, statuses, res.StatusCode)
	kind := res.Header.Get("Content-Type")
	switch {
	case strings.HasPrefix(kind, "application/grpc"):
		got := outcome(t, res, body)
		require.True(t, got == "ok" || slices.Contains(codeNames, got) || logv1.Reason_value[got] != 0, "%s", got)
		return got == "ok"
	case strings.HasPrefix(kind, "application/connect+"):
		require.Equal(t, 200, res.StatusCode)
		last := lastEnvelope(t, body)
		require.True(t, json.Valid(last), "%q", last)
		if !strings.Contains(string(last), `"error"`) {
			return true
		}
		got := outcome(t, res, body)
		require.True(t, slices.Contains(codeNames, got) || logv1.Reason_value[got] != 0, "%s", got)
		return false
	case res.StatusCode == http.StatusOK:
		return true
	case kind == "application/json":
		got := outcome(t, res, body)
		require.True(t, slices.Contains(codeNames, got) || logv1.Reason_value[got] != 0, "%s", got)
	}
	return false
}

// acked counts the records that an answer acknowledges.
func acked(t *testing.T, res *http.Response, body []byte) (n uint64) {
	_, codec, _ := strings.Cut(strings.ReplaceAll(res.Header.Get("Content-Type"), "+", "/"), "/")
	add := func(b []byte) {
		m := &logv1.ProduceResponse{}
		if strings.HasSuffix(codec, "json") {
			require.NoError(t, protojson.Unmarshal(b, m))
		} else {
			require.NoError(t, proto.Unmarshal(b, m))
		}
		require.Greater(t, m.GetNextOffset(), m.GetOffset())
		if !m.GetDuplicate() {
			n += m.GetNextOffset() - m.GetOffset()
		}
	}
	if codec == "json" || codec == "proto" {
		if res.StatusCode == http.StatusOK {
			add(body)
		}
		return n
	}
	for len(body) >= 5 {
		size := int(binary.BigEndian.Uint32(body[1:])) + 5
		require.LessOrEqual(t, size, len(body))
		if body[0] == 0 {
			add(body[5:size])
		}
		body = body[size:]
	}
	return n
}

// Goal: whatever the bytes of a request, the handler ends with an answer that is
// legal in its protocol, allocates within bounds and shows no fault of its own in
// its log; and the logs have what they had, contiguous, and just the records that
// were acknowledged behind that.
func FuzzRequest(f *testing.F) {
	for _, seed := range requestSeeds(f) {
		f.Add(seed.raw, seed.http2)
	}
	s := newFuzzServer(f)
	f.Fuzz(func(t *testing.T, raw []byte, http2 bool) {
		if len(raw) > fuzzInput {
			return
		}
		req := parseRequest(raw, http2)
		if req == nil {
			return
		}
		s.renew(t)
		before := s.records(t)
		var res *http.Response
		var body []byte
		var cut bool
		began := time.Now()
		memory := allocated(func() { res, body, cut = s.serve(t, req, fuzzPatience) })
		require.Less(t, time.Since(began), fuzzSlow)
		require.Less(t, memory, uint64(fuzzMemory))
		require.NotContains(t, s.logs.String(), "level=ERROR")

		ok := succeeded(t, res, body)
		told := uint64(0)
		appended := s.records(t)
		switch req.URL.Path {
		case producePath, produceStreamPath:
			if ok || req.URL.Path == produceStreamPath && res.StatusCode == http.StatusOK {
				told = acked(t, res, body)
			}
		case "/log.v1.Admin/DeleteLog":
			require.LessOrEqual(t, appended, before)
			return
		}
		if cut {
			require.GreaterOrEqual(t, appended-before, told, "acknowledged and not there")
			return
		}
		require.Equal(t, told, appended-before, "acknowledged, and there")
	})
}

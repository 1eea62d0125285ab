package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// patience is how long a test waits for what has to happen.
const patience = 30 * time.Second

// A servedServer is `proglog serve` in this process.
type servedServer struct {
	addr string
	stop context.CancelFunc
	code chan int
	log  chan string // every line, once stop has done its work
}

// startServe runs `proglog serve` with the arguments and waits until it listens.
func startServe(t *testing.T, args ...string) *servedServer {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	r, w := io.Pipe()
	s := &servedServer{stop: stop, code: make(chan int, 1), log: make(chan string, 1)}
	go func() {
		s.code <- serve(ctx, append([]string{"--log-format", "json", "--listen", "127.0.0.1:0"}, args...), nil, io.Discard, w)
		w.Close()
	}()
	listening := make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(r); lines.Scan(); {
			var line struct{ Msg, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				listening <- line.Addr
			}
			all.WriteString(lines.Text() + "\n")
		}
		s.log <- all.String()
	}()
	select {
	case s.addr = <-listening:
	case all := <-s.log:
		require.Fail(t, "the server did not start", all)
	case <-time.After(patience):
		require.Fail(t, "the server did not start in time")
	}
	return s
}

// end stops the server as a signal does and returns its exit code and log.
func (s *servedServer) end(t *testing.T) (int, string) {
	t.Helper()
	s.stop()
	select {
	case code := <-s.code:
		return code, <-s.log
	case <-time.After(patience):
		require.Fail(t, "the server did not end in time")
		return 0, ""
	}
}

func newClient(t *testing.T, addr string) logv1connect.LogClient {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return logv1connect.NewLogClient(connect.NewClient(
		connecthttp.NewTransport(&http.Client{Transport: transport}, "http://"+addr)))
}

// Goal: what is produced is there after a stop and a start; a stop drains the
// open tail, exits 0 and logs each stage, and no value of a record is logged.
func TestServeKeepsAndDrains(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := startServe(t, "--data-dir", dir)
	c := newClient(t, s.addr)
	_, err := c.Produce(t.Context(), &logv1.ProduceRequest{Record: &logv1.Record{Value: []byte("a-private-value")}})
	require.NoError(t, err)
	tail, err := c.ConsumeStream(t.Context(), &logv1.ConsumeRequest{})
	require.NoError(t, err)
	_, err = tail.Receive()
	require.NoError(t, err)
	code, log := s.end(t)
	require.Equal(t, exitOK, code, log)
	_, err = tail.Receive()
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	for _, want := range []string{
		`"starting"`, `"listening"`, "a signal asked to stop", "refusing new calls", "every call has ended", "the engine is closed", `"stopped"`,
	} {
		require.Contains(t, log, want)
	}
	require.NotContains(t, log, "a-private-value")

	s = startServe(t, "--data-dir", dir)
	res, err := newClient(t, s.addr).Consume(t.Context(), &logv1.ConsumeRequest{})
	require.NoError(t, err)
	require.Equal(t, "a-private-value", string(res.GetRecord().GetValue()))
	code, log = s.end(t)
	require.Equal(t, exitOK, code, log)
}

// Goal: a limit that is set holds.
func TestServeLimits(t *testing.T) {
	s := startServe(t, "--data-dir", t.TempDir(), "--max-value-bytes", "1KiB")
	c := newClient(t, s.addr)
	_, err := c.Produce(t.Context(), &logv1.ProduceRequest{Record: &logv1.Record{Value: make([]byte, 1024)}})
	require.NoError(t, err)
	_, err = c.Produce(t.Context(), &logv1.ProduceRequest{Record: &logv1.Record{Value: make([]byte, 1025)}})
	require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))
	code, log := s.end(t)
	require.Equal(t, exitOK, code, log)
}

// Goal: a log that a produce may make by its name is made and kept, another is
// not; GetLog tells the limits that were set.
func TestServeCreatesOnProduce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := startServe(t, "--data-dir", dir, "--create-on-produce", "orders/", "--max-wait", "3s", "--max-producer-id-bytes", "9")
	c := newClient(t, s.addr)
	produce := func(name string) error {
		_, err := c.Produce(t.Context(), &logv1.ProduceRequest{Log: name, Record: &logv1.Record{}})
		return err
	}
	require.NoError(t, produce("orders/eu"))
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(produce("other")))
	res, err := c.GetLog(t.Context(), &logv1.GetLogRequest{Log: "orders/eu"})
	require.NoError(t, err)
	require.Equal(t, uint64(1), res.GetInfo().GetNextOffset())
	require.Equal(t, logv1.Durability_DURABILITY_SYNCED, res.GetInfo().GetDurability())
	require.Equal(t, 3*time.Second, res.GetLimits().GetWait().AsDuration())
	require.Equal(t, uint32(9), res.GetLimits().GetProducerIdBytes())
	code, log := s.end(t)
	require.Equal(t, exitOK, code, log)
}

// Goal: what cannot be started exits 1 and says what to do: a second server on
// the directory, a directory that is not one, a file, a port in use.
func TestServeCannotStart(t *testing.T) {
	dir := t.TempDir()
	s := startServe(t, "--data-dir", dir)
	foreign := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(foreign, "thesis.txt"), []byte("keep me"), 0o600))
	file := filepath.Join(foreign, "thesis.txt")
	for _, tc := range []struct {
		name, dir, listen, want string
	}{
		{"locked", dir, "127.0.0.1:0", "another process serves this data directory"},
		{"not a data directory", foreign, "127.0.0.1:0", "name an empty or new directory"},
		{"below a file", filepath.Join(file, "data"), "127.0.0.1:0", "a part of --data-dir is a file"},
		{"an address of nobody", t.TempDir(), "192.0.2.1:0", "choose another with --listen"},
		{"port in use", t.TempDir(), s.addr, "choose another address with --listen"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := serve(t.Context(), []string{"--data-dir", tc.dir, "--listen", tc.listen, "--insecure-listen"}, nil, io.Discard, &stderr)
			require.Equal(t, exitFailed, code)
			require.Contains(t, stderr.String(), tc.want)
		})
	}
	fresh := filepath.Join(foreign, "fresh")
	require.Equal(t, exitFailed, serve(t.Context(), []string{"--data-dir", fresh, "--listen", s.addr}, nil, io.Discard, io.Discard))
	require.NoDirExists(t, fresh, "a port in use leaves nothing behind")
	var stderr bytes.Buffer
	require.Equal(t, exitUsage, serve(t.Context(), []string{"--data-dir", file}, nil, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "is a file: name a directory")
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "keep me", string(kept))
	_, _ = s.end(t)
}

// Goal: wrong usage exits 2 before anything is touched and names what to do.
func TestServeUsage(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown flag", []string{"--nonsense"}, "nonsense"},
		{"argument", []string{"data"}, "unexpected argument"},
		{"open address", []string{"--listen", "0.0.0.0:0"}, "--insecure-listen"},
		{"every address", []string{"--listen", ":0"}, "--insecure-listen"},
		{"no port", []string{"--listen", "127.0.0.1"}, "HOST:PORT"},
		{"bad port", []string{"--listen", "127.0.0.1:99999"}, "HOST:PORT"},
		{"format", []string{"--log-format", "xml"}, "text or json"},
		{"no directory", []string{"--data-dir", ""}, "--data-dir"},
		{"bad size", []string{"--max-value-bytes", "much"}, "not a size"},
		{"negative size", []string{"--max-value-bytes", "-1"}, "not a size"},
		{"limit over its range", []string{"--max-value-bytes", "17MiB"}, "value bytes"},
		{"drain", []string{"--drain-timeout", "0s"}, "--drain-timeout"},
		{"no name starts so", []string{"--create-on-produce", "/x"}, "--create-on-produce"},
		{"an origin with a path", []string{"--allow-origin", "https://app.example/"}, "write https://app.example"},
		{"no origin", []string{"--allow-origin", "https://app.example,"}, "--allow-origin"},
		{"all origins and one", []string{"--allow-origin", "https://app.example", "--allow-origin", "*"}, "every origin"},
		{"wait", []string{"--max-wait", "-1s"}, "wait"},
		{"heartbeats", []string{"--min-heartbeat", "2m"}, "heartbeat"},
		{"page", []string{"--max-page-size", "1000000"}, "page size"},
		{"nowhere to listen", []string{"--listen", ""}, "--listen is empty"},
		{"a size for a count", []string{"--max-headers", "1KiB"}, "not a count"},
		{"segments", []string{"--segment-bytes", "100"}, "--segment-bytes"},
		{"segments too large", []string{"--segment-bytes", "2GiB"}, "--segment-bytes"},
		{"a journal file of odd size", []string{"--journal-file-bytes", "16777217"}, "--journal-file-bytes"},
		{"a small journal file", []string{"--journal-file-bytes", "4KiB"}, "--journal-file-bytes"},
		{"journal files", []string{"--journal-files", "1"}, "--journal-files"},
		{"memory for requests", []string{"--max-request-memory", "1MiB"}, "request memory"},
		{"more connections than files", []string{"--max-connections", "1000001"}, "connections"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			var stderr bytes.Buffer
			code := serve(t.Context(), append([]string{"--data-dir", dir}, tc.args...), nil, io.Discard, &stderr)
			require.Equal(t, exitUsage, code, stderr.String())
			require.Contains(t, stderr.String(), tc.want)
			require.NoDirExists(t, dir)
		})
	}
}

// Goal: every flag has an environment twin that sets it, a flag wins over its
// twin, a bad twin is wrong usage, and the help lists both.
func TestServeEnvironment(t *testing.T) {
	var stderr bytes.Buffer
	var help serveConfig
	fs := serveFlags(&help, &stderr)
	code, ok := parseFlags(fs, []string{"-h"})
	require.False(t, ok)
	require.Equal(t, exitOK, code)
	fs.VisitAll(func(f *flag.Flag) {
		require.Contains(t, stderr.String(), "--"+f.Name)
		require.Contains(t, stderr.String(), envName(f.Name))
		t.Run(f.Name, func(t *testing.T) {
			value, other := "7", "9"
			switch f.Name {
			case "insecure-listen", "public-cache":
				value, other = "true", "false"
			case "drain-timeout", "max-wait", "min-heartbeat", "max-heartbeat":
				value, other = "7s", "9s"
			}
			t.Setenv(envName(f.Name), value)
			for _, tc := range []struct {
				args []string
				want string
			}{{nil, value}, {[]string{"--" + f.Name + "=" + other}, other}} {
				var c serveConfig
				fs := serveFlags(&c, io.Discard)
				_, ok := parseFlags(fs, tc.args)
				require.True(t, ok)
				require.Equal(t, tc.want, fs.Lookup(f.Name).Value.String())
			}
		})
	})
	t.Setenv("PROGLOG_MAX_HEADERS", "several")
	code, ok = parseFlags(serveFlags(&help, &stderr), nil)
	require.False(t, ok)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr.String(), "PROGLOG_MAX_HEADERS")
}

// Goal: each flag sets what it names and nothing else.
func TestServeFlagsAreWired(t *testing.T) {
	flags := map[string]struct {
		text string
		want func(c *serveConfig)
	}{
		"data-dir":              {"d", func(c *serveConfig) { c.dataDir = "d" }},
		"listen":                {"l:1", func(c *serveConfig) { c.listen = "l:1" }},
		"insecure-listen":       {"true", func(c *serveConfig) { c.insecureListen = true }},
		"log-format":            {"json", func(c *serveConfig) { c.logFormat = "json" }},
		"drain-timeout":         {"3s", func(c *serveConfig) { c.drainTimeout = 3 * time.Second }},
		"create-on-produce":     {"x", func(c *serveConfig) { c.create = "x" }},
		"allow-origin":          {"a,b", func(c *serveConfig) { c.origins = []string{"a", "b"} }},
		"public-cache":          {"true", func(c *serveConfig) { c.publicCache = true }},
		"max-value-bytes":       {"3KiB", func(c *serveConfig) { c.limits.Batch.ValueBytes = 3072 }},
		"max-headers":           {"3", func(c *serveConfig) { c.limits.Batch.Headers = 3 }},
		"max-header-bytes":      {"3KiB", func(c *serveConfig) { c.limits.Batch.HeaderBytes = 3072 }},
		"max-batch-records":     {"3", func(c *serveConfig) { c.limits.Batch.BatchRecords = 3 }},
		"max-batch-bytes":       {"3KiB", func(c *serveConfig) { c.limits.Batch.BatchBytes = 3072 }},
		"max-producer-id-bytes": {"3", func(c *serveConfig) { c.limits.Batch.ProducerID = 3 }},
		"max-response-bytes":    {"3KiB", func(c *serveConfig) { c.limits.ResponseBytes = 3072 }},
		"max-response-records":  {"3", func(c *serveConfig) { c.limits.MaxRecords = 3 }},
		"max-page-size":         {"3", func(c *serveConfig) { c.limits.PageSize = 3 }},
		"max-wait":              {"3s", func(c *serveConfig) { c.limits.Wait = 3 * time.Second }},
		"min-heartbeat":         {"3s", func(c *serveConfig) { c.limits.MinHeartbeat = 3 * time.Second }},
		"max-heartbeat":         {"3s", func(c *serveConfig) { c.limits.MaxHeartbeat = 3 * time.Second }},
		"max-streams":           {"3", func(c *serveConfig) { c.limits.StreamsPerConnection = 3 }},
		"max-connections":       {"3", func(c *serveConfig) { c.limits.Connections = 3 }},
		"max-request-memory":    {"3KiB", func(c *serveConfig) { c.limits.RequestMemory = 3072 }},
		"segment-bytes":         {"3KiB", func(c *serveConfig) { c.engine.SegmentBytes = 3072 }},
		"journal-file-bytes":    {"3KiB", func(c *serveConfig) { c.engine.JournalFileBytes = 3072 }},
		"journal-files":         {"3", func(c *serveConfig) { c.engine.JournalFiles = 3 }},
		"queue-bytes":           {"3KiB", func(c *serveConfig) { c.engine.QueueBytes = 3072 }},
		"min-free-bytes":        {"3KiB", func(c *serveConfig) { c.engine.FreeBytes = 3072 }},
		"tail-bytes":            {"3KiB", func(c *serveConfig) { c.engine.TailBytes = 3072 }},
		"index-cache-bytes":     {"3KiB", func(c *serveConfig) { c.engine.IndexCacheBytes = 3072 }},
		"open-files":            {"3", func(c *serveConfig) { c.engine.OpenFiles = 3 }},
	}
	var none serveConfig
	serveFlags(&none, io.Discard).VisitAll(func(f *flag.Flag) {
		row, ok := flags[f.Name]
		require.True(t, ok, "--%s is not in the table", f.Name)
		var got, want serveConfig
		require.NoError(t, serveFlags(&got, io.Discard).Parse([]string{"--" + f.Name + "=" + row.text}))
		serveFlags(&want, io.Discard)
		require.NotEqual(t, want, got, f.Name)
		row.want(&want)
		require.Equal(t, want, got, f.Name)
	})
}

// Goal: the pages of the origins that are named may call, by a flag that is
// repeated, and has commas, or by its twin; those of others may not.
func TestServeAllowsOrigins(t *testing.T) {
	for _, twin := range []bool{false, true} {
		args := []string{"--data-dir", t.TempDir()}
		if twin {
			t.Setenv("PROGLOG_ALLOW_ORIGIN", "http://a.example, http://b.example,http://c.example")
		} else {
			args = append(args, "--allow-origin", "http://a.example,http://b.example", "--allow-origin", "http://c.example")
		}
		s := startServe(t, args...)
		for origin, want := range map[string]string{
			"http://a.example": "http://a.example", "http://b.example": "http://b.example", "http://c.example": "http://c.example",
			"http://d.example": "",
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.addr+"/log.v1.Log/GetLog", strings.NewReader("{}"))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Origin", origin)
			res, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusOK, res.StatusCode)
			require.Equal(t, want, res.Header.Get("Access-Control-Allow-Origin"))
		}
		_, _ = s.end(t)
	}
}

// Goal: counts are whole numbers, and are written as such.
func TestCount(t *testing.T) {
	var v int
	require.NoError(t, newCount(&v, 1).Set("2048"))
	require.Equal(t, 2048, v)
	require.Equal(t, "2048", newCount(&v, v).String())
	for _, text := range []string{"", "-1", "2KiB", "1.5", "99999999999"} {
		require.Error(t, newCount(&v, 1).Set(text), text)
	}
}

// Goal: sizes are read and written in the units that people use.
func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1048576": 1 << 20, "64KiB": 64 << 10, "3 MiB": 3 << 20, "2GiB": 2 << 30} {
		var v int64
		require.NoError(t, newSize(&v, 0).Set(text))
		require.Equal(t, want, v, text)
	}
	for _, text := range []string{"", "KiB", "1.5MiB", "1MB", "9999999999999GiB", "0x10"} {
		var v int64
		require.Error(t, newSize(&v, 0).Set(text), text)
	}
	for want, v := range map[string]int64{"0": 0, "1MiB": 1 << 20, "1025": 1025, "3KiB": 3 << 10, "2GiB": 2 << 30} {
		require.Equal(t, want, newSize(&v, v).String())
	}
}

// Goal: the address given by name on loopback is bound on loopback, and a Host
// that is not loopback is refused there.
func TestServeListensByName(t *testing.T) {
	s := startServe(t, "--data-dir", t.TempDir(), "--listen", "localhost:0")
	host, _, err := net.SplitHostPort(s.addr)
	require.NoError(t, err)
	require.True(t, net.ParseIP(host).IsLoopback())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+"/", nil)
	require.NoError(t, err)
	req.Host = "evil.example"
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	_, _ = s.end(t)
}

// Goal: the dispatcher runs the command that is named, and tells the usage where
// there is none.
func TestDispatch(t *testing.T) {
	for _, tc := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{nil, exitUsage, "", "Usage: proglog COMMAND"},
		{[]string{"help"}, exitOK, "serve", ""},
		{[]string{"--help"}, exitOK, "serve", ""},
		{[]string{"nonsense"}, exitUsage, "", `no command "nonsense"`},
		{[]string{"version"}, exitOK, "proglog ", ""},
		{[]string{"--version"}, exitOK, "proglog ", ""},
		{[]string{"version", "x"}, exitUsage, "", "no arguments"},
		{[]string{"serve", "-h"}, exitOK, "", "PROGLOG_LISTEN"},
	} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, tc.code, dispatch(t.Context(), commands(), tc.args, nil, &stdout, &stderr), tc.args)
		require.Contains(t, stdout.String(), tc.stdout)
		require.Contains(t, stderr.String(), tc.stderr)
	}
}

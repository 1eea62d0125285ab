package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/commitlog/commitlogtest"
	"github.com/proglog/proglog/server/internal/rpc"
)

// hookedEngine is the engine in memory with something in front of every append.
type hookedEngine struct {
	*commitlogtest.Memory
	before func(ctx context.Context, batches []commitlog.Batch) error
}

func (e *hookedEngine) Log(ctx context.Context, name string) (commitlog.CommitLog, error) {
	log, err := e.Memory.Log(ctx, name)
	return hookedLog{log, e}, err
}

type hookedLog struct {
	commitlog.CommitLog
	engine *hookedEngine
}

func (l hookedLog) Append(ctx context.Context, batches ...commitlog.Batch) ([]commitlog.Ack, error) {
	if l.engine.before != nil {
		if err := l.engine.before(ctx, batches); err != nil {
			return nil, err
		}
	}
	return l.CommitLog.Append(ctx, batches...)
}

// startServer serves a log in memory until the test ends.
func startServer(t *testing.T, e *hookedEngine) (addr string) {
	t.Helper()
	e.Memory = commitlogtest.NewMemory(commitlogtest.Options{})
	server, err := rpc.New(e, rpc.Options{})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		assert.NoError(t, <-served)
	})
	return "http://" + listener.Addr().String()
}

// result is what a command did.
type result struct {
	code           int
	stdout, stderr string
}

// runCommand runs a command to its end.
func runCommand(t *testing.T, name string, stdin string, args ...string) result {
	t.Helper()
	commands := map[string]func(context.Context, []string, io.Reader, io.Writer, io.Writer) int{
		"produce": produce, "consume": consume, "logs": logs, "bench": bench,
	}
	var stdout, stderr bytes.Buffer
	code := commands[name](t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// requireOK runs a command that must succeed in silence, and returns its output.
func requireOK(t *testing.T, name string, stdin string, args ...string) string {
	t.Helper()
	r := runCommand(t, name, stdin, args...)
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Empty(t, r.stderr)
	return r.stdout
}

// Goal: whoever reads the output may leave: that is no error.
func TestClosedPipeIsNoError(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	requireOK(t, "produce", strings.Repeat(strings.Repeat("x", 1000)+"\n", 2000), "--addr", addr)
	for _, name := range []string{"consume", "produce"} {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		require.NoError(t, r.Close())
		var stderr bytes.Buffer
		var code int
		if name == "consume" {
			code = consume(t.Context(), []string{"--addr", addr}, nil, w, &stderr)
		} else {
			code = produce(t.Context(), []string{"--addr", addr, "--print-offsets"}, strings.NewReader("a\nb\n"), w, &stderr)
		}
		assert.Equal(t, exitOK, code, stderr.String())
		require.NoError(t, w.Close())
	}
	assert.Equal(t, "a\nb\n", requireOK(t, "consume", "", "--addr", addr, "--from", "-2"))
}

// Goal: wrong usage is exit code 2 with what to do, and a server that is not
// there is exit code 1 with what to do.
func TestClientUsage(t *testing.T) {
	for _, row := range []struct {
		command, args string
		code          int
		text          string
	}{
		{"produce", "--format xml", exitUsage, "use lines, file or delimited"},
		{"produce", "--nope", exitUsage, "nope"},
		{"produce", "--addr localhost:1", exitUsage, "add http://"},
		{"consume", "--addr 127.0.0.1:8400", exitUsage, "add http://"},
		{"produce", "--max-value-bytes 0", exitUsage, "proglog produce: --max-value-bytes is 0"},
		{"produce", "-h", exitOK, "PROGLOG_ADDR"},
		{"consume", "--format file", exitUsage, "use lines, json or delimited"},
		{"consume", "--from yesterday", exitUsage, "use earliest, an offset, -N, end or a time"},
		{"consume", "file", exitUsage, "too much"},
		{"consume", "--addr ftp://x", exitUsage, "http://"},
		{"consume", "-h", exitOK, "PROGLOG_FOLLOW"},
		{"consume", "--log no/such", exitFailed, "proglog logs create NAME"},
		{"produce", "--log no/such", exitFailed, "nothing else was appended"},
	} {
		t.Run(row.command+" "+row.args, func(t *testing.T) {
			t.Setenv("PROGLOG_ADDR", startServer(t, &hookedEngine{}))
			r := runCommand(t, row.command, "a\n", strings.Fields(row.args)...)
			assert.Equal(t, row.code, r.code, r.stderr)
			assert.Contains(t, r.stderr, row.text)
			assert.Empty(t, r.stdout)
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	for _, command := range []string{"produce", "consume"} {
		r := runCommand(t, command, "a\n", "--addr", "http://"+listener.Addr().String())
		assert.Equal(t, exitFailed, r.code)
		assert.Contains(t, r.stderr, "is a server running at http://")
	}
}

// Goal: whoever is told that a log changed, or that another writer was there, is
// told what to do, also when the error comes wrapped.
func TestHintFor(t *testing.T) {
	for _, row := range []struct {
		err  proglog.Error
		text string
	}{
		{proglog.Error{Code: proglog.CodeFailedPrecondition, Reason: proglog.ReasonLogChanged}, "a reader begins anew with --from earliest"},
		{proglog.Error{Code: proglog.CodeAborted, Reason: proglog.ReasonOffsetMismatch, NextOffset: 7}, "next offset is 7"},
	} {
		var out bytes.Buffer
		printFailure(&out, "consume", "http://localhost", fmt.Errorf("read: %w", &row.err))
		assert.Contains(t, out.String(), row.text)
		assert.Equal(t, 2, strings.Count(out.String(), "\n"), out.String())
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
		"produce": produce, "consume": consume,
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

// Goal: what goes in by lines, files or delimited comes out the same, whatever
// bytes it has, from files and from standard input.
func TestProduceAndConsumeFormats(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	long := strings.Repeat("x", inputBuffer*2+17)
	for _, row := range []struct {
		name  string
		args  []string
		stdin string
		n     int    // records
		lines string // what consume prints
	}{
		{"lines", nil, "a\nb\n", 2, "a\nb\n"},
		{"a last line without its newline", nil, "a\nb", 2, "a\nb\n"},
		{"empty lines", nil, "\n\na\n\n", 4, "\n\na\n\n"},
		{"nothing", nil, "", 0, ""},
		{"carriage returns and zero bytes stay", nil, "a\r\n\x00\xff\n", 2, "a\r\n\x00\xff\n"},
		{"a line longer than the buffer", nil, long + "\n" + long, 2, long + "\n" + long + "\n"},
		{"files and standard input", []string{file("1", "a\nb"), "-", file("2", "d\n")}, "c", 4, "a\nb\nc\nd\n"},
		{"a record for each file", []string{"--format", "file", file("3", "a\nb\n"), file("4", "")}, "", 2, "a\nb\n\n\n"},
		{"delimited", []string{"--format=delimited"}, "\x02a\n\x00\x01b", 3, "a\n\n\nb\n"},
		{"flags behind a file", []string{file("5", "a"), "--format", "lines"}, "", 1, "a\n"},
		{"a file after two dashes", []string{"--", file("-6", "a")}, "", 1, "a\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := startServer(t, &hookedEngine{})
			offsets := requireOK(t, "produce", row.stdin, append([]string{"--addr", addr, "--print-offsets"}, row.args...)...)
			var want strings.Builder
			for i := range row.n {
				fmt.Fprintln(&want, i)
			}
			assert.Equal(t, want.String(), offsets)
			assert.Equal(t, row.lines, requireOK(t, "consume", "", "--addr", addr))

			// Through the delimited form into another log, and back.
			delimited := requireOK(t, "consume", "", "--addr", addr, "--format", "delimited")
			other := startServer(t, &hookedEngine{})
			requireOK(t, "produce", delimited, "--addr", other, "--format", "delimited")
			assert.Equal(t, row.lines, requireOK(t, "consume", "", "--addr", other))
		})
	}
}

// Goal: each start and bound of consume.
func TestConsumeBounds(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	assert.Empty(t, requireOK(t, "consume", "", "--addr", addr), "an empty log")
	requireOK(t, "produce", "0\n1\n2\n3\n4\n", "--addr", addr)
	for args, want := range map[string]string{
		"": "0\n1\n2\n3\n4\n", "--from earliest": "0\n1\n2\n3\n4\n", "--from 3": "3\n4\n", "--from 5": "",
		"--from end": "", "--from -2": "3\n4\n", "--from -9": "0\n1\n2\n3\n4\n", "-n 2": "0\n1\n",
		"-n 9 --from 3": "3\n4\n", "-n 2 --follow": "0\n1\n", "--from 1 -n 1": "1\n",
	} {
		assert.Equal(t, want, requireOK(t, "consume", "", append([]string{"--addr", addr}, strings.Fields(args)...)...), args)
	}
	r := runCommand(t, "consume", "", "--addr", addr, "--from", "7")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.stderr, "the next record gets offset 5")
}

// Goal: JSON output has an object to a line, with text or else base64.
func TestConsumeJSON(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	requireOK(t, "produce", "<é>\n\xff\n\n", "--addr", addr)
	lines := strings.Split(requireOK(t, "consume", "", "--addr", addr, "--format", "json"), "\n")
	require.Len(t, lines, 4)
	assert.Regexp(t, `^\{"offset":0,"time":"2\d{3}-[^"]+Z","text":"<é>"\}$`, lines[0])
	assert.Regexp(t, `^\{"offset":1,"time":"[^"]+","value":"/w=="\}$`, lines[1])
	assert.Regexp(t, `^\{"offset":2,"time":"[^"]+","text":""\}$`, lines[2])
}

// Goal: consume --follow prints what is produced later at once, and an interrupt
// ends it well; without --follow an interrupt is a failure.
func TestConsumeFollow(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	ctx, interrupt := context.WithCancel(t.Context())
	r, w := io.Pipe()
	code := make(chan int)
	var stderr bytes.Buffer
	go func() {
		code <- consume(ctx, []string{"--addr", addr, "--follow"}, nil, w, &stderr)
	}()
	for _, line := range []string{"one\n", "two\n"} {
		requireOK(t, "produce", line, "--addr", addr)
		got := make([]byte, len(line))
		_, err := io.ReadFull(r, got)
		require.NoError(t, err)
		assert.Equal(t, line, string(got))
	}
	interrupt()
	assert.Equal(t, exitOK, <-code, stderr.String())
	assert.Equal(t, exitFailed, consume(ctx, []string{"--addr", addr}, nil, io.Discard, io.Discard))
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

// Goal: input that cannot be a record stops with its place, after what was
// before it is in the log.
func TestProduceRefusesInput(t *testing.T) {
	for _, row := range []struct {
		name, stdin string
		args        []string
		text, acked string
	}{
		{"a line over the limit", "a\nbb\nccc\nd\n", []string{"--max-value-bytes", "2"},
			"line 3 of standard input: it has more than 2 bytes", "acknowledged: 2, up to line 2 of standard input, which is at offset 1"},
		{"a long line over the limit", strings.Repeat("x", 1<<20+1), nil, "line 1 of standard input: it has more than 1048576 bytes", "acknowledged: none"},
		{"a file over the limit", "abc", []string{"--format", "file", "--max-value-bytes", "2"}, "standard input: it has more than 2", "acknowledged: none"},
		{"a delimited record over the limit", "\x01a\xff\xff\xff\xff\x0f", []string{"--format", "delimited"}, "record 2 of standard input: it has more than", "acknowledged: 1"},
		{"a delimited record cut short", "\x01a\x03b", []string{"--format", "delimited"}, "ends after 1 of its 3 bytes", "acknowledged: 1"},
		{"a length cut short", "\x01a\x80", []string{"--format", "delimited"}, "ends within its length", "acknowledged: 1"},
		{"a file that is not there", "a\n", []string{"-", "no/such/file"}, "no such file", "acknowledged: 1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := startServer(t, &hookedEngine{})
			r := runCommand(t, "produce", row.stdin, append([]string{"--addr", addr}, row.args...)...)
			assert.Equal(t, exitFailed, r.code)
			assert.Contains(t, r.stderr, row.text)
			assert.Contains(t, r.stderr, row.acked)
			assert.Contains(t, r.stderr, "nothing else was appended")
		})
	}
}

// Goal: when an append fails, produce stops at once, though its input goes on,
// and says what is in the log, what is unknown, and where to look.
func TestProduceStopsAtFailure(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		text []string
	}{
		{"unknown", commitlog.OutcomeUnknown(commitlog.ErrStorageFailed), []string{
			"STORAGE_FAILED", "acknowledged: 1, up to line 1 of standard input, which is at offset 0",
			"unknown: 1, from line 2 of standard input to line 2 of standard input", "proglog consume --from 1"}},
		{"refused", commitlog.ErrStorageFull, []string{
			"STORAGE_FULL", "acknowledged: 1, up to line 1", "nothing else was appended", "make room"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			engine := &hookedEngine{}
			appends := 0
			engine.before = func(context.Context, []commitlog.Batch) error {
				if appends++; appends > 1 {
					return row.err
				}
				return nil
			}
			addr := startServer(t, engine)
			in, input := io.Pipe()
			outReader, out := io.Pipe()
			var stderr bytes.Buffer
			code := make(chan int)
			go func() {
				code <- produce(t.Context(), []string{"--addr", addr, "--print-offsets"}, in, out, &stderr)
			}()
			_, err := io.WriteString(input, "first\n")
			require.NoError(t, err)
			offset := make([]byte, 2)
			_, err = io.ReadFull(outReader, offset)
			require.NoError(t, err)
			_, err = io.WriteString(input, "second\n")
			require.NoError(t, err)
			assert.Equal(t, exitFailed, <-code) // while the input is still open
			for _, text := range row.text {
				assert.Contains(t, stderr.String(), text)
			}
			require.NoError(t, input.Close())
		})
	}
}

// Goal: an interrupt ends produce although its input goes on, with what was sent
// acknowledged and told.
func TestProduceInterrupted(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	ctx, interrupt := context.WithCancel(t.Context())
	in, input := io.Pipe()
	outReader, out := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int)
	go func() { code <- produce(ctx, []string{"--addr", addr, "--print-offsets"}, in, out, &stderr) }()
	_, err := io.WriteString(input, "first\n")
	require.NoError(t, err)
	_, err = io.ReadFull(outReader, make([]byte, 2))
	require.NoError(t, err)
	interrupt()
	assert.Equal(t, exitFailed, <-code)
	assert.Contains(t, stderr.String(), "interrupted")
	assert.Contains(t, stderr.String(), "acknowledged: 1")
	require.NoError(t, input.Close())
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
		{"produce", "--addr localhost:1", exitUsage, "http://"},
		{"produce", "-h", exitOK, "PROGLOG_ADDR"},
		{"consume", "--format file", exitUsage, "use lines, json or delimited"},
		{"consume", "--from yesterday", exitUsage, "use earliest, an offset, -N or end"},
		{"consume", "file", exitUsage, "too much"},
		{"consume", "--addr ftp://x", exitUsage, "http://"},
		{"consume", "-h", exitOK, "PROGLOG_FOLLOW"},
		{"consume", "--log no/such", exitFailed, "see --log"},
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

// failingReader fails after its text.
type failingReader struct{ text io.Reader }

func (f failingReader) Read(p []byte) (int, error) {
	n, err := f.text.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("the disk is gone")
	}
	return n, err
}

// Goal: an input that cannot be read further is not taken for its end: a line
// that it broke off in is not a record.
func TestInputThatFails(t *testing.T) {
	for _, format := range []string{formatLines, formatFile, formatDelimited} {
		r := newRecordReader(format, failingReader{strings.NewReader("\x01a\x07bc")}, 100)
		var err error
		for err == nil {
			var value []byte
			if value, err = r.next(); err == nil {
				assert.Equal(t, "a", string(value))
			}
		}
		assert.ErrorContains(t, err, "the disk is gone", format)
	}
}

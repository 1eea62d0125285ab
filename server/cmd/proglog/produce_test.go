package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

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

// Goal: what stands behind two dashes is a file's name, whatever it looks like.
func TestProduceTakesNamesBehindTwoDashes(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"plain": "1\n", "-6": "2\n", "--log": "3\n", "--": "4\n"} {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	}
	addr := startServer(t, &hookedEngine{})
	requireOK(t, "produce", "", "--addr", addr, "plain", "--", "-6", "--log", "--")
	requireOK(t, "produce", "", "plain", "--addr", addr, "--", "-6")
	assert.Equal(t, "1\n2\n3\n4\n1\n2\n", requireOK(t, "consume", "", "--addr", addr))
}

// Goal: produce keeps to a server's limits that are lower than its own, and a line
// over one of them stops it with its place and the flags that set limits.
func TestProduceKeepsToTheServersLimits(t *testing.T) {
	s := startServe(t, "--data-dir", t.TempDir(), "--max-batch-records", "100", "--max-batch-bytes", "1KiB", "--max-value-bytes", "2000",
		"--create-on-produce", "new/")
	addr := "http://" + s.addr
	var lines strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&lines, "line %d %s\n", i, strings.Repeat("x", i%50))
	}
	requireOK(t, "produce", lines.String(), "--addr", addr)
	short := strings.Repeat("\n", 1000)
	requireOK(t, "produce", short, "--addr", addr)
	assert.Equal(t, lines.String()+short, requireOK(t, "consume", "", "--addr", addr))

	requireOK(t, "produce", short, "--addr", addr, "--log", "new/log") // which is not there yet
	assert.Equal(t, short, requireOK(t, "consume", "", "--addr", addr, "--log", "new/log"))

	r := runCommand(t, "produce", "good\n"+strings.Repeat("x", 2001)+"\nnever\n", "--addr", addr)
	assert.Equal(t, exitFailed, r.code)
	for _, text := range []string{"line 2 of standard input", "TOO_LARGE", "limit of 2000", "--max-value-bytes", "acknowledged: 1", "nothing else was appended"} {
		assert.Contains(t, r.stderr, text)
	}
	code, log := s.end(t)
	require.Equal(t, exitOK, code, log)
}

// Goal: a format that only the other command has is told with the variable that
// both read, if it came from there; the flag wins over it.
func TestFormatVariableIsShared(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	t.Setenv("PROGLOG_FORMAT", "json")
	r := runCommand(t, "produce", "a\n", "--addr", addr)
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.stderr, "PROGLOG_FORMAT, which produce and consume share")
	requireOK(t, "produce", "a\n", "--addr", addr, "--format", "lines")
	assert.Contains(t, requireOK(t, "consume", "", "--addr", addr), `"text":"a"`)
	t.Setenv("PROGLOG_FORMAT", "file")
	r = runCommand(t, "consume", "", "--addr", addr)
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.stderr, "PROGLOG_FORMAT, which produce and consume share")
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

// Goal: a file that is not there stops produce before the others are sent.
func TestProduceLooksForFilesFirst(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	for _, name := range []string{"no/such/file", t.TempDir()} {
		r := runCommand(t, "produce", "a\n", "--addr", addr, "-", name)
		assert.Equal(t, exitFailed, r.code)
		assert.Contains(t, r.stderr, "nothing was appended: ")
		assert.Contains(t, r.stderr, name)
	}
	assert.Empty(t, requireOK(t, "consume", "", "--addr", addr))
}

// Goal: when an append fails, produce stops at once, though its input goes on,
// and says what is in the log, what is unknown, and where to look.
func TestProduceStopsAtFailure(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		err  error
		text []string
	}{
		{"unknown", []string{"--no-identity"}, commitlog.OutcomeUnknown(commitlog.ErrStorageFailed), []string{
			"STORAGE_FAILED", "acknowledged: 1, up to line 1 of standard input, which is at offset 0",
			"unknown: 1, from line 2 of standard input to line 2 of standard input", "proglog consume --from 1"}},
		{"given up", []string{"--give-up-after", "0s"}, commitlog.OutcomeUnknown(commitlog.ErrStorageFailed), []string{
			"STORAGE_FAILED", "unknown: 1, from line 2 of standard input to line 2 of standard input"}},
		{"refused", []string{"--give-up-after", "0s"}, commitlog.ErrStorageFull, []string{
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
				code <- produce(t.Context(), append([]string{"--addr", addr, "--print-offsets"}, row.args...), in, out, &stderr)
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

// Goal: produce goes on by itself when what failed passes, and each line is in the
// log once. Method: every third append fails, before it is made or after.
func TestProduceGoesOn(t *testing.T) {
	engine := &hookedEngine{}
	appends := 0
	engine.before = func(context.Context, []commitlog.Batch) error {
		if appends++; appends%3 == 1 {
			return commitlog.OutcomeUnknown(commitlog.ErrStorageFailed)
		}
		return nil
	}
	addr := startServer(t, engine)
	var lines strings.Builder
	for i := range 5000 {
		fmt.Fprintln(&lines, i)
	}
	requireOK(t, "produce", lines.String(), "--addr", addr)
	assert.Equal(t, lines.String(), requireOK(t, "consume", "", "--addr", addr))
	requireOK(t, "produce", lines.String(), "--addr", addr, "--expected-offset", "5000")
	assert.Equal(t, lines.String(), requireOK(t, "consume", "", "--addr", addr, "--from", "5000"))
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

// Goal: --header gives every record a header, each time that it is given and in
// this order; its variable gives one.
func TestProduceHeaders(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	requireOK(t, "produce", "1\n2\n", "--addr", addr, "--header", "a=x=y", "--header", "b=", "--header", "a=\xff")
	want := `"headers":[{"name":"a","text":"x=y"},{"name":"b","text":""},{"name":"a","value":"/w=="}]`
	out := requireOK(t, "consume", "", "--addr", addr, "--format", "json")
	assert.Equal(t, 2, strings.Count(out, want), out)

	t.Setenv("PROGLOG_HEADER", "from=env")
	requireOK(t, "produce", "3\n", "--addr", addr)
	assert.Contains(t, requireOK(t, "consume", "", "--addr", addr, "--from", "-1", "--format", "json"), `"headers":[{"name":"from","text":"env"}]`)

	r := runCommand(t, "produce", "4\n", "--addr", addr, "--header", "nothing")
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.stderr, "use NAME=VALUE")
}

// Goal: with --producer-id a higher --epoch fences a lower one, and the same one
// appends nothing twice.
func TestProduceUnderAnIdentity(t *testing.T) {
	s := startServe(t, "--data-dir", t.TempDir())
	addr := "http://" + s.addr
	as := func(epoch string) []string { return []string{"--addr", addr, "--producer-id", "w", "--epoch", epoch} }
	requireOK(t, "produce", "1\n", as("3")...)
	assert.Equal(t, "0\n", requireOK(t, "produce", "1\n", append(as("3"), "--print-offsets")...), "a repetition")
	t.Setenv("PROGLOG_PRODUCER_ID", "w")
	t.Setenv("PROGLOG_EPOCH", "4")
	requireOK(t, "produce", "2\n", "--addr", addr)
	r := runCommand(t, "produce", "3\n", as("3")...)
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.stderr, "PRODUCER_FENCED")
	assert.Contains(t, r.stderr, "epoch 4 is in force")
	assert.Equal(t, "1\n2\n", requireOK(t, "consume", "", "--addr", addr))

	r = runCommand(t, "produce", "", "--addr", addr, "--no-identity")
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.stderr, "exclude each other")
	r = runCommand(t, "produce", "", "--addr", addr, "--producer-id", "")
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.stderr, "--epoch needs a --producer-id")
	code, log := s.end(t)
	require.Equal(t, exitOK, code, log)
}

// Goal: with --expected-offset the records get that offset and those behind it, in
// batches that the server takes; a log that is elsewhere stops it with what is there.
func TestProduceAtAnExpectedOffset(t *testing.T) {
	s := startServe(t, "--data-dir", t.TempDir(), "--max-batch-records", "10", "--max-batch-bytes", "1KiB")
	addr := "http://" + s.addr
	var lines, offsets strings.Builder
	for i := range 100 {
		fmt.Fprintf(&lines, "line %d %s\n", i, strings.Repeat("x", i*5))
		fmt.Fprintln(&offsets, i)
	}
	assert.Equal(t, offsets.String(), requireOK(t, "produce", lines.String(), "--addr", addr, "--expected-offset", "0", "--print-offsets"))
	t.Setenv("PROGLOG_EXPECTED_OFFSET", "100")
	assert.Equal(t, "100\n", requireOK(t, "produce", "a", "--addr", addr, "--print-offsets", "--header", "h=v", "--producer-id", "w", "--epoch", "1"))
	all := lines.String() + "a\n"
	assert.Equal(t, all, requireOK(t, "consume", "", "--addr", addr))

	for _, wrong := range []string{"100", "102"} {
		r := runCommand(t, "produce", "b\n", "--addr", addr, "--expected-offset", wrong)
		assert.Equal(t, exitFailed, r.code)
		for _, text := range []string{"OFFSET_MISMATCH", "next offset is 101", "acknowledged: none", "nothing else was appended"} {
			assert.Contains(t, r.stderr, text)
		}
	}
	assert.Equal(t, all, requireOK(t, "consume", "", "--addr", addr))
	r := runCommand(t, "produce", "", "--addr", addr, "--expected-offset", "x")
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.stderr, "is not an offset")
	code, log := s.end(t)
	require.Equal(t, exitOK, code, log)
}

// Goal: somebody else's record between two of --expected-offset stops it there.
func TestProduceIsStoppedByAnotherWriter(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	in, w := io.Pipe()
	out, offsets := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- produce(t.Context(), []string{"--addr", addr, "--expected-offset", "0", "--print-offsets"}, in, offsets, &stderr)
	}()
	_, err := io.WriteString(w, "0\n")
	require.NoError(t, err)
	_, err = io.ReadFull(out, make([]byte, 2)) // it is acknowledged
	require.NoError(t, err)
	requireOK(t, "produce", "somebody else\n", "--addr", addr)
	_, err = io.WriteString(w, "1\n")
	require.NoError(t, err)
	assert.Equal(t, exitFailed, <-code)
	require.NoError(t, w.Close())
	for _, text := range []string{"OFFSET_MISMATCH", "next offset is 2", "acknowledged: 1, up to line 1", "nothing else was appended"} {
		assert.Contains(t, stderr.String(), text)
	}
	assert.Equal(t, "0\nsomebody else\n", requireOK(t, "consume", "", "--addr", addr))
}

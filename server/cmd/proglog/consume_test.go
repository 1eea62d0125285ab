package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Goal: each start and bound of consume.
func TestConsumeBounds(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	assert.Empty(t, requireOK(t, "consume", "", "--addr", addr), "an empty log")
	requireOK(t, "produce", "0\n1\n2\n3\n4\n", "--addr", addr)
	for args, want := range map[string]string{
		"": "0\n1\n2\n3\n4\n", "--from earliest": "0\n1\n2\n3\n4\n", "--from 3": "3\n4\n", "--from 5": "",
		"--from end": "", "--from -2": "3\n4\n", "--from -9": "0\n1\n2\n3\n4\n", "-n 2": "0\n1\n",
		"-n 9 --from 3": "3\n4\n", "-n 2 --follow": "0\n1\n", "--from 1 -n 1": "1\n",
		"--until 0": "", "--until 2": "0\n1\n", "--from 1 --until 3": "1\n2\n", "--from 3 --until 2": "", "--until 99": "0\n1\n2\n3\n4\n",
		"--until 3 --follow": "0\n1\n2\n", "--from -2 --until 4": "3\n", "--until 3 -n 1": "0\n", "--until 2 -n 9": "0\n1\n",
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

// Goal: consume --until --follow waits for what is below the offset; the variables
// of both flags work, and what is no offset is told.
func TestConsumeUntilFollows(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	t.Setenv("PROGLOG_UNTIL", "2")
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- consume(t.Context(), []string{"--addr", addr, "--follow"}, nil, w, io.Discard)
		_ = w.Close() // it cannot fail
	}()
	requireOK(t, "produce", "0\n", "--addr", addr)
	requireOK(t, "produce", "1\n2\n", "--addr", addr)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, "0\n1\n", string(got))
	assert.Equal(t, exitOK, <-code)

	bad := runCommand(t, "consume", "", "--addr", addr, "--until", "-1")
	assert.Equal(t, exitUsage, bad.code)
	assert.Contains(t, bad.stderr, "is not an offset")
}

// Goal: with --log-id only the log with this identity is read.
func TestConsumeOnlyLog(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	id := func() string {
		var described jsonLog
		require.NoError(t, json.Unmarshal([]byte(requireOK(t, "logs", "", "describe", "a", "--json", "--addr", addr)), &described))
		return described.ID
	}
	requireOK(t, "logs", "", "create", "a", "--addr", addr)
	requireOK(t, "produce", "0\n", "--addr", addr, "--log", "a")
	first := id()
	t.Setenv("PROGLOG_LOG_ID", first)
	assert.Equal(t, "0\n", requireOK(t, "consume", "", "--addr", addr, "--log", "a"))
	requireOK(t, "logs", "", "delete", "a", "--addr", addr)
	requireOK(t, "logs", "", "create", "a", "--addr", addr)
	requireOK(t, "produce", "1\n", "--addr", addr, "--log", "a")
	r := runCommand(t, "consume", "", "--addr", addr, "--log", "a")
	assert.Equal(t, exitFailed, r.code)
	assert.Empty(t, r.stdout)
	assert.Contains(t, r.stderr, "LOG_CHANGED")
	assert.Equal(t, "1\n", requireOK(t, "consume", "", "--addr", addr, "--log", "a", "--log-id", id()))
}

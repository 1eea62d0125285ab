package main

import (
	"bytes"
	"context"
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

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A running command is a client as a process of its own.
type running struct {
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	stderr strings.Builder
	wait   func() error
	code   func() int
}

// startCommand starts a command as a process; the end of the test ends it.
func startCommand(t *testing.T, args ...string) *running {
	t.Helper()
	cmd := asProcess(t, args...)
	r := &running{wait: cmd.Wait, code: func() int { return cmd.ProcessState.ExitCode() }}
	cmd.Stderr = &r.stderr
	var err error
	r.stdin, err = cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	r.stdout = bufio.NewScanner(stdout)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // both fail if it is gone, which is as good
	return r
}

// lines reads so many lines of the output.
func (r *running) lines(t *testing.T, n int) (got []string) {
	t.Helper()
	for range n {
		require.True(t, r.stdout.Scan(), "the output ended")
		got = append(got, r.stdout.Text())
	}
	return got
}

// failed waits for the end of the process, which has no more output, and returns
// what it says. It has to exit with 1.
func (r *running) failed(t *testing.T) string {
	t.Helper()
	for r.stdout.Scan() {
		require.Fail(t, "more output", r.stdout.Text())
	}
	require.Error(t, r.wait())
	require.Equal(t, exitFailed, r.code(), r.stderr.String())
	return r.stderr.String()
}

// Goal: `consume --follow` whose server comes back with a wiped data directory
// prints nothing of the new log, whether that is shorter, as long or longer, and
// exits 1 with the reason. Method: real processes, a SIGKILL, the directory
// removed.
func TestConsumeFollowOfAWipedDirectory(t *testing.T) {
	for _, others := range []int{0, 3, 5} {
		t.Run(fmt.Sprint(others), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			relay := startRelay(t)
			kill := relay.serveBehind(t, dir)
			requireOK(t, "produce", "mine 0\nmine 1\nmine 2\n", "--addr", relay.url)
			follower := startCommand(t, "consume", "--follow", "--addr", relay.url)
			require.Equal(t, []string{"mine 0", "mine 1", "mine 2"}, follower.lines(t, 3))
			kill()
			require.NoError(t, os.RemoveAll(dir))
			first := startRelay(t) // so that the follower meets the log when it is filled
			kill = first.serveBehind(t, dir)
			requireOK(t, "produce", strings.Repeat("other\n", others), "--addr", first.url)
			relay.target.Store(first.target.Load())
			assert.Contains(t, follower.failed(t), "LOG_CHANGED")
			kill()
		})
	}
}

// Goal: `produce` whose server comes back with a wiped data directory ends at
// once, exits 1, and tells that the log is another one and what was acknowledged;
// nothing of it goes into the new log. Without an identity it ends at the lost connection.
func TestProduceIntoAWipedDirectory(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		want []string
	}{
		{"with its identity", nil, []string{"LOG_CHANGED"}},
		{"without", []string{"--no-identity"}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			relay := startRelay(t)
			kill := relay.serveBehind(t, dir)
			producer := startCommand(t, append([]string{"produce", "--print-offsets", "--addr", relay.url}, row.args...)...)
			_, err := io.WriteString(producer.stdin, "a\nb\nc\n")
			require.NoError(t, err)
			require.Equal(t, []string{"0", "1", "2"}, producer.lines(t, 3))
			kill()
			require.NoError(t, os.RemoveAll(dir))
			relay.serveBehind(t, dir)
			_, _ = io.WriteString(producer.stdin, "d\ne\n") // it may have ended already
			told := producer.failed(t)
			for _, want := range append(row.want, "acknowledged: 3, up to line 3 of standard input, which is at offset 2") {
				assert.Contains(t, told, want)
			}
			assert.Empty(t, requireOK(t, "consume", "", "--addr", relay.url))
		})
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// binaryEnv names the built binary; make test sets it.
const binaryEnv = "PROGLOG_BIN"

// A serverProcess is `proglog serve` as a process of its own: the built binary if
// there is one, else the test's own.
type serverProcess struct {
	addr  string
	built bool // the built binary, without the race detector's memory
	cmd   *exec.Cmd
	gone  chan struct{}
	once  sync.Once
}

// startProcess starts a server on a data directory and waits until it listens. The
// end of the test kills it. files bounds the files that it may open; 0: as they are.
func startProcess(t *testing.T, dir string, files int, args ...string) *serverProcess {
	t.Helper()
	bin := os.Getenv(binaryEnv)
	s := &serverProcess{built: bin != "", gone: make(chan struct{})}
	if bin == "" {
		bin = os.Args[0]
	}
	args = append([]string{bin, "serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--log-format", "json"}, args...)
	if files > 0 {
		args = append([]string{"sh", "-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(files)}, args...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	s.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	s.cmd.Env = append(os.Environ(), asMain+"=1")
	stderr, err := s.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	t.Cleanup(s.kill)
	addr := make(chan string, 1)
	var told []string
	go func() {
		defer close(s.gone)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				addr <- line.Addr
			}
			told = append(told, lines.Text())
		}
		_ = s.cmd.Wait() // it is killed
	}()
	select {
	case s.addr = <-addr:
	case <-s.gone:
		require.Fail(t, "the server ended before it listened", "%v", told)
	case <-time.After(patience):
		require.Fail(t, "the server did not listen in time")
	}
	return s
}

// kill ends the process with SIGKILL and waits until it is gone.
func (s *serverProcess) kill() {
	s.once.Do(func() { _ = s.cmd.Process.Kill() }) // it fails if the process is gone, which is as good
	<-s.gone
}

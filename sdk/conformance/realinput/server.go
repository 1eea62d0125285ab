package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/proglog/proglog/sdk/conformance/process"
)

const (
	// startLimit is how long a server may take until it listens.
	startLimit = 60 * time.Second
	// stopLimit is how long it may take to drain and exit; it promises 10 s.
	stopLimit = 20 * time.Second
)

// server is a running proglog serve.
type server struct {
	addr  string        // HOST:PORT
	ready time.Duration // from its start until it listened

	cmd    *exec.Cmd
	log    bytes.Buffer  // read it after exited is closed
	exited chan struct{} // closed when the process is gone
	err    error         // how it exited; read it after exited is closed
}

// command returns the binary's command with the environment of this program, but
// without the twins of its flags.
func (r *run) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.bin, args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PROGLOG_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.WaitDelay = stopLimit
	process.DieWithParent(cmd)
	return cmd
}

// serve starts a server on a data directory and returns when it listens.
func (r *run) serve(ctx context.Context, dataDir, listen string) (*server, error) {
	s := &server{
		cmd:    r.command(ctx, "serve", "--data-dir", dataDir, "--listen", listen, "--log-format", "json"),
		exited: make(chan struct{}),
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	addr := make(chan string, 1)
	go s.watch(stderr, addr)
	select {
	case s.addr = <-addr:
		s.ready = time.Since(began)
		return s, nil
	case <-s.exited:
		return nil, fmt.Errorf("the server ended before it listened: %w\n%s", s.err, s.log.Bytes())
	case <-time.After(startLimit):
		s.kill()
		return nil, fmt.Errorf("the server did not listen within %v\n%s", startLimit, s.log.Bytes())
	}
}

// serveAgain starts a server where one was killed, at the same address. Its port
// was free for a moment; if another program took it, any other does.
func (r *run) serveAgain(ctx context.Context, dataDir, listen string) (*server, error) {
	s, err := r.serve(ctx, dataDir, listen)
	if err != nil && strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) {
		return r.serve(ctx, dataDir, "127.0.0.1:0")
	}
	return s, err
}

// watch collects the log, tells the address once it is there, and reaps the
// process.
func (s *server) watch(stderr io.Reader, addr chan<- string) {
	defer close(s.exited)
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadBytes('\n')
		s.log.Write(line)
		var said struct{ Msg, Addr string }
		if json.Unmarshal(line, &said) == nil && said.Msg == "listening" {
			select {
			case addr <- said.Addr:
			default:
			}
		}
		if err != nil {
			break // the end: the process is gone
		}
	}
	s.err = s.cmd.Wait()
}

// kill ends the server with SIGKILL and returns when it is gone. Without one
// that runs it does nothing.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it fails if the process is gone, which is as good
	<-s.exited
}

// stop drains the server. It fails unless the server exits with 0 in time.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("ask the server to stop: %w", err)
	}
	select {
	case <-s.exited:
		if s.err != nil {
			return fmt.Errorf("the server exited badly: %w\n%s", s.err, s.log.Bytes())
		}
		return nil
	case <-time.After(stopLimit):
		s.kill()
		return fmt.Errorf("the server did not end within %v of SIGTERM\n%s", stopLimit, s.log.Bytes())
	}
}

// peakMemory returns the most memory that the server has had, in bytes; 0 where
// the system does not tell.
func (s *server) peakMemory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var kib int64
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			break
		}
	}
	return kib << 10
}

// verify holds every byte of a data directory that no server has open.
func (r *run) verify(ctx context.Context, dataDir string) error {
	said, err := r.command(ctx, "verify", dataDir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("proglog verify: %w\n%s", errors.Join(ctx.Err(), err), said)
	}
	return nil
}

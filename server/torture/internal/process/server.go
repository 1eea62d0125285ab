// Package process runs the built proglog binary as a process that can be killed,
// stopped and started again.
package process

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
	"sync"
	"syscall"
	"time"
)

const (
	// startLimit is how long a server may take until it listens.
	startLimit = 30 * time.Second
	// stopLimit is how long it may take to drain and exit; it promises 10 s.
	stopLimit = 20 * time.Second
	// quitLimit is how long it may take to tell where its goroutines are.
	quitLimit = 5 * time.Second
	// logLimit is how much of a server's log is kept, from its start.
	logLimit = 4 << 20
)

// Config says how a server is started.
type Config struct {
	Bin     string   // the binary
	DataDir string   // its data directory
	Listen  string   // HOST:PORT; empty: any free port of the loopback interface
	Args    []string // further flags of serve
	Env     []string // variables besides those of this program
}

// Server is a running server.
type Server struct {
	Addr  string        // HOST:PORT
	Ready time.Duration // from its start until it listened

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone and its log is read
	err    error         // how it exited; read it after exited is closed

	mu  sync.Mutex
	log bytes.Buffer
}

// Start starts a server and returns when it listens. A server that ends before is
// an [*ExitError]. When ctx ends, the server is killed.
func Start(ctx context.Context, c Config) (*Server, error) {
	began := time.Now()
	s, addr, err := launch(ctx, c)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(startLimit)
	defer timer.Stop()
	select {
	case s.Addr = <-addr:
		s.Ready = time.Since(began)
		return s, nil
	case <-s.exited:
		return nil, &ExitError{Cause: s.err, Log: s.Log()}
	case <-timer.C:
		s.Kill()
		return nil, fmt.Errorf("the server did not listen within %v\n%s", startLimit, s.Log())
	}
}

// StartAgain starts a server at the address of one that is gone. Its port was free
// for a moment; while another program has it for an outgoing connection, it is
// waited for.
func StartAgain(ctx context.Context, c Config) (*Server, error) {
	for deadline := time.Now().Add(startLimit); ; {
		s, err := Start(ctx, c)
		if err == nil || !strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) || time.Now().After(deadline) {
			return s, err
		}
	}
}

// StartAndKill starts a server and kills it after a while, whatever it does then.
func StartAndKill(ctx context.Context, c Config, after time.Duration) error {
	s, _, err := launch(ctx, c)
	if err != nil {
		return err
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.exited:
		return &ExitError{Cause: s.err, Log: s.Log()}
	}
	s.Kill()
	return nil
}

// ExitError tells that a server ended by itself.
type ExitError struct {
	Cause error  // how; nil: with exit code 0
	Log   string // what it wrote
}

// Error returns how the server ended, and its log.
func (e *ExitError) Error() string {
	return fmt.Sprintf("the server ended by itself: %v\n%s", e.Cause, e.Log)
}

// Unwrap returns the cause.
func (e *ExitError) Unwrap() error { return e.Cause }

func launch(ctx context.Context, c Config) (*Server, <-chan string, error) {
	listen := c.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	args := append([]string{"serve", "--data-dir", c.DataDir, "--listen", listen, "--log-format", "json"}, c.Args...)
	s := &Server{cmd: exec.CommandContext(ctx, c.Bin, args...), exited: make(chan struct{})}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PROGLOG_") { // they are twins of flags
			s.cmd.Env = append(s.cmd.Env, variable)
		}
	}
	s.cmd.Env = append(s.cmd.Env, c.Env...)
	dieWithParent(s.cmd)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start the server: %w", err)
	}
	addr := make(chan string, 1)
	go s.watch(stderr, addr)
	return s, addr, nil
}

// watch collects the log, tells the address once it is there, and reaps the
// process.
func (s *Server) watch(stderr io.Reader, addr chan<- string) {
	defer close(s.exited)
	for lines := bufio.NewReader(stderr); ; {
		line, err := lines.ReadBytes('\n')
		s.mu.Lock()
		if s.log.Len() < logLimit {
			s.log.Write(line)
		}
		s.mu.Unlock()
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

// URL returns the server's base URL.
func (s *Server) URL() string { return "http://" + s.Addr }

// Pid returns the id of the process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Log returns what the server wrote so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Exited is closed when the process is gone.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Kill ends the server with SIGKILL and returns when it is gone. On one that is
// gone it does nothing.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // it fails if the process is gone, which is as good
	<-s.exited
}

// Quit ends the server with SIGQUIT, at which it writes the stacks of its goroutines to
// its log. One that does not end is killed.
func (s *Server) Quit() {
	if s.cmd.Process.Signal(syscall.SIGQUIT) == nil {
		select {
		case <-s.exited:
		case <-time.After(quitLimit):
		}
	}
	s.Kill()
}

// Pause stops the process where it is (SIGSTOP), Resume lets it go on (SIGCONT).
func (s *Server) Pause() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume is the end of Pause.
func (s *Server) Resume() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Stop drains the server. It fails unless the server exits with 0 in time.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ask the server to stop: %w", err)
	}
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	select {
	case <-s.exited:
		if s.err != nil {
			return &ExitError{Cause: s.err, Log: s.Log()}
		}
		return nil
	case <-timer.C:
		s.Kill()
		return fmt.Errorf("the server did not end within %v of SIGTERM\n%s", stopLimit, s.Log())
	}
}

// Verify has the binary check every byte of a data directory that no server has
// open.
func Verify(ctx context.Context, bin, dataDir string) error {
	said, err := exec.CommandContext(ctx, bin, "verify", dataDir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("proglog verify: %w\n%s", err, said)
	}
	return nil
}

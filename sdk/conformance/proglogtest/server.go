// Package proglogtest runs the built proglog binary for a test: a server on a
// free port with an empty data directory, stopped when the test ends.
package proglogtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/proglog/proglog/sdk/conformance/process"
)

// BinEnv names the environment variable that holds the path of the binary;
// make test sets it.
const BinEnv = "PROGLOG_BIN"

const (
	// startLimit is how long a server may take until it listens.
	startLimit = 30 * time.Second
	// stopLimit is how long a server may take to drain and exit; it promises 10 s.
	stopLimit = 20 * time.Second
)

// Server is a running proglog server.
type Server struct {
	// Addr is the address that the server listens on, as HOST:PORT.
	Addr string

	cmd    *exec.Cmd
	logs   logs
	exited chan struct{} // closed when the process is gone and its log is read
	err    error         // how it exited; read it after exited is closed
	stop   sync.Once
}

// Bin returns the path of the binary, and skips the test if there is none.
func Bin(t testing.TB) string {
	t.Helper()
	bin := os.Getenv(BinEnv)
	if bin == "" {
		t.Skipf("%s is not set: run make test, which builds the binary and sets it", BinEnv)
	}
	return bin
}

// Start starts a server on a free port of the loopback interface, with a data
// directory of its own, and returns when it listens. The end of the test stops
// it; the test fails if it does not end well.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	all := append([]string{
		"serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--log-format", "json",
	}, args...)
	s := &Server{cmd: exec.Command(Bin(t), all...), exited: make(chan struct{})}
	process.DieWithParent(s.cmd)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatalf("pipe for the server's log: %v", err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start the server: %v", err)
	}
	addr := make(chan string, 1)
	go s.watch(stderr, addr)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("server: %v", err)
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.logs.String())
		}
	})

	select {
	case s.Addr = <-addr:
	case <-s.exited:
		t.Fatalf("the server ended before it listened: %v", s.err)
	case <-time.After(startLimit):
		t.Fatalf("the server did not listen within %v", startLimit)
	}
	return s
}

// URL returns the server's base URL.
func (s *Server) URL() string { return "http://" + s.Addr }

// Stop asks the server to drain, waits until it is gone, and returns an error
// unless it exited with 0. Later calls return the same.
func (s *Server) Stop() error {
	s.stop.Do(func() {
		// The process may be gone already; then the wait below tells how.
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
	})
	select {
	case <-s.exited:
		if s.err != nil {
			return fmt.Errorf("exited badly: %w", s.err)
		}
		return nil
	case <-time.After(stopLimit):
		_ = s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("did not end within %v of SIGTERM and was killed", stopLimit)
	}
}

// watch collects the log, tells the address once it is there, and reaps the
// process.
func (s *Server) watch(stderr io.Reader, addr chan<- string) {
	defer close(s.exited)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		s.logs.add(lines.Bytes())
		var line struct{ Msg, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			select {
			case addr <- line.Addr:
			default:
			}
		}
	}
	// A line too long for the scanner must not block the server.
	_, copyErr := io.Copy(io.Discard, stderr)
	s.err = errors.Join(s.cmd.Wait(), copyErr)
}

// logs is what the server wrote, shared by the reader and the test.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) add(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(line)
	l.buf.WriteByte('\n')
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

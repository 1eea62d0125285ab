package suite

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/proglog/proglog/sdk/conformance/process"
)

// startLimit is how long a server may take until it listens.
const startLimit = 30 * time.Second

// drainLimit is how long it may take to end after a SIGTERM; it promises 10 s.
const drainLimit = 12 * time.Second

// Server is the real server of one case, on a data directory that outlives its
// stops.
type Server struct {
	bin, dir string
	flags    []string
	full     bool // it is told that there is no room on the disk
	direct   *http.Client

	mu   sync.Mutex
	addr string // of the one that runs, or ran last
	run  *serverRun
	log  bytes.Buffer
}

// serverRun is one process.
type serverRun struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // how it exited; read it after exited is closed
}

// NewServer starts a server of the binary in an empty directory.
func NewServer(bin, dir string, flags []string) (*Server, error) {
	s := &Server{bin: bin, dir: dir, flags: flags, direct: &http.Client{Transport: &http.Transport{}}}
	return s, s.start()
}

// Addr returns where it listens, or did.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Log returns what it wrote.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Do does something to the server:
//
//	kill      SIGKILL
//	start     start it again on the same data
//	restart   kill, start
//	term      SIGTERM, without waiting for the end
//	ended     wait for the end after a SIGTERM, which must come in time
//	drain     term, ended
//	wipe      kill, remove the data, start: the log is another one
//	backup    kill, copy the data, start
//	restore   kill, put the copy back, start: the log went back
//	full      kill, start with a disk that is full
//	room      kill, start with one that is not
func (s *Server) Do(what string) error {
	backup := s.dir + ".backup"
	switch what {
	case "kill":
		return s.kill()
	case "start":
		return s.start()
	case "restart":
		return s.between(func() error { return nil })
	case "term":
		return s.run.cmd.Process.Signal(syscall.SIGTERM)
	case "ended":
		return s.ended()
	case "drain":
		if err := s.Do("term"); err != nil {
			return err
		}
		return s.ended()
	case "wipe":
		return s.between(func() error { return os.RemoveAll(s.dir) })
	case "full":
		return s.between(func() error { s.full = true; return nil })
	case "room":
		return s.between(func() error { s.full = false; return nil })
	case "backup":
		return s.between(func() error { return os.CopyFS(backup, os.DirFS(s.dir)) })
	case "restore":
		return s.between(func() error {
			return errors.Join(os.RemoveAll(s.dir), os.Rename(backup, s.dir))
		})
	}
	return fmt.Errorf("nobody can %q a server", what)
}

// between does something while the server is stopped.
func (s *Server) between(do func() error) error {
	if err := s.kill(); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return s.start()
}

func (s *Server) start() error {
	run := &serverRun{exited: make(chan struct{})}
	args := append([]string{
		"serve", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(s.dir, "data"), "--log-format", "json",
	}, s.flags...)
	if s.full {
		args = append(args, "--min-free-bytes", "1000000GiB")
	}
	run.cmd = exec.Command(s.bin, args...)
	process.DieWithParent(run.cmd)
	stderr, err := run.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := run.cmd.Start(); err != nil {
		return err
	}
	addr := make(chan string, 1)
	go s.watch(run, stderr, addr)
	s.run = run
	select {
	case at := <-addr:
		s.mu.Lock()
		s.addr = at
		s.mu.Unlock()
		return nil
	case <-run.exited:
		return fmt.Errorf("the server ended before it listened: %w\n%s", run.err, s.Log())
	case <-time.After(startLimit):
		return errors.Join(fmt.Errorf("the server did not listen within %v", startLimit), s.kill())
	}
}

// watch collects the log, tells the address, and reaps the process.
func (s *Server) watch(run *serverRun, stderr io.Reader, addr chan<- string) {
	defer close(run.exited)
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadBytes('\n')
		s.mu.Lock()
		s.log.Write(line)
		s.mu.Unlock()
		var told struct{ Msg, Addr string }
		if json.Unmarshal(line, &told) == nil && told.Msg == "listening" {
			addr <- told.Addr
		}
		if err != nil {
			run.err = run.cmd.Wait()
			return
		}
	}
}

// kill ends the process, if one runs.
func (s *Server) kill() error {
	if s.run == nil {
		return nil
	}
	_ = s.run.cmd.Process.Kill()
	<-s.run.exited
	return nil
}

// ended waits until the process ended well.
func (s *Server) ended() error {
	select {
	case <-s.run.exited:
		return s.run.err
	case <-time.After(drainLimit):
		return fmt.Errorf("the server did not end within %v of a SIGTERM", drainLimit)
	}
}

// Call calls a method of the server, such as "Log/Produce", with JSON, and returns
// its answer. It goes past the proxy and every SDK.
func (s *Server) Call(ctx context.Context, method string, with any) (map[string]any, error) {
	body, err := json.Marshal(with)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Addr()+"/log.v1."+method, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.direct.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer := map[string]any{}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	if res.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("%s: %s: %v", method, res.Status, answer)
	}
	return answer, nil
}

// Holds checks that a log has exactly these records from an offset on.
func (s *Server) Holds(ctx context.Context, log string, from uint64, records []record) error {
	next := from
	for len(records) > 0 {
		answer, err := s.Call(ctx, "Log/Consume", map[string]any{"log": log, "offset": fmt.Sprint(next), "maxRecords": 1000})
		if err != nil {
			return err
		}
		got, _ := answer["records"].([]any)
		if len(got) == 0 || len(got) > len(records) {
			return fmt.Errorf("log %q has %d records at offset %d, where %d are due", log, len(got), next, len(records))
		}
		for _, one := range got {
			if err := sameRecord(one, records[0], fmt.Sprint(next)); err != nil {
				return fmt.Errorf("log %q: %w", log, err)
			}
			next, records = next+1, records[1:]
		}
	}
	answer, err := s.Call(ctx, "Log/GetLog", map[string]any{"log": log})
	if err != nil {
		return err
	}
	if end, err := find(answer, "info.nextOffset"); err != nil || fmt.Sprint(end) != fmt.Sprint(next) {
		return fmt.Errorf("log %q goes up to offset %v, not %d (%v)", log, end, next, err)
	}
	return nil
}

// HoldsInAnyOrder checks that a log has these values from an offset on, and no
// other, in whatever order.
func (s *Server) HoldsInAnyOrder(ctx context.Context, log string, from uint64, records []record) error {
	want, got := []string{}, []string{}
	for _, r := range records {
		want = append(want, string(r.value))
	}
	for len(got) <= len(want) {
		next := fmt.Sprint(from + uint64(len(got)))
		answer, err := s.Call(ctx, "Log/Consume", map[string]any{"log": log, "offset": next, "maxRecords": 1})
		if err != nil && strings.Contains(err.Error(), "OFFSET_UNWRITTEN") {
			break
		}
		if err != nil {
			return err
		}
		list, _ := answer["records"].([]any)
		for _, one := range list {
			fields, _ := one.(map[string]any)
			value, err := bytesOf(fields["value"])
			if err != nil {
				return err
			}
			got = append(got, string(value))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		return fmt.Errorf("log %q has the values %.300q, not %.300q", log, got, want)
	}
	return nil
}

// Reached waits until a log has the record at an offset.
func (s *Server) Reached(ctx context.Context, log string, offset uint64) error {
	for {
		_, err := s.Call(ctx, "Log/Consume", map[string]any{"log": log, "offset": fmt.Sprint(offset), "wait": "10s"})
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "OFFSET_UNWRITTEN") {
			return err
		}
	}
}

// AtMost is an error if a log has more than n records.
func (s *Server) AtMost(ctx context.Context, log string, n uint64) error {
	answer, err := s.Call(ctx, "Log/GetLog", map[string]any{"log": log})
	if err != nil {
		return err
	}
	end, err := find(answer, "info.nextOffset")
	if err == nil && asUint(end) > n {
		err = fmt.Errorf("log %q has %v records, more than %d", log, end, n)
	}
	return err
}

// Gone waits until a log is not there.
func (s *Server) Gone(ctx context.Context, log string) error {
	for {
		_, err := s.Call(ctx, "Log/GetLog", map[string]any{"log": log})
		switch {
		case err != nil && strings.Contains(err.Error(), "LOG_NOT_FOUND"):
			return nil
		case err != nil:
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("log %q is still there", log)
		}
	}
}

// Close kills the server and forgets its connections.
func (s *Server) Close() {
	_ = s.kill()
	s.direct.CloseIdleConnections()
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

// asProcess prepares a command as a process of its own, which ends with the test.
func asProcess(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	return cmd
}

// Goal: a reader that leaves is no error of a real process either, which a write
// to a broken pipe would otherwise end with a signal: `consume | head -1`.
func TestReaderOfAProcessMayLeave(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	line := strings.Repeat("x", 1000) + "\n"
	lines := strings.Repeat(line, 2000) // more than a pipe holds
	requireOK(t, "produce", lines, "--addr", addr)
	for _, args := range [][]string{
		{"consume", "--addr", addr},
		{"produce", "--addr", addr, "--print-offsets"},
	} {
		t.Run(args[0], func(t *testing.T) {
			cmd := asProcess(t, args...)
			r, w, err := os.Pipe()
			require.NoError(t, err)
			var stderr strings.Builder
			cmd.Stdout, cmd.Stderr = w, &stderr
			in, err := cmd.StdinPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			require.NoError(t, w.Close())
			if args[0] == "produce" {
				_, err = io.WriteString(in, line)
				require.NoError(t, err)
			}
			_, err = r.Read(make([]byte, 1))
			require.NoError(t, err)
			require.NoError(t, r.Close())
			_, err = io.WriteString(in, line)
			if args[0] == "produce" {
				require.NoError(t, err)
			}
			_ = in.Close()
			require.NoError(t, cmd.Wait(), stderr.String())
			assert.Empty(t, stderr.String())
		})
	}
	assert.Equal(t, lines+line+line, requireOK(t, "consume", "", "--addr", addr), "produce went on without its reader")
}

// relay is an address that stays the same while the server behind it dies and
// comes back at another.
type relay struct {
	url    string
	target atomic.Pointer[string]
}

func startRelay(t *testing.T) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	r := &relay{url: "http://" + listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go r.carry(conn)
		}
	}()
	return r
}

// carry joins a connection with one to the server, until either ends.
func (r *relay) carry(conn net.Conn) {
	defer conn.Close()
	target := r.target.Load()
	if target == nil {
		return
	}
	server, err := net.Dial("tcp", *target)
	if err != nil {
		return
	}
	defer server.Close()
	ended := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{conn, server}, {server, conn}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			ended <- struct{}{}
		}()
	}
	<-ended
}

// serveBehind starts a server as a process behind the relay. The function that it
// returns kills it and waits until it is gone.
func (r *relay) serveBehind(t *testing.T, dir string) (kill func()) {
	t.Helper()
	cmd := asProcess(t, "serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--log-format", "json")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	addr, gone := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(gone)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				addr <- line.Addr
			}
		}
		_ = cmd.Wait() // it is killed
	}()
	kill = func() {
		_ = cmd.Process.Kill() // it fails if the process is gone, which is as good
		<-gone
	}
	t.Cleanup(kill)
	select {
	case a := <-addr:
		r.target.Store(&a)
	case <-gone:
		require.Fail(t, "the server ended before it listened")
	}
	return kill
}

// client returns a client of the relay that tries again at once.
func (r *relay) client(t *testing.T) *proglog.Client {
	t.Helper()
	c, err := proglog.New(r.url, proglog.WithRetry(proglog.Retry{
		Attempts: 100, MinDelay: time.Millisecond, MaxDelay: 50 * time.Millisecond,
	}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Goal: a follower gets every record once and in order, and a producer puts each
// into the log once, although the server is killed in the middle and comes back.
// Method: real processes on one data directory; the kill comes when the follower
// has half of what was sent.
func TestFollowAcrossKills(t *testing.T) {
	const rounds, each = 4, 400
	dir := t.TempDir()
	r := startRelay(t)
	kill := r.serveBehind(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := r.client(t)
	p, err := client.NewProducer(ctx, proglog.MaxBatch(7, 1<<10))
	require.NoError(t, err)

	got := make(chan proglog.Record)
	failed := make(chan error, 1)
	go func() {
		defer close(got)
		for record, err := range client.Follow(ctx) {
			if err != nil {
				failed <- err
				return
			}
			select {
			case got <- record:
			case <-ctx.Done():
				return
			}
		}
	}()
	due := uint64(0)
	expect := func(until uint64) {
		for ; due < until; due++ {
			record, ok := <-got
			if !ok {
				require.NoError(t, <-failed)
			}
			require.Equal(t, due, record.Offset)
			require.Equal(t, fmt.Sprint("record ", due), string(record.Value))
		}
	}
	for round := range uint64(rounds) {
		for i := range uint64(each) {
			_, err := p.Send(ctx, proglog.Record{Value: fmt.Append(nil, "record ", round*each+i)})
			require.NoError(t, err)
		}
		expect(round*each + each/2)
		kill()
		kill = r.serveBehind(t, dir)
		expect((round + 1) * each)
	}
	require.NoError(t, p.Close(ctx))
	info, err := client.DescribeLog(ctx, "")
	require.NoError(t, err)
	assert.Equal(t, uint64(rounds*each), info.NextOffset)
	cancel()
}

// Goal: a follower whose server comes back with another data directory is told so,
// whether the other log has fewer records, as many, or more: it neither waits in
// silence nor takes the records of one for those of the other.
func TestFollowOfAnotherDirectory(t *testing.T) {
	for _, others := range []int{0, 3, 5} {
		t.Run(fmt.Sprint(others), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			other := t.TempDir()
			s := startServe(t, "--data-dir", other)
			requireOK(t, "produce", strings.Repeat("other\n", others), "--addr", "http://"+s.addr)
			code, log := s.end(t)
			require.Equal(t, exitOK, code, log)

			r := startRelay(t)
			kill := r.serveBehind(t, t.TempDir())
			requireOK(t, "produce", "mine\nmine\nmine\n", "--addr", r.url)
			var last error
			n := 0
			for record, err := range r.client(t).Follow(ctx) {
				if last = err; err != nil {
					break
				}
				require.Equal(t, "mine", string(record.Value))
				if n++; n == 3 {
					kill()
					r.serveBehind(t, other)
				}
			}
			assert.Equal(t, 3, n)
			assert.Equal(t, proglog.ReasonLogChanged, proglog.ReasonOf(last), "%v", last)
		})
	}
}

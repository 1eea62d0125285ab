package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// What a server with many logs may take.
const (
	// memoryPerLog is what a log may add to the resident memory.
	memoryPerLog = 8 << 10
	// memoryBase is what the server may have beside its logs.
	memoryBase = 48 << 20
	// otherFiles are the journal's, the sockets that listen, and the runtime's.
	otherFiles = 64
	// manyCallers write and read at the same time. A group may have a log of each.
	manyCallers = 128
)

// descriptors counts what the process has open.
func (s *serverProcess) descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	require.NoError(t, err)
	return len(open)
}

// mostMemory is the highest resident memory of the process so far, in bytes.
func (s *serverProcess) mostMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	require.NoError(t, err)
	for line := range bytes.Lines(status) {
		if kib, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			n, err := strconv.Atoi(string(bytes.Fields(kib)[0]))
			require.NoError(t, err)
			return n << 10
		}
	}
	require.Fail(t, "the kernel tells no VmHWM")
	return 0
}

// each runs work for the numbers below n, some at a time, and returns the most
// descriptors that the server had meanwhile.
func (s *serverProcess) each(t *testing.T, n int, work func(ctx context.Context, i int) error) (most int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range manyCallers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && failed.Load() == nil; i = next.Add(1) - 1 {
				if err := work(ctx, int(i)); err != nil {
					err = fmt.Errorf("%d: %w", i, err)
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		case <-time.After(20 * time.Millisecond): // between two looks
		}
		most = max(most, s.descriptors(t))
	}
	if err := failed.Load(); err != nil {
		require.NoError(t, *err)
	}
	return most
}

// manyLogsEnv names how many logs TestManyLogs makes; 2,000 unless it is set, which
// takes seconds. The promise is 10,000, whose figures stand among the benchmarks.
const manyLogsEnv = "PROGLOG_MANY_LOGS"

// Goal: thousands of logs are made, written and read, and read again after a
// SIGKILL, by a server that may open 1,024 files, and fewer logs with fewer: no call fails, its descriptors stay within what --open-files lets it
// have, and its memory within a bound for each log.
func TestManyLogs(t *testing.T) {
	many := 2000
	if text := os.Getenv(manyLogsEnv); text != "" {
		var err error
		many, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	for _, row := range []struct {
		name      string
		logs      int
		files     int // that the process may open; 0: as they are
		openFiles int // the bound on segment files
		args      []string
	}{
		{"1,024 descriptors", many, 1024, 256, nil},
		{"--open-files 50", many / 4, 0, 50, []string{"--open-files", "50"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			name := func(i int) string { return fmt.Sprintf("tenant/%d/orders", i) }
			const connections = 1 // HTTP/2: one carries all calls
			most := row.openFiles + manyCallers + otherFiles + connections
			if row.files > 0 {
				most = min(most, row.files)
			}
			s := startProcess(t, dir, row.files, append(row.args, "--create-on-produce", "tenant/")...)
			var c logv1connect.LogClient
			read := func(ctx context.Context, i int) error {
				res, err := c.Consume(ctx, &logv1.ConsumeRequest{Log: name(i)})
				if err == nil && string(res.GetRecord().GetValue()) != name(i) {
					err = fmt.Errorf("it has %q", res.GetRecord().GetValue())
				}
				return err
			}
			phase := func(what string, work func(ctx context.Context, i int) error) {
				t.Helper()
				start := time.Now()
				got := s.each(t, row.logs, work)
				t.Logf("%d logs %s: %.1f s, %d descriptors, %d MiB at most", row.logs, what, time.Since(start).Seconds(), got, s.mostMemory(t)>>20)
				require.LessOrEqual(t, got, most, "descriptors: %s", what)
			}
			c = newClient(t, s.addr)
			phase("written", func(ctx context.Context, i int) error {
				_, err := c.Produce(ctx, &logv1.ProduceRequest{Log: name(i), Record: &logv1.Record{Value: []byte(name(i))}})
				return err
			})
			phase("read", read)
			s.requireMemory(t, row.logs)
			s.kill()

			start := time.Now()
			s = startProcess(t, dir, row.files, row.args...)
			t.Logf("opened again: %.1f s", time.Since(start).Seconds())
			c = newClient(t, s.addr)
			phase("read again", read)
			s.requireMemory(t, row.logs)
		})
	}
}

// requireMemory holds the server to the bound for so many logs.
func (s *serverProcess) requireMemory(t *testing.T, logs int) {
	t.Helper()
	if !s.built {
		t.Logf("SKIP the bound on memory: %s is not set, and the test's own binary takes more", binaryEnv)
		return
	}
	require.LessOrEqual(t, s.mostMemory(t), memoryBase+logs*memoryPerLog)
}

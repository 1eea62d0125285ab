package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// Goal: bench appends what it was told, one at a time or pipelined, beside records
// of others, and finds every ack in the log.
func TestBench(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	requireOK(t, "produce", "somebody else\n", "--addr", addr)
	for _, inFlight := range []string{"1", "100"} {
		out := requireOK(t, "bench", "", "--addr", addr, "--producers", "3", "--records", "1000", "--duration", "1m", "--in-flight", inFlight)
		assert.Contains(t, out, "throughput 1000 records")
		assert.Contains(t, out, "latency    p50")
		assert.Contains(t, out, "audit      1000 acknowledged records read back")
	}
	for _, args := range [][]string{{"--value-bytes", "3"}, {"--producers", "0"}, {"file"}} {
		assert.Equal(t, exitUsage, runCommand(t, "bench", "", append(args, "--addr", addr)...).code)
	}
}

// forgetful acknowledges batches that it changes or keeps from the log.
type forgetful struct {
	mu     sync.Mutex
	change func(n int, batches []commitlog.Batch)
	n      int
}

func (f *forgetful) before(_ context.Context, batches []commitlog.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	f.change(f.n, batches)
	return nil
}

// Goal: the audit finds a record that is not in the log, or not as it was sent.
func TestBenchFindsLoss(t *testing.T) {
	spoil := &forgetful{change: func(n int, batches []commitlog.Batch) {
		if n == 5 {
			for i := range batches {
				value := slices.Clone(batches[i].Records[0].Value)
				value[len(value)-1] ^= 1
				batches[i].Records[0].Value = value
			}
		}
	}}
	addr := startServer(t, &hookedEngine{before: spoil.before})
	r := runCommand(t, "bench", "", "--addr", addr, "--producers", "1", "--records", "20")
	require.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.stderr, "has other bytes than were sent")

	lose := &forgetful{change: func(n int, batches []commitlog.Batch) {
		if n == 5 {
			batches[0].Records[0].Value = []byte("lost")
		}
	}}
	addr = startServer(t, &hookedEngine{before: lose.before})
	r = runCommand(t, "bench", "", "--addr", addr, "--producers", "1", "--records", "20")
	require.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.stderr, "1 acknowledged records are lost, of 20")
}

// Goal: a server that is killed under load takes nothing from bench: it tells how
// fast it was until then, finds every ack when the server is back, and fails with
// the cause; of one that stays away it says so. Method: real processes; the kill
// comes when the log has records of the run.
func TestBenchAcrossAKill(t *testing.T) {
	for _, row := range []struct {
		name, inFlight string
		back           bool
	}{
		{"one at a time, the server comes back", "1", true},
		{"pipelined, the server stays away", "50", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel() // each waits for seconds until the SDK gives up
			ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
			defer cancel()
			dir := t.TempDir()
			relay := startRelay(t)
			kill := relay.serveBehind(t, dir)
			client := relay.client(t)
			giveUp := "1s"
			if row.back {
				giveUp = patience.String()
			}
			stdout, w := io.Pipe()
			var stderr bytes.Buffer
			code := make(chan int, 1)
			go func() {
				code <- bench(ctx, []string{
					"--addr", relay.url, "--producers", "4", "--duration", "1h", "--in-flight", row.inFlight, "--give-up-after", giveUp,
				}, nil, w, &stderr)
				_ = w.Close() // it cannot fail
			}()
			require.Eventually(t, func() bool {
				info, err := client.DescribeLog(ctx, "")
				return err == nil && info.NextOffset > 100
			}, patience, pollEvery)
			kill()
			var out strings.Builder
			for lines := bufio.NewScanner(stdout); lines.Scan(); {
				out.WriteString(lines.Text() + "\n")
				if row.back && strings.HasPrefix(lines.Text(), "latency") {
					relay.serveBehind(t, dir) // the load has failed and was told of
				}
			}
			r := result{<-code, out.String(), stderr.String()}
			assert.Equal(t, exitFailed, r.code)
			assert.Contains(t, r.stderr, "proglog bench: load: ")
			assert.Regexp(t, `throughput [1-9]\d* records`, r.stdout)
			assert.Contains(t, r.stdout, "latency    p50")
			if row.back {
				assert.Regexp(t, `audit      [1-9]\d* acknowledged records read back`, r.stdout)
				assert.NotContains(t, r.stderr, "audit")
				return
			}
			assert.NotContains(t, r.stdout, "audit")
			assert.Regexp(t, `audit: [1-9]\d* acknowledged records could not be read back`, r.stderr)
			assert.Contains(t, r.stderr, "is a server running at")
		})
	}
}

// Goal: after a failure, records without an ack are no fault, but an ack without
// its record is one.
func TestBenchFindsLossAfterAFailure(t *testing.T) {
	for _, lost := range []bool{false, true} {
		fail := &forgetful{}
		addr := startServer(t, &hookedEngine{before: func(ctx context.Context, batches []commitlog.Batch) error {
			fail.mu.Lock()
			defer fail.mu.Unlock()
			if fail.n++; lost && fail.n == 3 {
				batches[0].Records[0].Value = []byte("lost")
			}
			if fail.n == 6 {
				return &commitlog.LogSealedError{Next: 5}
			}
			return nil
		}})
		r := runCommand(t, "bench", "", "--addr", addr, "--producers", "1", "--records", "20")
		assert.Equal(t, exitFailed, r.code)
		assert.Contains(t, r.stderr, "LOG_SEALED")
		assert.Contains(t, r.stdout, "throughput 5 records")
		if lost {
			assert.Contains(t, r.stderr, "audit: 1 acknowledged records are lost, of 5")
		} else {
			assert.Contains(t, r.stdout, "audit      5 acknowledged records read back")
		}
	}
}

// Goal: an interrupt ends the load and not what follows it.
func TestBenchInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var n atomic.Int64
	addr := startServer(t, &hookedEngine{before: func(context.Context, []commitlog.Batch) error {
		if n.Add(1) == 10 {
			interrupt()
		}
		return nil
	}})
	var stdout, stderr bytes.Buffer
	code := bench(ctx, []string{"--addr", addr, "--producers", "2", "--duration", "1h"}, nil, &stdout, &stderr)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr.String(), "interrupted")
	assert.Contains(t, stdout.String(), "throughput")
	assert.Regexp(t, `audit      [1-9]\d* acknowledged records read back`, stdout.String())
}

// Goal: when a trim took records of the run, bench names flags that it has.
func TestBenchAfterATrim(t *testing.T) {
	var addr string
	var n atomic.Int64
	trim := make(chan struct{})
	trimmed := make(chan struct{})
	addr = startServer(t, &hookedEngine{before: func(context.Context, []commitlog.Batch) error {
		if n.Add(1) == 10 {
			close(trim)
			<-trimmed
		}
		return nil
	}})
	go func() {
		defer close(trimmed)
		<-trim
		runCommand(t, "logs", "", "trim", "", "5", "--addr", addr)
	}()
	r := runCommand(t, "bench", "", "--addr", addr, "--producers", "1", "--records", "20")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.stderr, "a trim removed records of this run")
	assert.Contains(t, r.stderr, "--log names a log")
	assert.NotContains(t, r.stderr, "--from")
}

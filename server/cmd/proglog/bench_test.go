package main

import (
	"context"
	"slices"
	"sync"
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

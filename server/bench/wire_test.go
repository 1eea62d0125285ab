package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/wire"
)

// binary is our server: what make test has built, otherwise built here.
func binary(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("PROGLOG_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(t.TempDir(), "proglog")
	out, err := exec.Command("go", "build", "-C", "..", "-o", bin, "./cmd/proglog").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return bin
}

// Goal: each row over the wire runs, and each peer that is installed has plausible
// figures. The cells themselves fail when a consumer does not get exactly the
// records that were acked. A peer that is not installed is told as SKIP by the
// report, which is as it should be: the bench needs none of them.
func TestRowsOverTheWire(t *testing.T) {
	dir := t.TempDir()
	o := smallest(dir, `^(stores/.*|call/writers=256/.*|parts/.*|pump/.*|stream/.*|idle/.*)$`)
	o.bin = binary(t)
	r, err := runCells(context.Background(), o.choose(plan(o)), dir, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Len(t, r.contests, 7)
	for _, c := range r.contests {
		for _, outcome := range c.outcomes {
			if outcome.Unavailable != "" {
				assert.Regexp(t, "^(Redis|Kafka)", outcome.Label)
				t.Logf("SKIP %s in %s: %s", outcome.Label, c.name, outcome.Unavailable)
				continue
			}
			plausible(t, c.name, outcome)
		}
	}
	require.Len(t, r.following, 4)
	for i, f := range r.following {
		assert.Equal(t, o.sizes.followers[i/2], f.Followers)
		require.Len(t, f.Reach, 1)
		assert.Positive(t, f.Reach[0])
		assert.Less(t, f.Idle, 64.0) // of one processor, over a moment
	}
	assert.Greater(t, r.first.BinaryBytes, int64(1<<20))
	assert.Greater(t, r.first.Resident, int64(1<<20))
	assert.Less(t, r.first.Listening, r.first.Answer)

	taken := partsTable(r)
	require.Len(t, taken.Rows, 8)
	for _, row := range taken.Rows {
		if !strings.HasPrefix(row[0], "+") { // a difference may be below zero
			assert.Regexp(t, `^[0-9.]+$`, row[1], row[0])
		}
	}

	judged := map[string]bool{}
	for _, row := range goalTable(r).Rows {
		judged[row[0]] = true
	}
	for _, id := range []string{"G1", "G3", "G3s", "G4", "G6", "G7", "G8", "G9", "G10", "G14"} {
		assert.True(t, judged[id], "%s has no figure", id)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func plausible(t *testing.T, cell string, o measure.Outcome) {
	t.Helper()
	require.Len(t, o.Series, 1, "%s: %s", cell, o.Label)
	s := o.Series[0]
	assert.Positive(t, s.Records, "%s: %s", cell, o.Label)
	assert.Equal(t, s.Records*uint64(o.Load.ValueBytes), s.Bytes, "%s: %s", cell, o.Label)
	if strings.HasPrefix(cell, groupStores) {
		return
	}
	// Nothing carries a record for less than a nanosecond, and nobody may be
	// charged with more than all processors in the whole time.
	assert.Positive(t, s.ServerPerRecord, "%s: %s", cell, o.Label)
	assert.Less(t, time.Duration(s.Records)*s.ServerPerRecord, 64*s.Elapsed, "%s: %s", cell, o.Label)
	if !strings.HasPrefix(cell, groupStream) {
		assert.Positive(t, s.P50, "%s: %s", cell, o.Label)
		assert.LessOrEqual(t, s.P50, s.P99)
		assert.LessOrEqual(t, s.P99, s.P999)
		assert.LessOrEqual(t, s.P50, s.Elapsed)
	}
}

// Goal: without our binary, and without Redis, the report says SKIP and why, and
// the other peers run.
func TestPeersThatAreNotThere(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	o := smallest(t.TempDir(), `^call/writers=256/value=100$`)
	o.bin = filepath.Join(t.TempDir(), "no-such-binary")
	var out bytes.Buffer
	require.NoError(t, bench(context.Background(), o, &out, &bytes.Buffer{}))
	assert.Regexp(t, `proglog: SKIP +256 +100 B +not available here: there is no .*no-such-binary: run make build`, out.String())
	assert.Regexp(t, `Redis always: SKIP +256 +100 B +not available here: redis-server is not installed`, out.String())
	assert.Regexp(t, `(?m)^grpc-go +256 +100 B +[0-9]`, out.String())
}

// Goal: a child that dies is told at the next call, with what it said, and leaves
// no bench that waits.
func TestAServerThatDies(t *testing.T) {
	subject, err := wire.Front{Store: child.Engine}.Open(t.TempDir(), peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: 100})
	require.NoError(t, err)
	w := subject.Writer(0, peer.NewBatch(0, 1, 100))
	_, err = w.Append(0)
	require.NoError(t, err)
	server := subject.(interface{ Kill() })
	server.Kill()
	_, err = w.Append(0)
	require.Error(t, err)
	require.NoError(t, subject.Close())
}

// Goal: a context that ends ends a cell soon, and every server with it.
func TestInterrupted(t *testing.T) {
	o := smallest(t.TempDir(), `^stream/value=100$`)
	o.bin = binary(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	o.time = time.Hour
	began := time.Now()
	_, err := runCells(ctx, o.choose(plan(o)), o.dir, &bytes.Buffer{})
	require.Error(t, err)
	require.Error(t, ctx.Err(), "it ended by itself: %v", err)
	assert.Less(t, time.Since(began), time.Minute)
	left, err := os.ReadDir(o.dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/torture/internal/ledger"
	"github.com/proglog/proglog/server/torture/internal/trial"
)

const testRoot = "../../.."

// Goal: the README quotes the ledger as it is.
func TestReadmeIsCurrent(t *testing.T) {
	parts, err := allParts(testRoot)
	require.NoError(t, err)
	rows, err := ledger.Read(filepath.Join(testRoot, ledgerFile))
	require.NoError(t, err)
	require.NotEmpty(t, rows)
	text, err := os.ReadFile(filepath.Join(testRoot, readmeFile))
	require.NoError(t, err)
	_, had, _, err := cutReadme(string(text))
	require.NoError(t, err)
	require.Equal(t, "\n"+readmeSums(rows, parts)+"\n", had, "run: make deep-sums")
}

// Goal: no part is forgotten: every trial and every fuzz target has its turn, and
// every row of the ledger is of a part.
func TestEveryPartHasItsTurn(t *testing.T) {
	parts, err := allParts(testRoot)
	require.NoError(t, err)
	names := map[string]bool{}
	targets := 0
	for _, p := range parts {
		assert.False(t, names[p.name], "%s is there twice", p.name)
		names[p.name] = true
		assert.Positive(t, p.share, p.name)
		if strings.HasPrefix(p.name, "fuzz/") {
			targets++
		}
	}
	for _, row := range trial.All() {
		assert.True(t, names[row.Name], row.Name)
	}
	assert.GreaterOrEqual(t, targets, 11)
	rows, err := ledger.Read(filepath.Join(testRoot, ledgerFile))
	require.NoError(t, err)
	for i, r := range rows {
		assert.True(t, names[r.Part], "line %d: %s", i+1, r.Part)
	}
}

// testParts do nothing but to take a moment and count.
func testParts(names ...string) (parts []part) {
	for _, name := range names {
		parts = append(parts, part{name: name, share: 1, run: func(_ context.Context, _ *bench, rows []ledger.Row, _ time.Duration) (ledger.Row, string, error) {
			n := ledger.Next(rows, name, 1)
			return ledger.Row{Part: name, From: n, To: n, Count: 1}, "", nil
		}})
	}
	return parts
}

func testBench(t *testing.T) (*bench, *bytes.Buffer) {
	var out bytes.Buffer
	return &bench{ledger: filepath.Join(t.TempDir(), "ledger"), out: &out}, &out
}

// Goal: a run goes on behind the ledger's seeds, stops at the first failure, writes
// it down and tells how to repeat it.
func TestFirstFailureEndsARun(t *testing.T) {
	b, _ := testBench(t)
	parts := testParts("a", "b")
	fails := errors.New("a record is lost")
	good := parts[1].run
	parts[1].run = func(ctx context.Context, b *bench, rows []ledger.Row, d time.Duration) (ledger.Row, string, error) {
		r, _, _ := good(ctx, b, rows, d)
		if r.From < 3 {
			return r, "", nil
		}
		r.Failures, r.Failure = 1, "repeat b"
		return r, "repeat b", fails
	}
	err := b.goOn(t.Context(), parts, time.Minute)
	require.ErrorIs(t, err, fails)
	require.ErrorContains(t, err, "to repeat it: repeat b")
	rows, err := ledger.Read(b.ledger)
	require.NoError(t, err)
	last := rows[len(rows)-1]
	assert.Equal(t, "b", last.Part)
	assert.Equal(t, uint64(3), last.From)
	assert.Equal(t, 1, last.Failures)
	assert.Equal(t, uint64(4), ledger.Next(rows, "b", 1))
	assert.Greater(t, ledger.Next(rows, "a", 1), uint64(1), "the other had its turns as well")
}

// Goal: an interrupt keeps every slice that ended, and the one under way is begun
// again by the next run.
func TestInterruptLosesNothing(t *testing.T) {
	b, _ := testBench(t)
	ctx, interrupt := context.WithCancel(t.Context())
	parts := testParts("a")
	good := parts[0].run
	parts[0].run = func(ctx context.Context, b *bench, rows []ledger.Row, d time.Duration) (ledger.Row, string, error) {
		r, repeat, err := good(ctx, b, rows, d)
		if r.From == 3 {
			interrupt()
		}
		return r, repeat, err
	}
	require.ErrorIs(t, b.goOn(ctx, parts, time.Minute), context.Canceled)
	rows, err := ledger.Read(b.ledger)
	require.NoError(t, err)
	assert.Len(t, rows, 2)
	assert.Equal(t, uint64(3), ledger.Next(rows, "a", 1))
}

// Goal: what cannot run here is told and left out; what needs one slice gets one.
func TestPartsThatAreOver(t *testing.T) {
	b, out := testBench(t)
	parts := testParts("once", "missing")
	parts[0].once = true
	parts[1].run = func(context.Context, *bench, []ledger.Row, time.Duration) (ledger.Row, string, error) {
		return ledger.Row{}, "", errSkipped
	}
	require.NoError(t, b.goOn(t.Context(), parts, time.Minute))
	rows, err := ledger.Read(b.ledger)
	require.NoError(t, err)
	assert.Len(t, rows, 1)
	assert.Contains(t, out.String(), "SKIP")
}

// Goal: places in the list of all faults go round, and a changed list is begun anew.
func TestDamageGoesRound(t *testing.T) {
	row := func(from, to, of uint64) ledger.Row {
		return ledger.Row{Part: damagePart, From: from, To: to, Of: of, Count: to - from + 1}
	}
	rows := []ledger.Row{row(0, 59, 100), row(60, 99, 100)}
	of, next := damageRound(rows)
	assert.Equal(t, []uint64{100, 100}, []uint64{of, next})
	parts := []part{{name: damagePart, all: true}}
	s := sumsOf(rows, parts)[0]
	_, met := s.reached()
	assert.True(t, met)

	rows = append(rows, row(0, 19, 120))
	of, next = damageRound(rows)
	assert.Equal(t, []uint64{120, 20}, []uint64{of, next})
	s = sumsOf(rows, parts)[0]
	assert.Equal(t, uint64(20), s.count, "what was tried of another list says nothing of this one")
	_, met = s.reached()
	assert.False(t, met)
}

// Goal: the end of a fuzzer's time is no failure, and what an input fails with is one.
func TestEndOfFuzzing(t *testing.T) {
	const before, after = "fuzz: elapsed: 20s, execs: 83564 (6671/sec)\n", "\nFAIL\nexit status 1\n"
	assert.True(t, endOfFuzzing.MatchString(before+"--- FAIL: FuzzRequest (20.55s)\n    context deadline exceeded"+after))
	for _, failed := range []string{
		"--- FAIL: FuzzRequest (20.55s)\n    --- FAIL: FuzzRequest (0.00s)\n        a_test.go:1: context deadline exceeded",
		"--- FAIL: FuzzRequest (0.02s)\n    --- FAIL: FuzzRequest/seed#3 (0.00s)\n    context deadline exceeded",
		"--- FAIL: FuzzRequest (20.55s)\n    fuzzing process hung or terminated unexpectedly: exit status 2",
	} {
		assert.False(t, endOfFuzzing.MatchString(before+failed+after), failed)
	}
}

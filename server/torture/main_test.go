package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/torture/internal/trial"
)

// Goal: a run goes on behind the seeds that the ledger has of its trial, also when
// the last one failed or was cut short.
func TestLedgerGoesOn(t *testing.T) {
	s := &settings{ledger: filepath.Join(t.TempDir(), "ledger"), bin: "/nonexistent", cycles: 10}
	next, err := nextSeed(s.ledger, "kill")
	require.NoError(t, err)
	require.Equal(t, uint64(1), next)

	require.NoError(t, appendLedger(t.Context(), s, "kill", 1, trial.Tally{Cycles: 10, Acked: 5}, time.Second, nil))
	require.NoError(t, appendLedger(t.Context(), s, "other", 100, trial.Tally{Cycles: 10}, time.Second, nil))
	next, err = nextSeed(s.ledger, "kill")
	require.NoError(t, err)
	assert.Equal(t, uint64(11), next)

	require.NoError(t, appendLedger(t.Context(), s, "kill", 11, trial.Tally{Cycles: 3}, time.Second, errors.New("lost\nmore")))
	next, err = nextSeed(s.ledger, "kill")
	require.NoError(t, err)
	assert.Equal(t, uint64(15), next, "three cycles, and the one that failed")

	text, err := os.ReadFile(s.ledger)
	require.NoError(t, err)
	assert.Equal(t, 3, bytes.Count(text, []byte("\n")))
	assert.Contains(t, string(text), `"failure":"lost"`)
}

// Goal: a ledger that cannot be read is an error: seeds must not be run twice by
// mistake.
func TestBrokenLedger(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "ledger")
	require.NoError(t, os.WriteFile(ledger, []byte("no JSON\n"), 0o600))
	_, err := nextSeed(ledger, "kill")
	require.Error(t, err)
}

// Goal: wrong flags are told.
func TestFlags(t *testing.T) {
	for name, args := range map[string][]string{
		"an unknown trial": {"-trial", "none", "-bin", os.Args[0]},
		"no binary":        {"-trial", "kill", "-bin", "/nonexistent/proglog"},
		"an argument":      {"kill"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, run(t.Context(), args, &bytes.Buffer{}))
		})
	}
}

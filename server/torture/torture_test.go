package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/torture/internal/trial"
)

func TestMain(m *testing.M) {
	code, ran, err := private()
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
	if ran {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// cyclesOf says how many cycles of each trial a plain test run makes.
func cyclesOf(name string) int {
	switch name {
	case "kill":
		return 20
	case "verify", "power-ext4", "power-xfs":
		return 10
	case "full-tmpfs", "full-ext4", "full-sudden":
		return 2
	case "full-shipped":
		return 0 // a large journal takes its time: make deep has it
	default:
		return 3
	}
}

// Goal: what the contract promises of acks and reads holds under every fault of the
// battery.
// Method: each trial, with a few seeds; the program beside this test goes on with others.
func TestTrials(t *testing.T) {
	bin := os.Getenv("PROGLOG_BIN")
	if bin == "" {
		t.Skip("PROGLOG_BIN is not set: run make test, which builds the binary and sets it")
	}
	bin, err := filepath.Abs(bin)
	require.NoError(t, err)
	for _, row := range trial.All() {
		cycles := cyclesOf(row.Name)
		if cycles == 0 {
			continue
		}
		t.Run(row.Name, func(t *testing.T) {
			tally, err := row.Run(t.Context(), &trial.Env{Bin: bin, Dir: t.TempDir(), Out: t.Output()}, 1, cycles)
			if missing, ok := errors.AsType[*trial.Unavailable](err); ok {
				t.Skip(missing)
			}
			require.NoError(t, err)
			assert.Equal(t, cycles, tally.Cycles)
			assert.Greater(t, tally.Acked, uint64(200*cycles))
		})
	}
}

package main

import (
	"context"
	"debug/buildinfo"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/proglog/proglog/server/torture/internal/ledger"
	"github.com/proglog/proglog/server/torture/internal/trial"
)

// nextSeed returns the seed behind the last one that the ledger has of a trial.
func nextSeed(path, name string) (uint64, error) {
	if path == "" {
		return 1, nil
	}
	rows, err := ledger.Read(path)
	return ledger.Next(rows, name, 1), err
}

// appendLedger writes the line of a run.
func appendLedger(ctx context.Context, s *settings, name string, seed uint64, tally trial.Tally, took time.Duration, failure error) error {
	if s.ledger == "" {
		return nil
	}
	version, commit := built(s.bin)
	if s.commit != "" {
		commit = s.commit
	}
	r := ledger.Row{
		Date: time.Now().UTC().Format(time.DateTime), Part: name, From: seed, To: seed + uint64(s.cycles) - 1,
		Count: uint64(tally.Cycles), Acked: tally.Acked, Unknown: tally.Unknown, Seen: tally.Seen,
		Seconds: float64(took.Milliseconds()) / 1000, Version: version, Commit: commit, Go: runtime.Version(), Machine: ledger.Machine(),
	}
	if failure != nil {
		r.To = seed + uint64(tally.Cycles)
		if ctx.Err() == nil {
			r.Failures = 1
			r.Failure, _, _ = strings.Cut(failure.Error(), "\n")
		} else {
			r.To-- // the cycle that was broken off will be run again
		}
	}
	return ledger.Append(s.ledger, r)
}

// built returns what the binary says of itself, and the commit it was built from.
func built(bin string) (version, commit string) {
	said, err := exec.Command(bin, "version").CombinedOutput()
	if err != nil {
		return "unknown: " + err.Error(), ""
	}
	version, _, _ = strings.Cut(string(said), "\n")
	info, err := buildinfo.ReadFile(bin)
	if err != nil {
		return version, ""
	}
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			commit = setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			commit += " with changes"
		}
	}
	return version, commit
}

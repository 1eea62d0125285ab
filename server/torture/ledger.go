package main

import (
	"bufio"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/proglog/proglog/server/torture/internal/trial"
)

// row is a line of the ledger: what one run of a trial proved, and of what.
type row struct {
	Date    string  `json:"date"`
	Trial   string  `json:"trial"`
	From    uint64  `json:"from_seed"`
	To      uint64  `json:"to_seed"` // the last one that was begun
	Cycles  int     `json:"cycles"`  // without a failure
	Acked   uint64  `json:"acked_records"`
	Unknown uint64  `json:"unknown_requests"`
	Seen    uint64  `json:"seen_by_tails"`
	Seconds float64 `json:"seconds"`
	Failure string  `json:"failure,omitempty"`
	Version string  `json:"version"` // as the binary tells it
	Machine string  `json:"machine"`
}

// nextSeed returns the seed behind the last one that the ledger has of a trial.
func nextSeed(path, name string) (uint64, error) {
	next := uint64(1)
	if path == "" {
		return next, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return next, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		var r row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return 0, fmt.Errorf("line %d of %s: %w", n, path, err)
		}
		if r.Trial == name {
			next = max(next, r.To+1)
		}
	}
	return next, lines.Err()
}

// appendLedger writes the line of a run.
func appendLedger(ctx context.Context, s *settings, name string, seed uint64, tally trial.Tally, took time.Duration, failure error) error {
	if s.ledger == "" {
		return nil
	}
	r := row{
		Date: time.Now().UTC().Format(time.DateTime), Trial: name, From: seed, To: seed + uint64(s.cycles) - 1,
		Cycles: tally.Cycles, Acked: tally.Acked, Unknown: tally.Unknown, Seen: tally.Seen,
		Seconds: float64(took.Milliseconds()) / 1000, Version: version(s.bin), Machine: machine(),
	}
	if failure != nil {
		r.To = seed + uint64(tally.Cycles)
		if ctx.Err() == nil {
			r.Failure, _, _ = strings.Cut(failure.Error(), "\n")
		} else {
			r.To = seed + uint64(tally.Cycles) - 1 // the cycle that was broken off will be run again
		}
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(s.ledger, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Close())
}

// version returns what the binary says of itself, and the commit it was built from.
func version(bin string) string {
	said, err := exec.Command(bin, "version").CombinedOutput()
	if err != nil {
		return "unknown: " + err.Error()
	}
	line, _, _ := strings.Cut(string(said), "\n")
	info, err := buildinfo.ReadFile(bin)
	if err != nil {
		return line
	}
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			line += ", commit " + setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			line += " with changes"
		}
	}
	return line
}

// machine describes what the run was on.
func machine() string {
	text := fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		text += ", " + strings.TrimSpace(string(release))
	}
	return text
}

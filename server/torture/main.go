// Torture runs the durability battery against the built binary for as long as it
// is told to: go run ./server/torture -trial kill -cycles 100.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/proglog/proglog/server/torture/internal/trial"
)

func main() {
	code, ran, err := private()
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
	if ran {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	bin, trials, ledger, dir, commit string
	cycles                           int
	seed                             uint64
	strict                           bool
}

// run does what the flags say. It goes on with the next trial after a failure, so
// that one run tells everything.
func run(ctx context.Context, args []string, out io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	flags.StringVar(&s.bin, "bin", envOr("PROGLOG_BIN", "bin/proglog"), "the built `binary`")
	flags.StringVar(&s.trials, "trial", "all", "`names` of trials, with commas, or all: "+names())
	flags.IntVar(&s.cycles, "cycles", 10, "cycles of each trial")
	flags.Uint64Var(&s.seed, "seed", 0, "seed of the first cycle; 0: behind those that the ledger has of the trial, or 1")
	flags.StringVar(&s.ledger, "ledger", "", "`file` that gets a line for each trial; empty: none")
	flags.StringVar(&s.commit, "commit", "", "what the ledger is to say that the binary was built from; empty: what the binary says")
	flags.StringVar(&s.dir, "dir", "", "`directory` on a real disk for the data; empty: the system's for temporary files")
	flags.BoolVar(&s.strict, "strict", strict(), "a trial that this machine cannot run is a failure")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	chosen, err := choose(s.trials)
	if err != nil {
		return err
	}
	if s.bin, err = filepath.Abs(s.bin); err != nil {
		return err
	}
	if _, err := os.Stat(s.bin); err != nil {
		return fmt.Errorf("the binary: %w; run make build", err)
	}
	var failed []error
	for _, t := range chosen {
		if err := s.runTrial(ctx, t, out); err != nil {
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

// runTrial runs one trial and writes its line of the ledger. What it leaves behind
// after a failure stays, to be looked at.
func (s *settings) runTrial(ctx context.Context, t trial.Trial, out io.Writer) error {
	seed := s.seed
	if seed == 0 {
		next, err := nextSeed(s.ledger, t.Name)
		if err != nil {
			return err
		}
		seed = next
	}
	dir, err := os.MkdirTemp(s.dir, "torture-")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s; %d cycles from seed %d\n", t.Name, t.Says, s.cycles, seed)
	began := time.Now()
	tally, err := t.Run(ctx, &trial.Env{Bin: s.bin, Dir: dir, Out: out}, seed, s.cycles)
	if missing, ok := errors.AsType[*trial.Unavailable](err); ok {
		fmt.Fprintf(out, "%s: SKIP %v\n", t.Name, missing)
		removeErr := os.RemoveAll(dir)
		if s.strict {
			return fmt.Errorf("%s cannot run here: %w", t.Name, missing)
		}
		return removeErr
	}
	took := time.Since(began)
	fmt.Fprintf(out, "%s: %d of %d cycles; %d acked records, %d unknown requests, %d records seen by tails, audited; %.1f s\n",
		t.Name, tally.Cycles, s.cycles, tally.Acked, tally.Unknown, tally.Seen, took.Seconds())
	if ctx.Err() != nil && tally.Cycles == 0 {
		return errors.Join(ctx.Err(), os.RemoveAll(dir))
	}
	ledgerErr := appendLedger(ctx, s, t.Name, seed, tally, took, err)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(out, "%s: FAILED; the data is in %s; again: -trial %s -seed %d -cycles %d\n", t.Name, dir, t.Name, seed, s.cycles)
		return errors.Join(fmt.Errorf("%s: %w", t.Name, err), ledgerErr)
	}
	return errors.Join(ctx.Err(), ledgerErr, os.RemoveAll(dir))
}

// choose returns the trials of the given names.
func choose(list string) (chosen []trial.Trial, err error) {
	if list == "all" {
		return trial.All(), nil
	}
	for name := range strings.SplitSeq(list, ",") {
		found := false
		for _, t := range trial.All() {
			if t.Name == name {
				chosen, found = append(chosen, t), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no trial %q: there are %s", name, names())
		}
	}
	return chosen, nil
}

func names() string {
	var all []string
	for _, t := range trial.All() {
		all = append(all, t.Name)
	}
	return strings.Join(all, ", ")
}

func envOr(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

func strict() bool { v := os.Getenv("STRICT"); return v != "" && v != "0" }

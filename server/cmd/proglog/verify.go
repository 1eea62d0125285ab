package main

import (
	"context"
	"fmt"
	"io"
	"os"

	plog "github.com/proglog/proglog/server/log"
)

// verify checks every byte of a data directory that no server has open. Exit
// code 1 means that something is damaged, or that it could not look.
func verify(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	flags := newFlags("verify", "verify [flags] DIR", stderr)
	if code, ok := parseFlags(flags, args); !ok {
		return code
	}
	if flags.NArg() != 1 {
		fmt.Fprintln(stderr, "proglog verify: give one data directory, such as: proglog verify ./data")
		return exitUsage
	}
	dir := flags.Arg(0)
	progress, done := showProgress(stderr)
	report, err := plog.Verify(ctx, dir, plog.VerifyOptions{Progress: progress})
	done()
	if err != nil {
		fmt.Fprintf(stderr, "proglog verify: %v\n", err)
		return exitFailed
	}
	printReport(stdout, dir, report)
	if len(report.Problems) > 0 {
		return exitFailed
	}
	return exitOK
}

func printReport(w io.Writer, dir string, r *plog.Report) {
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	for _, p := range r.Lost {
		fmt.Fprintf(w, "lost before: %s, offsets %d to %d (%d records): %s, position %d: %s\n",
			namedLog(p.Log), p.First, p.Next-1, p.Next-p.First, p.File, p.Position, p.Text)
	}
	for _, p := range r.Problems {
		if p.Next > p.First {
			fmt.Fprintf(w, "DAMAGED: %s, offsets %d to %d (%d records): %s, position %d: %s\n",
				namedLog(p.Log), p.First, p.Next-1, p.Next-p.First, p.File, p.Position, p.Text)
			continue
		}
		fmt.Fprintf(w, "DAMAGED: %s, position %d: %s\n", p.File, p.Position, p.Text)
		if stakes := plog.StakeText(p.Stakes); stakes != "" {
			fmt.Fprintf(w, "  %s may be in what follows there\n", stakes)
		}
	}
	if r.Torn {
		fmt.Fprintln(w, "note: the journal ends in what is taken for an unfinished write, as a crash leaves it: nothing proves that it was ever whole, and the next start drops it")
	}
	fmt.Fprintf(w, "%s: %d logs, %d records, %d bytes read; %d groups wait in the journal for the next start\n", dir, r.Logs, r.Records, r.Bytes, r.Journal)
	if len(r.Problems) == 0 && len(r.Lost) > 0 {
		fmt.Fprintln(w, "no new damage: but for what was lost before, every record, checksum and chain is as it was written")
		return
	}
	if len(r.Problems) == 0 {
		fmt.Fprintln(w, "no damage: every record, checksum and chain is as it was written")
		return
	}
	fmt.Fprintln(w, "What to do: stop using this disk if it may be failing, and copy the directory before anything else.")
	if r.Closed() {
		fmt.Fprintln(w, "The server refuses to start with this directory, so that nothing is lost by it.")
	} else {
		fmt.Fprintln(w, "The server starts with this directory: it reads all but the ranges above, which are DATA_LOSS.")
	}
	fmt.Fprintf(w, "`proglog dump %s` shows what is there; `proglog repair --to NEWDIR %s` copies all that is good.\n", dir, dir)
}

// namedLog is how a log is called in a sentence.
func namedLog(name string) string {
	if name == "" {
		return "the default log"
	}
	return fmt.Sprintf("log %q", name)
}

// isTerminal says whether w is a person's terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

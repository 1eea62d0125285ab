package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

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
	var options plog.VerifyOptions
	if isTerminal(stderr) {
		last := time.Now()
		options.Progress = func(done, total int64) {
			if time.Since(last) > progressInterval {
				last = time.Now()
				fmt.Fprintf(stderr, "\r%d of %d MiB", done>>20, total>>20)
			}
		}
		defer fmt.Fprint(stderr, "\r\x1b[K")
	}
	report, err := plog.Verify(ctx, dir, options)
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
	for _, p := range r.Problems {
		switch {
		case p.Next > p.First:
			name := fmt.Sprintf("log %q", p.Log)
			if p.Log == "" {
				name = "the default log"
			}
			fmt.Fprintf(w, "DAMAGED: %s, offsets %d to %d (%d records): %s\n", name, p.First, p.Next-1, p.Next-p.First, p.Text)
		default:
			fmt.Fprintf(w, "DAMAGED: %s: %s\n", p.File, p.Text)
		}
	}
	if r.Torn {
		fmt.Fprintln(w, "note: the journal ends in what is taken for an unfinished write, as a crash leaves it: nothing proves that it was ever whole, and the next start drops it")
	}
	fmt.Fprintf(w, "%s: %d logs, %d records, %d bytes read; %d groups wait in the journal for the next start\n", dir, r.Logs, r.Records, r.Bytes, r.Journal)
	if len(r.Problems) == 0 {
		fmt.Fprintln(w, "no damage: every record, checksum and chain is as it was written")
		return
	}
	fmt.Fprintln(w, "Copy the directory before anything else. Everything outside the ranges above can still be read through the server,")
	fmt.Fprintln(w, "unless the journal or one of its tables is named: then the server refuses to start, so that nothing is lost by it.")
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

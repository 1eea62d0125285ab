package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	plog "github.com/proglog/proglog/server/log"
)

// repair copies all that is good of a damaged data directory to a new one, and
// reads it back. Exit code 1 means that something is lost, or that there is no
// copy.
func repair(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	flags := newFlags("repair", "repair --to NEWDIR DIR, or repair --restored DIR, or repair --moved DIR", stderr)
	to := flags.String("to", "", "copy what is good to this new data `directory`, empty or not there yet")
	restored := flags.Bool("restored", false, "say that DIR was restored from a snapshot or a backup: its logs get new ids")
	moved := flags.Bool("moved", false, "say that DIR was moved here, and the original is no more: its logs keep their ids")
	asJSON := flags.Bool("json", false, "print the report as JSON")
	others, code, ok := parseMixed(flags, args)
	if !ok {
		return code
	}
	if *restored != *moved && *to == "" && len(others) == 1 {
		return adopt(others[0], *moved, stdout, stderr)
	}
	if len(others) != 1 || *to == "" || *restored || *moved {
		fmt.Fprintln(stderr, "proglog repair: give the damaged data directory and a new one, such as: proglog repair --to ./repaired ./data")
		return exitUsage
	}
	from := others[0]
	if inside, err := isInside(*to, from); err != nil || inside {
		fmt.Fprintf(stderr, "proglog repair: the new directory must not be in the damaged one, which is not changed\n")
		return exitUsage
	}
	progress, done := showProgress(stderr)
	report, err := plog.Repair(ctx, from, *to, plog.RepairOptions{Progress: progress})
	done()
	if err != nil {
		fmt.Fprintf(stderr, "proglog %v\n", err)
		return exitFailed
	}
	check, err := plog.Verify(ctx, *to, plog.VerifyOptions{})
	if err != nil {
		fmt.Fprintf(stderr, "proglog repair: the copy was made, and could not be read back: %v\n", err)
		return exitFailed
	}
	if *asJSON {
		err = json.NewEncoder(stdout).Encode(jsonRepair{from, *to, report.Whole() && len(check.Problems) == 0, report})
	} else {
		err = printRepair(stdout, from, *to, report)
	}
	for _, p := range check.Problems {
		fmt.Fprintf(stderr, "proglog repair: the copy is damaged, is the disk all right? %s at position %d: %s\n", p.File, p.Position, p.Text)
	}
	if err != nil || !report.Whole() || len(check.Problems) > 0 {
		return exitFailed
	}
	return exitOK
}

// adopt settles what a copied directory is.
func adopt(dir string, moved bool, stdout, stderr io.Writer) int {
	if err := plog.Adopt(dir, moved, plog.Options{}); err != nil {
		fmt.Fprintf(stderr, "proglog repair: %v\n", err)
		return exitFailed
	}
	if moved {
		fmt.Fprintf(stdout, "%s is the original: its logs keep their ids\n", dir)
	} else {
		fmt.Fprintf(stdout, "%s was restored: its logs have new ids, and readers that go on are told that the log changed\n", dir)
	}
	return exitOK
}

type jsonRepair struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Whole bool   `json:"whole"` // everything was copied
	*plog.RepairReport
}

// isInside says whether a directory, which need not be there, is another one or
// in it.
func isInside(dir, other string) (bool, error) {
	other, err := filepath.EvalSymlinks(other)
	if err != nil {
		return false, nil // the repair will say so
	}
	if other, err = filepath.Abs(other); err != nil {
		return false, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return false, err
	}
	for there := dir; ; there = filepath.Dir(there) {
		if real, err := filepath.EvalSymlinks(there); err == nil {
			dir = real + strings.TrimPrefix(dir, there)
			break
		}
		if there == filepath.Dir(there) {
			break
		}
	}
	way, err := filepath.Rel(other, dir)
	return err == nil && way != ".." && !strings.HasPrefix(way, ".."+string(os.PathSeparator)), err
}

func printRepair(w io.Writer, from, to string, r *plog.RepairReport) error {
	var b strings.Builder
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, f := range r.Files {
		fmt.Fprintf(&b, "DAMAGED: %s, position %d: %s\n", f.File, f.Position, f.Cause)
	}
	records, lost := uint64(0), uint64(0)
	for _, l := range r.Logs {
		for _, n := range l.Notes {
			fmt.Fprintf(&b, "note: %s: %s\n", namedLog(l.Log), n)
		}
		for _, x := range l.Before {
			fmt.Fprintf(&b, "lost before: %s, offsets %d to %d (%d records)\n", namedLog(l.Log), x.First, x.Next-1, x.Next-x.First)
		}
		for _, x := range l.Lost {
			lost += x.Next - x.First
			fmt.Fprintf(&b, "LOST: %s, offsets %d to %d (%d records): %s, position %d: %s\n",
				namedLog(l.Log), x.First, x.Next-1, x.Next-x.First, x.File, x.Position, x.Cause)
		}
		records += l.Records
		fmt.Fprintf(&b, "copied: %s, %d records; it goes from offset %d to %d\n", namedLog(l.Log), l.Records, l.First, l.Next)
	}
	fmt.Fprintf(&b, "%s: %d logs, %d records, %d bytes copied from %s, which was not changed\n", to, len(r.Logs), records, r.Bytes, from)
	switch {
	case r.Whole():
		fmt.Fprintf(&b, "everything was copied; start the server with: proglog serve --data-dir %s\n", to)
	default:
		fmt.Fprintf(&b, "%d records are lost for certain. In the new directory, reading them is DATA_LOSS of just these ranges; what is around them can be read.\n", lost)
		if len(r.MayBeLost) > 0 {
			fmt.Fprintf(&b, "Beyond that, %s may be lost: a part of the journal is damaged or gone, and how many it held cannot be told.\n", plog.StakeText(r.MayBeLost))
		} else if len(r.Files) > 0 {
			fmt.Fprintln(&b, "What the files above held beyond that cannot be told: acknowledged records may be lost with them.")
		}
		fmt.Fprintf(&b, "Keep %s until you have what you need, and start the server with: proglog serve --data-dir %s\n", from, to)
	}
	fmt.Fprintln(&b, "Every log has a new id: readers that go on by an old one are told that the log changed.")
	_, err := io.WriteString(w, b.String())
	return err
}

// showProgress returns a function that shows how far it is, on a terminal, and
// one that takes it away.
func showProgress(w io.Writer) (progress func(done, total int64), done func()) {
	if !isTerminal(w) {
		return nil, func() {}
	}
	last := time.Now()
	return func(done, total int64) {
		if time.Since(last) > progressInterval {
			last = time.Now()
			fmt.Fprintf(w, "\r%d of %d MiB", done>>20, total>>20)
		}
	}, func() { fmt.Fprint(w, "\r\x1b[K") }
}

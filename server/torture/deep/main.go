// Deep runs everything that looks for faults in the storage for as long as it is
// told to, a slice of each part in turn, and goes on where the ledger ended:
//
//	go run ./server/torture/deep -for 2h
//
// It writes a row for each slice, so that an interrupt costs one slice at most,
// and stops at the first failure with the command that repeats it.
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
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/proglog/proglog/server/torture/internal/ledger"
)

// Where things are, below the root of the repository.
const (
	ledgerFile = "server/torture/ledger.jsonl"
	readmeFile = "README.md"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "deep:", err)
		os.Exit(1)
	}
}

// bench is what the slices of a run work with.
type bench struct {
	root, ledger string
	bin          string // a copy of the server's binary, which later builds do not change
	tmp          string // of this run
	out          io.Writer
	commit       string
	version      string
	built        map[string]string // test binaries, by what they are of
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("deep", flag.ContinueOnError)
	root := flags.String("root", ".", "the `directory` of the repository")
	bin := flags.String("bin", "bin/proglog", "the built `binary`")
	length := flags.Duration("for", 2*time.Hour, "how long to run")
	only := flags.String("parts", "", "only parts whose names begin with one of these, with commas")
	sums := flags.Bool("sums", false, "print the ledger's sums, put them into README.md, and run nothing")
	add := flags.String("add", "", "a `file` that PROGLOG_LEDGER named in a run by hand: add its lines to the ledger, and run nothing")
	commit := flags.String("commit", "", "with -add: the `commit` that was run by hand; empty: that of the tree")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	b := &bench{root: *root, ledger: filepath.Join(*root, ledgerFile), out: out, built: map[string]string{}}
	parts, err := allParts(b.root)
	if err != nil {
		return err
	}
	if b.version, b.commit, err = describe(b.root); err != nil {
		return err
	}
	if *commit != "" {
		b.commit = *commit
	}
	switch {
	case *add != "":
		if err := b.addByHand(*add); err != nil {
			return err
		}
	case !*sums:
		if b.tmp, err = os.MkdirTemp("", "proglog-deep-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(b.tmp)) }()
		if b.bin, err = copyBinary(*bin, b.tmp); err != nil {
			return err
		}
		err = b.goOn(ctx, chosen(parts, *only), *length)
	}
	rows, sumsErr := ledger.Read(b.ledger)
	if sumsErr == nil {
		fmt.Fprint(out, "\n"+table(rows, parts))
		sumsErr = writeReadme(filepath.Join(b.root, readmeFile), rows, parts)
	}
	return errors.Join(err, sumsErr)
}

func chosen(parts []part, only string) (list []part) {
	for _, p := range parts {
		for prefix := range strings.SplitSeq(only, ",") {
			if strings.HasPrefix(p.name, prefix) {
				list = append(list, p)
				break
			}
		}
	}
	return list
}

// Bounds of a slice: parts take turns often enough, and get something done in each.
const (
	shortest = 5 * time.Second
	longest  = 2 * time.Minute
)

// goOn gives each part its share of the time, a slice at a time: next is always
// the one that is furthest behind its share and, where several are, has waited
// for the longest by the ledger. So runs of any length advance all of them.
func (b *bench) goOn(ctx context.Context, parts []part, length time.Duration) error {
	if len(parts) == 0 {
		return errors.New("there is no such part")
	}
	deadline := time.Now().Add(length)
	slice := min(longest, max(shortest, length/time.Duration(4*len(parts))))
	used := make([]time.Duration, len(parts))
	over := make([]bool, len(parts)) // cannot run here, or needs no second slice in a run
	for ctx.Err() == nil && time.Until(deadline) > 0 {
		rows, err := ledger.Read(b.ledger)
		if err != nil {
			return err
		}
		at := -1
		for i, p := range parts {
			if over[i] {
				continue
			}
			if at < 0 || behind(used[i], p, used[at], parts[at], rows) {
				at = i
			}
		}
		if at < 0 {
			return nil
		}
		p := &parts[at]
		began := time.Now()
		r, repeat, err := p.run(ctx, b, rows, min(max(slice, p.least), max(shortest, time.Until(deadline))))
		used[at] += time.Since(began)
		if ctx.Err() != nil {
			break
		}
		over[at] = p.once
		if errors.Is(err, errSkipped) {
			over[at] = true
			fmt.Fprintf(b.out, "%-26s SKIP %v\n", p.name, err)
			continue
		}
		if r.Part != "" { // the battery writes its rows itself
			if err := b.record(r); err != nil {
				return err
			}
		}
		if err != nil {
			return fmt.Errorf("%s failed: %w\nto repeat it: %s", p.name, err, repeat)
		}
	}
	return ctx.Err()
}

// behind says whether p has had less of its share than q.
func behind(used time.Duration, p part, usedOf time.Duration, q part, rows []ledger.Row) bool {
	one, other := used.Seconds()/p.share, usedOf.Seconds()/q.share
	if one != other {
		return one < other
	}
	return lastDate(rows, p.name) < lastDate(rows, q.name)
}

func lastDate(rows []ledger.Row, part string) (date string) {
	for _, r := range rows {
		if r.Part == part {
			date = max(date, r.Date)
		}
	}
	return date
}

// record completes a row, adds it to the ledger and tells it.
func (b *bench) record(r ledger.Row) error {
	if r.Date == "" {
		r.Date = time.Now().UTC().Format(time.DateTime)
	}
	r.Version, r.Commit, r.Go, r.Machine = b.version, b.commit, runtime.Version(), ledger.Machine()
	r.Seconds = float64(int(r.Seconds*1000)) / 1000
	fmt.Fprintf(b.out, "%-26s %d–%d: %d in %.1f s, %d failures\n", r.Part, r.From, r.To, r.Count, r.Seconds, r.Failures)
	return ledger.Append(b.ledger, r)
}

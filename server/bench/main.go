// Command bench measures our engine and our server beside other ways to keep
// records, on this machine and this disk, and compares the figures with the goals.
//
//	make bench                        everything, more than half an hour
//	make bench ARGS="-quick"          the cells that matter most, some minutes
//	make bench ARGS="-rows G3,G4"     what these goals need
//	make bench ARGS="-rows SDK"       each SDK beside the stock clients of its language
//
// Figures of one machine at one time say little. Ratios of peers that took turns
// say more, so that is what the goals are about. Every run reads back what was
// acked, and a bench that finds a record missing fails.
//
// Servers are processes of their own, reached over loopback through the clients
// they come with. Those that no module brings, Redis and Kafka, are measured where
// they are installed, Kafka also where Maven can bring it, and otherwise told as
// SKIP, and so are the SDKs of languages whose tools are not there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/report"
	"github.com/proglog/proglog/server/internal/vfs"
)

func main() {
	if was, err := child.Main(); was {
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench child:", err)
			os.Exit(1)
		}
		return
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the whole program. The tables go to stdout, progress to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	return bench(ctx, o, stdout, stderr)
}

func bench(ctx context.Context, o *options, stdout, stderr io.Writer) (err error) {
	cells := o.choose(plan(o))
	if o.list {
		for _, c := range cells {
			fmt.Fprintln(stdout, c.name)
		}
		return nil
	}
	if len(cells) == 0 {
		return errors.New("no cell is left by -run, -rows and -quick together; -list alone shows all")
	}
	dir, err := os.MkdirTemp(o.dir, ".proglog-bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := checkSpace(dir, cells, stderr); err != nil {
		return err
	}
	stop, err := o.profiles.start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	facts := report.Machine(dir, time.Now())
	watch := measure.NewWatch()
	began := time.Now()
	r, err := runCells(ctx, cells, dir, stderr)
	if err != nil {
		return err
	}
	facts = append(facts,
		fmt.Sprintf("took %s; load when it ended: %s; others used %s of the processors meanwhile",
			time.Since(began).Round(time.Second), report.LoadAverage(), report.Percent(watch.Others())),
		fmt.Sprintf("%d rounds, %s a run", o.rounds, o.time))
	return write(o, r, facts, stdout)
}

// runCells runs all cells, and says on the way where it is.
func runCells(ctx context.Context, cells []cell, dir string, progress io.Writer) (*results, error) {
	r := &results{}
	began := time.Now()
	for i, c := range cells {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var left string
		if i > 0 {
			left = fmt.Sprintf(", about %s left", (time.Since(began) / time.Duration(i) * time.Duration(len(cells)-i)).Round(time.Second))
		}
		fmt.Fprintf(progress, "%d of %d%s: %s\n", i+1, len(cells), left, c.name)
		if err := c.run(ctx, dir, r); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return r, nil
}

// checkSpace says how much the cells may take of the disk, and refuses if there
// is less.
func checkSpace(dir string, cells []cell, progress io.Writer) error {
	var need int64
	for _, c := range cells {
		need = max(need, c.space)
	}
	free, err := vfs.OS(dir).Free()
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "data goes to %s and is removed at the end; at most %s at a time, %s are free\n",
		dir, report.Bytes(need), report.Bytes(int64(free)))
	if free < uint64(need)+spareBytes {
		return fmt.Errorf("%s are free in %s, up to %s are needed: choose another -dir, fewer -rounds, or -quick",
			report.Bytes(int64(free)), dir, report.Bytes(need+spareBytes))
	}
	return nil
}

// spareBytes is left to others.
const spareBytes = 1 << 30

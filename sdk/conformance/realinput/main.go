// Command realinput puts a large real text through the built proglog binary, as
// a user would: proglog produce, proglog consume, and the very same bytes have
// to come back.
//
// It runs three trials, each on data directories of its own:
//
//   - round trip: one file in, the same file out, with the figures of both ways;
//   - kill: the server is killed with SIGKILL while produce runs, and started
//     again. Produce has to stop by itself and say how many lines are
//     acknowledged and which are unknown; that report is held against what is
//     in the log, the remaining lines are produced, and the log has to be the
//     input;
//   - writers: the same with several producers at once in one log.
//
// Every trial ends with proglog verify of its data directory.
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
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// command is the program. It returns the exit code: 0 done, 1 failed, 2 wrong
// usage.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	r := run{out: stdout}
	flags := flag.NewFlagSet("realinput", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "Usage: realinput [flags] [FILE or DIR...]\n\n"+
			"The input is made of the text files named, or of the system's logs and Go's own sources.\n\n")
		flags.PrintDefaults()
	}
	parent := flags.String("dir", os.TempDir(), "`directory` on the disk to use; all that is made there is removed again, unless a trial fails")
	megabytes := flags.Float64("mb", 100, "size of the input, in `MB` of a million bytes")
	flags.StringVar(&r.bin, "bin", os.Getenv("PROGLOG_BIN"), "the proglog `binary`; make build makes it")
	flags.IntVar(&r.kills, "kills", 5, "`number` of times to kill the server, each at another place of the input")
	flags.IntVar(&r.writers, "writers", 4, "`number` of producers that write at once, 1 to 9")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if r.bin == "" || *megabytes <= 0 || r.kills < 0 || r.writers < 1 || r.writers > 9 {
		fmt.Fprintln(stderr, "realinput: -bin or PROGLOG_BIN has to name the binary, -mb be above 0, -kills 0 or more, -writers 1 to 9")
		return 2
	}
	dir, err := os.MkdirTemp(*parent, "proglog-realinput-")
	if err != nil {
		fmt.Fprintln(stderr, "realinput:", err)
		return 1
	}
	r.dir = dir
	failed := r.all(ctx, int64(*megabytes*1e6), flags.Args())
	if failed != nil && ctx.Err() == nil {
		fmt.Fprintf(stderr, "realinput: FAILED: %v\nrealinput: what it left is in %s\n", failed, dir)
		return 1
	}
	if ctx.Err() != nil {
		failed = errors.New("interrupted")
	}
	if err := errors.Join(failed, os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(stderr, "realinput:", err)
		return 1
	}
	return 0
}

// run is one run of the program.
type run struct {
	bin     string // the binary
	dir     string // for everything that is made
	out     io.Writer
	kills   int
	writers int
	input   *input
}

// all makes the input from sources and runs the trials.
func (r *run) all(ctx context.Context, size int64, sources []string) (err error) {
	// The binary runs in other directories than this one.
	if r.bin, err = filepath.Abs(r.bin); err != nil {
		return err
	}
	if len(sources) == 0 {
		if sources, err = defaultSources(ctx); err != nil {
			return err
		}
	}
	printMachine(r.out)
	r.input, err = makeInput(filepath.Join(r.dir, "input"), size, sources)
	if err != nil {
		return fmt.Errorf("make the input: %w", err)
	}
	fmt.Fprintf(r.out, "input       %v\n", r.input)
	if err := r.roundTrip(ctx); err != nil {
		return fmt.Errorf("round trip: %w", err)
	}
	for i := range r.kills {
		if err := r.kill(ctx, i, killPoint(i)); err != nil {
			return fmt.Errorf("kill %d of %d: %w", i+1, r.kills, err)
		}
		if err := r.goOn(ctx, i, killPoint(i)); err != nil {
			return fmt.Errorf("kill %d of %d, with an identity: %w", i+1, r.kills, err)
		}
	}
	if err := r.manyWriters(ctx); err != nil {
		return fmt.Errorf("writers: %w", err)
	}
	fmt.Fprintln(r.out, "verify      every byte of every data directory is as it was written")
	return nil
}

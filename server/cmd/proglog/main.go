// Command proglog is an append-only commit log: the server, and the tools to
// write to it, read from it and check its files.
//
// Each command is a function in a file of its own. Exit codes: 0 done, 1
// failed, 2 wrong usage.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// A command is one thing that the binary does. Its run function gets the
// arguments after the command's name and returns the exit code. The context
// ends with the first SIGINT or SIGTERM; the second one ends the process.
type command struct {
	name    string
	summary string // completes "proglog NAME: …" in the usage text
	run     func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int
}

// commands returns every command in the order of the usage text.
func commands() []command {
	return []command{
		{"serve", "run the server", serve},
		{"produce", "append records from files or standard input", produce},
		{"consume", "print records, and follow what comes", consume},
		{"logs", "list, create, describe, trim, seal and delete logs", logs},
		{"bench", "put load on a server, and hold what it acknowledged against what it has", bench},
		{"verify", "check every byte of a data directory", verify},
		{"repair", "copy what is good of a damaged data directory to a new one", repair},
		{"dump", "print what is in the files of a data directory, frame by frame", dump},
		{"version", "print the version", version},
	}
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	go watchSignals(cancel)
	os.Exit(dispatch(ctx, commands(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// watchSignals asks to stop at the first signal and ends the process at the
// second, which is safe: what was acknowledged is on the disk.
func watchSignals(stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	<-signals
	stop()
	<-signals
	fmt.Fprintln(os.Stderr, "proglog: a second signal ends it at once")
	os.Exit(exitFailed)
}

// dispatch runs the command that args name.
func dispatch(ctx context.Context, all []command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		printUsage(stderr, all)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		printUsage(stdout, all)
		return exitOK
	case "-version", "--version":
		args[0] = "version"
	}
	for _, c := range all {
		if c.name == args[0] {
			return c.run(ctx, args[1:], stdin, stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "proglog: there is no command %q; `proglog help` lists them\n", args[0])
	return exitUsage
}

func printUsage(w io.Writer, all []command) {
	fmt.Fprint(w, "proglog is an append-only commit log.\n\nUsage: proglog COMMAND [flags]\n\n")
	for _, c := range all {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\n`proglog COMMAND -h` lists the flags of a command and their environment twins.\n")
}

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	proglog "github.com/proglog/proglog/sdk/go"
)

// logsConfig is what the flags of logs say.
type logsConfig struct {
	addr     string
	json     bool
	maxAge   time.Duration
	maxBytes int64
	retain   bool // one of the two above was given
}

// logsAction is one thing that logs does.
type logsAction struct {
	name  string
	usage string // behind the name
	does  string
	args  int // that it takes, at least
	more  int // and at most
	sets  bool
	run   func(l *logsRun, ctx context.Context, args []string) error
}

// logsActions returns what logs can do, in the order of its help.
func logsActions() []logsAction {
	return []logsAction{
		{"list", "[PREFIX]", "list the logs whose names begin so", 0, 1, false, (*logsRun).list},
		{"create", "NAME", "make a log", 1, 1, true, (*logsRun).create},
		{"describe", "[NAME]", "describe a log, the limits in force and what the server can do; without a name the default log", 0, 1, false, (*logsRun).describe},
		{"retain", "NAME", "change how long a log keeps records; without a flag for ever", 1, 1, true, (*logsRun).retainLog},
		{"trim", "NAME OFFSET", "remove the records below an offset; '' is the default log", 2, 2, false, (*logsRun).trim},
		{"seal", "NAME", "let a log take no more records, ever", 1, 1, false, (*logsRun).seal},
		{"delete", "NAME", "remove a log and its records", 1, 1, false, (*logsRun).remove},
	}
}

// logsRun is one run of logs.
type logsRun struct {
	config logsConfig
	client *proglog.Client
	out    io.Writer
}

// logs administers the logs of a server.
func logs(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		if len(args) == 0 {
			printLogsUsage(stderr)
			return exitUsage
		}
		printLogsUsage(stdout)
		return exitOK
	}
	for _, action := range logsActions() {
		if action.name == args[0] {
			return runLogs(ctx, action, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "proglog logs: there is no %q; `proglog logs -h` lists what there is\n", args[0])
	return exitUsage
}

func printLogsUsage(w io.Writer) {
	fmt.Fprint(w, "Usage: proglog logs ACTION [flags]\n\n")
	for _, a := range logsActions() {
		fmt.Fprintf(w, "  %-8s %-12s %s\n", a.name, a.usage, a.does)
	}
	fmt.Fprint(w, "\n`proglog logs ACTION -h` lists the flags of an action.\n")
}

// runLogs reads the flags of an action and does it.
func runLogs(ctx context.Context, action logsAction, args []string, stdout, stderr io.Writer) int {
	name := "logs " + action.name
	var config logsConfig
	fs := newFlags(name, name+" [flags] "+action.usage, stderr)
	fs.StringVar(&config.addr, "addr", defaultAddr, "`URL` of the server")
	fs.BoolVar(&config.json, "json", false, "print JSON, an object to a line")
	if action.sets {
		fs.DurationVar(&config.maxAge, "max-age", 0, "how long records are kept, a `duration`; 0: for ever")
		fs.Var(newSize(&config.maxBytes, 0), "max-bytes", "how many `bytes` of records are kept, such as 1048576, 512KiB, 3MiB or 2GiB; 0: no bound")
	}
	others, code, ok := parseMixed(fs, args)
	if !ok {
		return code
	}
	fs.Visit(func(f *flag.Flag) { config.retain = config.retain || f.Name == "max-age" || f.Name == "max-bytes" })
	if len(others) < action.args || len(others) > action.more || config.maxAge < 0 {
		fmt.Fprintf(stderr, "usage: proglog %s [flags] %s\n", name, action.usage)
		return exitUsage
	}
	if action.name == "trim" {
		if _, err := strconv.ParseUint(others[1], 10, 64); err != nil {
			fmt.Fprintf(stderr, "proglog %s: %q is no offset\n", name, others[1])
			return exitUsage
		}
	}
	shared := clientFlags{addr: config.addr}
	client, err := shared.connect()
	if err != nil {
		fmt.Fprintf(stderr, "proglog %s: --addr: %v\n", name, err)
		return exitUsage
	}
	defer client.Close()
	if err := action.run(&logsRun{config: config, client: client, out: stdout}, ctx, others); err != nil {
		printFailure(stderr, name, config.addr, err)
		return exitFailed
	}
	return exitOK
}

func (l *logsRun) list(ctx context.Context, args []string) error {
	prefix := ""
	if len(args) > 0 {
		prefix = args[0]
	}
	table := tabwriter.NewWriter(l.out, 0, 8, 2, ' ', 0)
	if !l.config.json {
		fmt.Fprintln(table, "NAME\tFIRST\tNEXT\tBYTES\tLAST RECORD\tSEALED")
	}
	for info, err := range l.client.Logs(ctx, prefix) {
		if err != nil {
			_ = table.Flush() // what came before the failure
			return err
		}
		if l.config.json {
			if err := l.print(&info); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\t%s\n", shownName(info.Name), info.FirstOffset, info.NextOffset,
			info.Bytes, shownTime(info.LastTime), yes(info.Sealed))
	}
	return table.Flush()
}

func (l *logsRun) create(ctx context.Context, args []string) error {
	var settings []proglog.LogSetting
	if l.config.retain {
		settings = append(settings, l.retention())
	}
	info, err := l.client.CreateLog(ctx, args[0], settings...)
	if err != nil {
		return err
	}
	return l.print(&info)
}

func (l *logsRun) retention() proglog.LogSetting {
	return proglog.Retain(proglog.Retention{MaxAge: l.config.maxAge, MaxBytes: uint64(l.config.maxBytes)})
}

func (l *logsRun) describe(ctx context.Context, args []string) error {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	info, err := l.client.DescribeLog(ctx, name)
	if err != nil {
		return err
	}
	return l.print(&info)
}

func (l *logsRun) retainLog(ctx context.Context, args []string) error {
	if _, err := l.client.DescribeLog(ctx, args[0]); err != nil {
		return err // setting something would make the log
	}
	info, _, err := l.client.PutLog(ctx, args[0], l.retention())
	if err != nil {
		return err
	}
	return l.print(&info)
}

func (l *logsRun) trim(ctx context.Context, args []string) error {
	offset, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	first, err := l.client.TrimLog(ctx, args[0], offset)
	if err != nil {
		return err
	}
	if l.config.json {
		return json.NewEncoder(l.out).Encode(map[string]uint64{"first_offset": first})
	}
	_, err = fmt.Fprintf(l.out, "the log %s begins at offset %d\n", shownName(args[0]), first)
	return err
}

func (l *logsRun) seal(ctx context.Context, args []string) error {
	info, err := l.client.SealLog(ctx, args[0])
	if err != nil {
		return err
	}
	return l.print(&info)
}

func (l *logsRun) remove(ctx context.Context, args []string) error {
	return l.client.DeleteLog(ctx, args[0])
}

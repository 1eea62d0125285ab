package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	proglog "github.com/proglog/proglog/sdk/go"
)

// outputBuffer is how much of the output is written at once.
const outputBuffer = 256 << 10

// consumeConfig is what the flags of consume say.
type consumeConfig struct {
	clientFlags
	from   string
	follow bool
	count  uint64
	until  offset
	logID  string
	format string
}

// consume prints the records of a log.
func consume(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	var config consumeConfig
	fs := newFlags("consume", "consume [flags]\n\n"+
		"Prints the records of a log, from the first to the last that is there now.", stderr)
	config.register(fs)
	fs.StringVar(&config.from, "from", "earliest", "where to `start`: earliest, an offset, -N for the last N records, end for those to come, or a time such as 2026-01-31T12:00:00Z")
	fs.BoolVar(&config.follow, "follow", false, "at the end wait for more, until interrupted")
	fs.Uint64Var(&config.count, "n", 0, "stop after this many records, a `count`; 0: no bound")
	fs.Var(&config.until, "until", "stop before this `offset`; with --follow, wait until the records below it are there")
	fs.StringVar(&config.logID, "log-id", "", "read only the log with this identity, an `id` as logs describe tells; another log of the name is a failure")
	fs.StringVar(&config.format, "format", formatLines,
		"`format` of the output: lines (each value with a newline), json (an object to a line), delimited (each value with its length as a varint in front); produce reads the same variable")
	others, code, ok := parseMixed(fs, args)
	if !ok {
		return code
	}
	options, write, err := config.check(others)
	if err != nil {
		fmt.Fprintf(stderr, "proglog consume: %v\n", err)
		return exitUsage
	}
	client, err := config.connect()
	if err != nil {
		fmt.Fprintf(stderr, "proglog consume: --addr: %v\n", err)
		return exitUsage
	}
	defer client.Close()
	signal.Ignore(syscall.SIGPIPE) // a write then fails with EPIPE, which is no error

	err = config.copy(ctx, client, options, write, stdout)
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE):
		return exitOK
	case config.follow && ctx.Err() != nil:
		return exitOK // an interrupt is how following ends
	}
	printFailure(stderr, "consume", config.addr, err)
	return exitFailed
}

// check turns the flags into the options of the read and the writer of records.
func (c *consumeConfig) check(others []string) ([]proglog.ReadOption, recordWriter, error) {
	if len(others) > 0 {
		return nil, nil, fmt.Errorf("%q is too much: it takes flags only", others[0])
	}
	options := []proglog.ReadOption{proglog.InLog(c.log)}
	start, err := parseFrom(c.from)
	if err != nil {
		return nil, nil, err
	}
	options = append(options, start)
	if !c.follow {
		options = append(options, proglog.ToTail())
	}
	if c.count > 0 {
		options = append(options, proglog.BatchRecords(uint32(min(c.count, proglog.DefaultReadRecords))))
	}
	if c.until.given {
		options = append(options, proglog.Until(c.until.value))
	}
	if c.logID != "" {
		options = append(options, proglog.OnlyLog(c.logID))
	}
	write := newRecordWriter(c.format)
	if write == nil {
		return nil, nil, fmt.Errorf("--format is %q: use lines, json or delimited%s", c.format, formatTwin(c.format))
	}
	return options, write, nil
}

// parseFrom reads the value of --from.
func parseFrom(s string) (proglog.ReadOption, error) {
	switch s {
	case "earliest":
		return proglog.FromEarliest(), nil
	case "end":
		return proglog.FromEnd(0), nil
	}
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return proglog.FromTime(at), nil
	}
	digits, last := strings.CutPrefix(s, "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case err != nil:
		return nil, fmt.Errorf("--from is %q: use earliest, an offset, -N, end or a time such as 2026-01-31T12:00:00Z", s)
	case last:
		return proglog.FromEnd(n), nil
	}
	return proglog.From(n), nil
}

// copy writes the records until there are no more, or enough. What it has read
// before a failure is written.
func (c *consumeConfig) copy(ctx context.Context, client *proglog.Client, options []proglog.ReadOption,
	write recordWriter, stdout io.Writer,
) error {
	out := bufio.NewWriterSize(stdout, outputBuffer)
	left := c.count
	for batch, err := range client.Batches(ctx, options...) {
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
		for i := range batch.Records {
			if err := write(out, &batch.Records[i]); err != nil {
				return err
			}
			if left--; left == 0 {
				return out.Flush()
			}
		}
		if c.follow {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

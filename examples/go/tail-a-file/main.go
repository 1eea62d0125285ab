// Tail-a-file appends the lines of a growing file to a log. However often it is
// stopped, killed or started again, each line is in the log once.
//
// It needs no place to keep its own: each record has a header with the position in
// the file behind its line, so the last record of the log tells where to go on.
// Every append names the offset that it has to get. An append that was thought lost
// and arrives late, or a second program on the same file, is refused by that.
//
// Start a server with make run, then: go run ./examples/go/tail-a-file FILE
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	proglog "github.com/proglog/proglog/sdk/go"
)

const (
	// positionHeader names the header that tells where the next line begins.
	positionHeader = "next-position"
	// pollInterval is how often the file is looked at when it does not grow.
	pollInterval = 200 * time.Millisecond
)

func main() {
	addr := flag.String("addr", "http://127.0.0.1:8400", "the server")
	log := flag.String("log", "lines", "the log; it is made if it is not there, and holds one file")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: tail-a-file [--addr URL] [--log NAME] FILE")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *addr, *log, flag.Arg(0))
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "tail-a-file:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr, log, path string) error {
	client, err := proglog.New(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, _, err := client.PutLog(ctx, log); err != nil {
		return fmt.Errorf("make the log %q: %w", log, err)
	}
	file, err := openLines(path)
	if err != nil {
		return err
	}
	defer file.close()

	for {
		err := follow(ctx, client, log, file)
		if !errors.Is(err, proglog.ErrOutcomeUnknown) && proglog.ReasonOf(err) != proglog.ReasonOffsetMismatch {
			return err
		}
		// The lines are in the log, or they are not: its last record tells.
		fmt.Fprintln(os.Stderr, "tail-a-file: looking at the log again:", err)
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// follow appends lines, from where the log's last record says, until an error.
func follow(ctx context.Context, client *proglog.Client, log string, file *lines) error {
	position, offset, err := place(ctx, client, log)
	if err != nil {
		return err
	}
	for {
		found, err := file.next(position)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			if err := pause(ctx); err != nil {
				return err
			}
			continue
		}
		records := make([]proglog.Record, len(found))
		for i, line := range found {
			position += int64(len(line)) + 1
			records[i] = proglog.Record{Value: line, Headers: []proglog.Header{
				{Name: positionHeader, Value: strconv.AppendInt(nil, position, 10)},
			}}
		}
		ack, err := client.ProduceBatch(ctx, records, proglog.InLog(log), proglog.ExpectOffset(offset))
		if err != nil {
			return fmt.Errorf("append %d lines: %w", len(records), err)
		}
		for i, line := range found {
			fmt.Printf("%d: %s\n", ack.Offset+uint64(i), line)
		}
		offset = ack.NextOffset
	}
}

// place reads from the log how far the file has been read, and which offset the
// next line gets.
func place(ctx context.Context, client *proglog.Client, log string) (position int64, offset uint64, err error) {
	info, err := client.DescribeLog(ctx, log)
	if err != nil {
		return 0, 0, err
	}
	if info.NextOffset == 0 {
		return 0, 0, nil
	}
	last, err := client.ConsumeBatch(ctx, proglog.InLog(log), proglog.FromEnd(1))
	if err != nil {
		return 0, 0, err
	}
	if len(last.Records) == 0 {
		return 0, 0, fmt.Errorf("all records of %q were trimmed: nothing tells how far the file was read", log)
	}
	record := last.Records[len(last.Records)-1]
	for _, header := range record.Headers {
		if header.Name == positionHeader {
			position, err = strconv.ParseInt(string(header.Value), 10, 64)
			return position, record.Offset + 1, err
		}
	}
	return 0, 0, fmt.Errorf("record %d of %q is none of this program's: choose another log", record.Offset, log)
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(pollInterval):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

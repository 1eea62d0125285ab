package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	plog "github.com/proglog/proglog/server/log"
)

// dump prints what is in the files of a data directory that no server has open,
// frame by frame, with what is wrong with each.
func dump(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	flags := newFlags("dump", "dump [flags] DIR", stderr)
	var options plog.DumpOptions
	var asJSON bool
	flags.Var(optionalText{&options.Log}, "log", "only what is of the log with this `name`; '' is the default log")
	flags.Uint64Var(&options.From, "from", 0, "only frames that hold this `offset` or later ones")
	flags.Var(newCount(&options.Most, 0), "n", "at most this `number` of frames; 0: all")
	flags.BoolVar(&asJSON, "json", false, "a line of JSON for each thing")
	others, code, ok := parseMixed(flags, args)
	if !ok {
		return code
	}
	if len(others) != 1 {
		fmt.Fprintln(stderr, "proglog dump: give one data directory, such as: proglog dump ./data")
		return exitUsage
	}
	signal.Ignore(syscall.SIGPIPE) // a write then fails with EPIPE, which is no error
	encoder := json.NewEncoder(stdout)
	file := ""
	err := plog.Dump(ctx, others[0], options, func(i *plog.DumpItem) error {
		if asJSON {
			return encoder.Encode(i)
		}
		if i.File != file {
			file = i.File
			if _, err := fmt.Fprintln(stdout, file); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintln(stdout, "  "+dumpLine(i))
		return err
	})
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		fmt.Fprintf(stderr, "proglog %v\n", err)
		return exitFailed
	}
	return exitOK
}

// optionalText is a flag for a text that may be left out, or be empty.
type optionalText struct{ value **string }

var _ flag.Value = optionalText{}

// String implements flag.Value.
func (o optionalText) String() string {
	if o.value == nil || *o.value == nil {
		return ""
	}
	return **o.value
}

// Set implements flag.Value.
func (o optionalText) Set(text string) error {
	*o.value = &text
	return nil
}

// dumpLine is one item, its file left out.
func dumpLine(i *plog.DumpItem) string {
	state := "ok "
	if !i.OK {
		state = "BAD"
	}
	parts := []string{fmt.Sprintf("%10d  %s  %-8s", i.Position, state, i.Kind)}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if i.Group != 0 {
		add("group %d", i.Group)
	}
	switch {
	case i.Name != nil:
		add("%s", namedLog(*i.Name))
	case i.Log != 0:
		add("log number %d", i.Log)
	}
	switch {
	case i.First != nil && i.Next != nil && *i.Next > *i.First:
		add("offsets %d to %d", *i.First, *i.Next-1)
	case i.First != nil:
		add("from offset %d", *i.First)
	}
	if i.Time != nil {
		add("%s", i.Time.Format(time.RFC3339Nano))
	}
	if i.Size > 0 {
		add("%d bytes", i.Size)
	}
	if i.Text != "" {
		add("%s", i.Text)
	}
	if i.Why != "" {
		add("%s", i.Why)
	}
	return strings.TrimRight(parts[0]+" "+strings.Join(parts[1:], "; "), " ")
}

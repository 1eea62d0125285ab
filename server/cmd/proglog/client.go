package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	proglog "github.com/proglog/proglog/sdk/go"
)

// defaultAddr is where a server listens that was not told otherwise.
const defaultAddr = "http://127.0.0.1:8400"

// clientFlags are what every command that speaks to a server takes.
type clientFlags struct {
	addr string
	log  string
}

func (c *clientFlags) register(fs *flag.FlagSet) {
	fs.StringVar(&c.addr, "addr", defaultAddr, "`URL` of the server")
	fs.StringVar(&c.log, "log", "", "`name` of the log; empty is the default log")
}

// connect makes the client. Its error is one of usage.
func (c *clientFlags) connect(opts ...proglog.Option) (*proglog.Client, error) {
	return proglog.New(c.addr, append(opts, proglog.WithUserAgent("proglog-cli"))...)
}

// parseMixed is parseFlags for a command whose flags may stand before, between
// and behind its other arguments, which it returns. All after "--" are others.
func parseMixed(fs *flag.FlagSet, args []string) (others []string, code int, ok bool) {
	for {
		code, ok = parseFlags(fs, args)
		if !ok || fs.NArg() == 0 {
			return others, code, ok
		}
		rest := fs.Args()
		if parsed := len(args) - len(rest); parsed > 0 && args[parsed-1] == "--" {
			return append(others, rest...), code, ok
		}
		others, args = append(others, rest[0]), rest[1:]
	}
}

// printFailure says why a command failed and what to do about it.
func printFailure(w io.Writer, command, addr string, err error) {
	fmt.Fprintf(w, "proglog %s: %v\n", command, err)
	if hint := hintFor(addr, err); hint != "" {
		fmt.Fprintf(w, "  %s\n", hint)
	}
}

// hintFor returns what a user can do about an error of the client.
func hintFor(addr string, err error) string {
	e, ok := errors.AsType[*proglog.Error](err)
	if !ok {
		return ""
	}
	switch e.Reason {
	case proglog.ReasonOffsetTrimmed:
		return fmt.Sprintf("the log begins at offset %d: use --from %d, or --from earliest", e.FirstOffset, e.FirstOffset)
	case proglog.ReasonOffsetUnwritten:
		return fmt.Sprintf("the next record gets offset %d: add --follow to wait for more", e.NextOffset)
	case proglog.ReasonDataDamaged:
		if e.NextOffset > e.FirstOffset {
			return fmt.Sprintf("records %d to %d are damaged: --from %d goes on behind them, and `proglog verify` tells of all damage",
				e.FirstOffset, e.NextOffset-1, e.NextOffset)
		}
	case proglog.ReasonTooLarge:
		return hintForTooLarge()
	case proglog.ReasonLogNotFound:
		return "`proglog logs list` shows those there are, `proglog logs create NAME` makes one"
	case proglog.ReasonLogChanged:
		return "another log has taken the name, or an older copy of the data was put back, so that offsets from before" +
			" mean something else now: `proglog logs describe` shows the log there is; a reader begins anew with --from earliest"
	case proglog.ReasonOffsetMismatch:
		return fmt.Sprintf("the log's next offset is %d: `proglog consume --from` shows what is there", e.NextOffset)
	case proglog.ReasonProducerFenced:
		return fmt.Sprintf("another producer has taken over; epoch %d is in force", e.Epoch)
	case proglog.ReasonStorageFull:
		return "make room on the server's disk; it goes on by itself then"
	case proglog.ReasonStorageFailed:
		return "the server has to be restarted; its own log says what failed"
	}
	if e.Code == proglog.CodeUnavailable && !e.FromServer {
		return fmt.Sprintf("is a server running at %s? `proglog serve` starts one, --addr names another", addr)
	}
	return ""
}

// hintForTooLarge names the flags that set a limit. Which of them it was, the
// message of the error tells.
func hintForTooLarge() string {
	return "`proglog serve` sets the limits, with --max-value-bytes, --max-headers, --max-header-bytes," +
		" --max-batch-records and --max-batch-bytes; `proglog produce` has a --max-value-bytes of its own"
}

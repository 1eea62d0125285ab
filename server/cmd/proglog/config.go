package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
	plog "github.com/proglog/proglog/server/log"
)

// serveConfig is everything that an operator can set, checked as a whole before
// anything is started.
type serveConfig struct {
	dataDir        string
	listen         string
	insecureListen bool
	logFormat      string
	drainTimeout   time.Duration
	create         string
	publicCache    bool
	limits         rpc.Limits
	engine         plog.Options

	address *net.TCPAddr // what listen resolves to
}

// serveFlags returns the flags of serve, which fill c.
func serveFlags(c *serveConfig, stderr io.Writer) *flag.FlagSet {
	fs := newFlags("serve", "serve [flags]", stderr)
	fs.StringVar(&c.dataDir, "data-dir", "./data", "`directory` that keeps the logs; it is made if it is not there")
	fs.StringVar(&c.listen, "listen", "127.0.0.1:8400", "`address` to listen on, HOST:PORT; port 0 takes a free one")
	fs.BoolVar(&c.insecureListen, "insecure-listen", false, "listen on an address that others can reach, without TLS and authentication")
	fs.StringVar(&c.logFormat, "log-format", "text", "`format` of the log on standard error: text or json")
	fs.DurationVar(&c.drainTimeout, "drain-timeout", 10*time.Second, "`time` that calls get to end after a SIGTERM")

	fs.StringVar(&c.create, "create-on-produce", "", "`prefix` of the names of logs that a produce may make; * is every log, empty none")
	fs.BoolVar(&c.publicCache, "public-cache", false, "let shared caches, and not just the client's own, keep answers about history")

	batch := commitlog.DefaultLimits()
	limit := func(p *int, name string, value int, usage string) { fs.Var(newSize(p, value), name, usage) }
	limit(&c.limits.Batch.ValueBytes, "max-value-bytes", batch.ValueBytes, "largest value of a record, in `bytes`")
	limit(&c.limits.Batch.Headers, "max-headers", batch.Headers, "most headers of a record, a `count`")
	limit(&c.limits.Batch.HeaderBytes, "max-header-bytes", batch.HeaderBytes, "largest headers of a record, together, in `bytes`")
	limit(&c.limits.Batch.BatchRecords, "max-batch-records", batch.BatchRecords, "most records of a batch, a `count`")
	limit(&c.limits.Batch.BatchBytes, "max-batch-bytes", batch.BatchBytes, "largest batch of two records or more, in `bytes`")
	limit(&c.limits.Batch.ProducerID, "max-producer-id-bytes", batch.ProducerID, "longest id of a producer, in `bytes`")
	read := rpc.DefaultLimits()
	limit(&c.limits.ResponseBytes, "max-response-bytes", read.ResponseBytes, "largest response of two records or more, in `bytes`")
	limit(&c.limits.MaxRecords, "max-response-records", read.MaxRecords, "most records of a response, a `count`")
	limit(&c.limits.PageSize, "max-page-size", read.PageSize, "most logs on a page of a list, a `count`")
	fs.DurationVar(&c.limits.Wait, "max-wait", read.Wait, "longest `time` that a read waits at the end of a log")
	fs.DurationVar(&c.limits.MinHeartbeat, "min-heartbeat", read.MinHeartbeat, "shortest `interval` of a stream's heartbeats")
	fs.DurationVar(&c.limits.MaxHeartbeat, "max-heartbeat", read.MaxHeartbeat, "longest `interval` of a stream's heartbeats")
	limit(&c.limits.StreamsPerConnection, "max-streams", read.StreamsPerConnection, "most calls of an HTTP/2 connection at a time, a `count`")

	e := &c.engine
	fs.Var(newSize(&e.SegmentBytes, plog.DefaultSegmentBytes), "segment-bytes", "size in `bytes` at which a segment is sealed")
	fs.Var(newSize(&e.JournalFileBytes, 0), "journal-file-bytes", "size of a journal file in `bytes`; 0 is 16MiB, or what the limits need")
	fs.Var(newSize(&e.JournalFiles, plog.DefaultJournalFiles), "journal-files", "most journal files, a `count`")
	fs.Var(newSize(&e.QueueBytes, plog.DefaultQueueBytes), "queue-bytes", "most `bytes` that wait to be appended")
	fs.Var(newSize(&e.FreeBytes, plog.DefaultFreeBytes), "min-free-bytes", "`bytes` of the disk that are left free")
	fs.Var(newSize(&e.IndexCacheBytes, plog.DefaultIndexCacheBytes), "index-cache-bytes", "most `bytes` of memory for indexes")
	fs.Var(newSize(&e.OpenFiles, 0), "open-files", "most segment files open at a time, a `count`; 0 is a quarter of what the process may open, at most 16384")
	return fs
}

// check completes the configuration, or says what is wrong with it and what to
// do.
func (c *serveConfig) check() error {
	if c.dataDir == "" {
		return errors.New("--data-dir is empty: name the directory that keeps the logs")
	}
	if c.logFormat != "text" && c.logFormat != "json" {
		return fmt.Errorf("--log-format is %q: use text or json", c.logFormat)
	}
	if c.drainTimeout <= 0 {
		return fmt.Errorf("--drain-timeout is %v: it must be above zero", c.drainTimeout)
	}
	if err := c.limits.Validate(); err != nil {
		return err
	}
	if err := rpc.CheckCreateOnProduce(c.create); err != nil {
		return fmt.Errorf("--create-on-produce: %w", err)
	}
	c.engine.Limits = c.limits.Batch
	var err error
	if c.address, err = net.ResolveTCPAddr("tcp", c.listen); err != nil {
		return fmt.Errorf("--listen is %q: use HOST:PORT, such as 127.0.0.1:8400 (%w)", c.listen, err)
	}
	if !c.address.IP.IsLoopback() && !c.insecureListen {
		return fmt.Errorf("--listen %s can be reached by others, and there is no TLS and no authentication yet: "+
			"use a loopback address, such as 127.0.0.1:8400, or add --insecure-listen if the network is trusted", c.listen)
	}
	return nil
}

// A size is a flag for a count or a number of bytes: 1048576, 1MiB or 1024KiB.
type size[T int | int64] struct{ value *T }

func newSize[T int | int64](p *T, value T) size[T] {
	*p = value
	return size[T]{p}
}

var _ flag.Value = size[int]{}

// String implements flag.Value: the shortest form that is exact.
func (s size[T]) String() string {
	if s.value == nil {
		return ""
	}
	n := int64(*s.value)
	for _, u := range units() {
		if n != 0 && n%u.bytes == 0 {
			return fmt.Sprint(n/u.bytes, u.suffix)
		}
	}
	return fmt.Sprint(n)
}

// Set implements flag.Value.
func (s size[T]) Set(text string) error {
	scale := int64(1)
	digits := text
	for _, u := range units() {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			digits, scale = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/scale || int64(T(n*scale)) != n*scale {
		return fmt.Errorf("%q is not a size: use a number of bytes, or one with KiB, MiB or GiB", text)
	}
	*s.value = T(n * scale)
	return nil
}

type unit struct {
	suffix string
	bytes  int64
}

func units() []unit {
	return []unit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
}

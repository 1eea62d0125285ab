package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
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
	origins        []string // whose pages may call
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

	fs.Var(&list{&c.origins}, "allow-origin", "`origin` whose pages may call from a browser, such as https://app.example; several with commas, or the flag again; * is all")

	batch := commitlog.DefaultLimits()
	limit := func(p *int, name string, value int, usage string) { fs.Var(newSize(p, value), name, usage) }
	number := func(p *int, name string, value int, usage string) { fs.Var(newCount(p, value), name, usage) }
	limit(&c.limits.Batch.ValueBytes, "max-value-bytes", batch.ValueBytes, "largest value of a record, in `bytes`")
	number(&c.limits.Batch.Headers, "max-headers", batch.Headers, "most headers of a record, a `count`")
	limit(&c.limits.Batch.HeaderBytes, "max-header-bytes", batch.HeaderBytes, "largest headers of a record, together, in `bytes`")
	number(&c.limits.Batch.BatchRecords, "max-batch-records", batch.BatchRecords, "most records of a batch, a `count`")
	limit(&c.limits.Batch.BatchBytes, "max-batch-bytes", batch.BatchBytes, "largest batch of two records or more, in `bytes`")
	limit(&c.limits.Batch.ProducerID, "max-producer-id-bytes", batch.ProducerID, "longest id of a producer, in `bytes`")
	read := rpc.DefaultLimits()
	limit(&c.limits.ResponseBytes, "max-response-bytes", read.ResponseBytes, "largest response of two records or more, in `bytes`")
	number(&c.limits.MaxRecords, "max-response-records", read.MaxRecords, "most records of a response, a `count`")
	number(&c.limits.PageSize, "max-page-size", read.PageSize, "most logs on a page of a list, a `count`")
	fs.DurationVar(&c.limits.Wait, "max-wait", read.Wait, "longest `time` that a read waits at the end of a log")
	fs.DurationVar(&c.limits.MinHeartbeat, "min-heartbeat", read.MinHeartbeat, "shortest `interval` of a stream's heartbeats")
	fs.DurationVar(&c.limits.MaxHeartbeat, "max-heartbeat", read.MaxHeartbeat, "longest `interval` of a stream's heartbeats")
	number(&c.limits.StreamsPerConnection, "max-streams", read.StreamsPerConnection, "most calls of an HTTP/2 connection at a time, a `count`")

	limit(&c.limits.RequestMemory, "max-request-memory", read.RequestMemory, "most `bytes` of memory that requests take until they are answered")
	number(&c.limits.Connections, "max-connections", 0, "most connections at a time, a `count`; 0 is half of what the process may open, at most 10000")

	e := &c.engine
	fs.Var(newSize(&e.SegmentBytes, plog.DefaultSegmentBytes), "segment-bytes", "size in `bytes` at which a segment is sealed")
	fs.Var(newSize(&e.JournalFileBytes, 0), "journal-file-bytes", "size of a journal file in `bytes`; 0 is 16MiB, or what the limits need")
	fs.Var(newCount(&e.JournalFiles, plog.DefaultJournalFiles), "journal-files", "most journal files, a `count`")
	fs.Var(newSize(&e.QueueBytes, plog.DefaultQueueBytes), "queue-bytes", "most `bytes` that wait to be appended")
	fs.Var(newSize(&e.FreeBytes, plog.DefaultFreeBytes), "min-free-bytes", "`bytes` of the disk that are left free")
	fs.Var(newSize(&e.TailBytes, plog.DefaultTailBytes), "tail-bytes", "most `bytes` of memory for what was appended and waits for its segment's file")
	fs.Var(newSize(&e.IndexCacheBytes, plog.DefaultIndexCacheBytes), "index-cache-bytes", "most `bytes` of memory for indexes")
	fs.Var(newCount(&e.OpenFiles, 0), "open-files", "most segment files open at a time, a `count`; 0 is a quarter of what the process may open, at most 16384")
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
	if c.listen == "" {
		return errors.New("--listen is empty: name the address to listen on, such as 127.0.0.1:8400")
	}
	if info, err := os.Stat(c.dataDir); err == nil && !info.IsDir() {
		return fmt.Errorf("--data-dir %s is a file: name a directory, or one that does not exist yet", c.dataDir)
	}
	if err := c.limits.Validate(); err != nil {
		return err
	}
	if err := rpc.CheckCreateOnProduce(c.create); err != nil {
		return fmt.Errorf("--create-on-produce: %w", err)
	}
	if err := rpc.CheckOrigins(c.origins); err != nil {
		return fmt.Errorf("--allow-origin: %w", err)
	}
	c.engine.Limits = c.limits.Batch
	if err := c.checkEngine(); err != nil {
		return err
	}
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

// checkEngine names the flag with which the engine cannot work.
func (c *serveConfig) checkEngine() error {
	all := c.engine.Validate()
	if all == nil {
		return nil
	}
	e := &c.engine
	for _, f := range []struct {
		name  string
		alone plog.Options
	}{
		{"segment-bytes", plog.Options{SegmentBytes: e.SegmentBytes}},
		{"journal-file-bytes", plog.Options{JournalFileBytes: e.JournalFileBytes}},
		{"journal-files", plog.Options{JournalFiles: e.JournalFiles}},
		{"queue-bytes", plog.Options{QueueBytes: e.QueueBytes}},
		{"min-free-bytes", plog.Options{FreeBytes: e.FreeBytes}},
		{"tail-bytes", plog.Options{TailBytes: e.TailBytes}},
		{"index-cache-bytes", plog.Options{IndexCacheBytes: e.IndexCacheBytes}},
		{"open-files", plog.Options{OpenFiles: e.OpenFiles}},
	} {
		f.alone.Limits = e.Limits
		if err := f.alone.Validate(); err != nil {
			return fmt.Errorf("--%s: %w", f.name, err)
		}
	}
	return all
}

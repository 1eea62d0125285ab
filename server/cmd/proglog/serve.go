package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"

	"github.com/proglog/proglog/server/internal/rpc"
	"github.com/proglog/proglog/server/internal/vfs"
	plog "github.com/proglog/proglog/server/log"
)

// serve runs the server until the context ends, and then drains it. This is the
// composition root: only here do the engine, the handlers and the listener meet.
func serve(ctx context.Context, args []string, _ io.Reader, _, stderr io.Writer) int {
	var c serveConfig
	fs := serveFlags(&c, stderr)
	if code, ok := parseFlags(fs, args); !ok {
		return code
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(stderr, "proglog serve: unexpected argument %q; `proglog serve -h` lists the flags\n", fs.Arg(0))
		return exitUsage
	}
	if err := c.check(); err != nil {
		fmt.Fprintf(stderr, "proglog serve: %v\n", err)
		return exitUsage
	}
	logger := newLogger(c.logFormat, stderr)
	if err := c.run(ctx, logger); err != nil {
		logger.Error("failed", "error", err, "hint", hint(err))
		return exitFailed
	}
	logger.Info("stopped")
	return exitOK
}

func newLogger(format string, w io.Writer) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

// run listens, opens the engine, serves it, and closes it when every call has
// ended. The listener comes first, so that an address in use leaves no data
// directory behind; whoever connects before the engine is open waits.
func (c *serveConfig) run(ctx context.Context, logger *slog.Logger) (err error) {
	logger.Info("starting", "version", buildVersion(), "pid", os.Getpid(), "data_dir", c.dataDir)
	listener, err := net.ListenTCP("tcp", c.address)
	if err != nil {
		return err
	}
	defer listener.Close() // the server does too
	c.engine.Logger = logger
	engine, err := plog.Open(c.dataDir, c.engine)
	if err != nil {
		return err
	}
	defer func() {
		closeErr := engine.Close()
		if closeErr == nil {
			logger.Info("the engine is closed")
		}
		err = errors.Join(err, closeErr)
	}()
	host, _, err := net.SplitHostPort(c.listen)
	if err != nil {
		return err // the configuration was checked: this does not happen
	}
	server, err := rpc.New(engine, rpc.Options{
		Limits:          c.limits,
		CreateOnProduce: c.create,
		PublicCache:     c.publicCache,
		AllowOrigins:    c.origins,
		CheckHost:       c.address.IP.IsLoopback(),
		ListenHost:      host,
		Logger:          logger,
	})
	if err != nil {
		return err
	}
	if !c.address.IP.IsLoopback() {
		logger.Warn("everyone who can reach this address can read and write every log", "addr", listener.Addr().String())
	}
	logger.Info("listening", "addr", listener.Addr().String())
	return c.serveUntil(ctx, server, listener, logger)
}

// serveUntil serves until the context ends, then drains. Calls that did not end
// in time were cut, which is no failure: whatever was acknowledged is kept.
func (c *serveConfig) serveUntil(ctx context.Context, server *rpc.Server, listener net.Listener, logger *slog.Logger) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	go giveBackAtRest(ctx)
	select {
	case err := <-served:
		return errors.Join(err, server.Close())
	case <-ctx.Done():
	}
	logger.Info("drain: a signal asked to stop; a second one stops at once", "limit", c.drainTimeout.String())
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.drainTimeout)
	defer cancel()
	err := server.Drain(limit)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return errors.Join(err, <-served)
}

// hint says what to do about an error that kept the server from starting.
func hint(err error) string {
	if _, ok := errors.AsType[*vfs.LockedError](err); ok {
		return "another process serves this data directory: stop it, or choose another with --data-dir"
	}
	if _, ok := errors.AsType[*plog.CorruptError](err); ok {
		return "nothing was changed: keep a copy of the data directory before anything else"
	}
	switch {
	case errors.Is(err, plog.ErrNotDataDir):
		return "name an empty or new directory with --data-dir, or one that proglog made"
	case errors.Is(err, syscall.ENOTDIR):
		return "a part of --data-dir is a file: name a directory"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this machine has the address: choose another with --listen"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another process listens there: stop it, or choose another address with --listen"
	case errors.Is(err, os.ErrPermission):
		return "run as a user who may do this, or choose another --data-dir or --listen"
	}
	return "see the error"
}

// Package goclients is the Go program of the contest of SDKs: sdk/go, and what its
// users would take without it, grpc-go and connect, each as their pages show them.
package goclients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proglog/proglog/server/bench/internal/talk"
)

// Clients of the program. That of connect speaks its own protocol, or gRPC.
const (
	grpcClient        = talk.Stock + "grpc"
	connectClient     = talk.Stock + "connect"
	connectGRPCClient = talk.Stock + "connect-grpc"
	batchClient       = grpcClient + talk.Batch
)

// A client does what can be asked for, with one log, over one connection. It counts
// and checks what it gets.
type client interface {
	// warm makes the connection.
	warm(ctx context.Context) error
	// produce appends one record.
	produce(ctx context.Context, value []byte) error
	// pipeline appends n records and waits for their acks at the end.
	pipeline(ctx context.Context, value []byte, n int) error
	// consume reads one record.
	consume(ctx context.Context, offset uint64) (value []byte, err error)
	// follow reads from offset 0 on, until each says so.
	follow(ctx context.Context, each func(value []byte) (more bool)) error
	close() error
}

// Main is the program.
func Main(ctx context.Context, version func(module string) string) error {
	ready := talk.Ready{
		Ready: true,
		Versions: map[string]string{
			"go": runtime.Version(), "grpc-go": version("google.golang.org/grpc"), "connect": version("connectrpc.com/connect/v2"),
		},
		Clients: []string{talk.SDK, grpcClient, connectClient, connectGRPCClient, batchClient},
	}
	return talk.Serve(ctx, os.Stdin, os.Stdout, ready, run)
}

// open makes a client for what is asked.
func open(ask talk.Ask) (client, error) {
	switch ask.Client {
	case talk.SDK:
		return newSDK(ask)
	case grpcClient:
		return newGRPC(ask, 0)
	case batchClient:
		return newGRPC(ask, batchRecords)
	case connectClient:
		return newConnect(ask)
	case connectGRPCClient:
		return newConnectGRPC(ask)
	}
	return nil, fmt.Errorf("there is no client %q", ask.Client)
}

// run does what is asked, with a client of its own.
func run(ctx context.Context, ask talk.Ask) (answer talk.Answer, err error) {
	if ask.Count < 1 || ask.Callers < 1 || ask.Value < 0 {
		return answer, fmt.Errorf("%d records of %d bytes by %d callers cannot be", ask.Count, ask.Value, ask.Callers)
	}
	c, err := open(ask)
	if err != nil {
		return answer, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	job, err := prepare(ctx, c, ask)
	if err != nil {
		return answer, err
	}
	if err := c.warm(ctx); err != nil {
		return answer, err
	}
	runtime.GC() // nobody pays for what another left behind
	began, used := time.Now(), cpuTime()
	if err := job(); err != nil {
		return answer, err
	}
	return talk.Answer{Records: ask.Count, Seconds: time.Since(began).Seconds(), CPU: (cpuTime() - used).Seconds()}, nil
}

// prepare makes what is measured.
func prepare(ctx context.Context, c client, ask talk.Ask) (func() error, error) {
	value := bytes.Repeat([]byte("x"), ask.Value)
	switch ask.Path {
	case talk.Unary:
		return func() error {
			return callers(ask, func(int) error { return c.produce(ctx, value) })
		}, nil
	case talk.Pipelined:
		return func() error { return c.pipeline(ctx, value, ask.Count) }, nil
	case talk.Consume:
		return func() error {
			return callers(ask, func(i int) error {
				got, err := c.consume(ctx, uint64(i))
				if err == nil && len(got) != ask.Value {
					err = fmt.Errorf("record %d has %d bytes, not %d", i, len(got), ask.Value)
				}
				return err
			})
		}, nil
	case talk.Follow:
		return func() error { return follow(ctx, c, ask) }, nil
	}
	return nil, fmt.Errorf("there is no path %q", ask.Path)
}

// callers does a job as often as is asked, in as many goroutines. Caller k takes
// every number that leaves k as the remainder.
func callers(ask talk.Ask, job func(i int) error) error {
	errs := make([]error, ask.Callers)
	var wg sync.WaitGroup
	for k := range ask.Callers {
		wg.Go(func() {
			for i := k; i < ask.Count && errs[k] == nil; i += ask.Callers {
				errs[k] = job(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func follow(ctx context.Context, c client, ask talk.Ask) error {
	records, size := 0, 0
	err := c.follow(ctx, func(value []byte) bool {
		records++
		size += len(value)
		return records < ask.Count
	})
	if err == nil && (records != ask.Count || size != ask.Count*ask.Value) {
		err = fmt.Errorf("%d records of together %d bytes came, not %d of %d each", records, size, ask.Count, ask.Value)
	}
	return err
}

// cpuTime is what this process has used, user and system.
func cpuTime() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

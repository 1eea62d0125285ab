// Command go is the conformance suite's adapter for the Go SDK. It reads commands
// from standard input and answers on standard output, as PROTOCOL.md says; it
// does what a user of the SDK would, and judges nothing.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	proglog "github.com/proglog/proglog/sdk/go"
)

func main() {
	a := &adapter{
		out:     json.NewEncoder(os.Stdout),
		wrong:   newMisbehaviour(os.Getenv(wrongEnv)),
		running: map[uint64]context.CancelFunc{},
		clients: map[string]*proglog.Client{}, producers: map[string]*proglog.Producer{},
		cursors: map[string]*proglog.Cursor{}, traces: map[string]*trace{},
	}
	if err := a.serve(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "adapter:", err)
		os.Exit(1)
	}
}

// adapter is everything that commands share.
type adapter struct {
	wrong *misbehaviour

	outMu sync.Mutex
	out   *json.Encoder

	mu        sync.Mutex
	running   map[uint64]context.CancelFunc // by command
	clients   map[string]*proglog.Client
	producers map[string]*proglog.Producer
	cursors   map[string]*proglog.Cursor // by client, log and name
	traces    map[string]*trace          // by client
}

// serve runs commands until the input ends, then ends what still runs.
func (a *adapter) serve(in io.Reader) error {
	ctx, cancel := context.WithCancel(context.Background())
	var commands sync.WaitGroup
	lines := bufio.NewReaderSize(in, 1<<20)
	var failure error
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if err != io.EOF {
				failure = err
			}
			break
		}
		var c command
		if err := json.Unmarshal(line, &c); err != nil {
			failure = fmt.Errorf("a command that is no JSON: %w", err)
			break
		}
		own, stop := context.WithCancel(ctx)
		a.mu.Lock()
		a.running[c.ID] = stop
		a.mu.Unlock()
		commands.Go(func() {
			defer stop()
			a.run(own, &c)
		})
	}
	cancel()
	commands.Wait()
	return errorsOf(failure, a.close())
}

// run does one command and answers it.
func (a *adapter) run(ctx context.Context, c *command) {
	answer, err := a.do(ctx, c)
	a.mu.Lock()
	delete(a.running, c.ID)
	a.mu.Unlock()
	if err != nil {
		a.say(map[string]any{"id": c.ID, "error": a.wrong.error(wireError(err))})
		return
	}
	if answer == nil {
		answer = struct{}{}
	}
	a.say(map[string]any{"id": c.ID, "ok": answer})
}

// do dispatches a command.
func (a *adapter) do(ctx context.Context, c *command) (any, error) {
	switch c.Op {
	case "hello":
		return hello(), nil
	case "client":
		return nil, a.newClient(c)
	case "cancel":
		return nil, a.cancel(c)
	case "send":
		return a.send(ctx, c)
	case "flush":
		return nil, a.flush(ctx, c)
	case "close_producer":
		return nil, a.closeProducer(ctx, c)
	case "abort_producer":
		return nil, a.abortProducer(c)
	case "traced":
		return a.traced(c)
	}
	client, err := a.client(c)
	if err != nil {
		return nil, err
	}
	if c.TimeoutMS > 0 && a.wrong.way != ignoresDeadline {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.TimeoutMS.duration())
		defer cancel()
	}
	switch c.Op {
	case "close_client":
		return nil, a.wrong.closeClient(ctx, client)
	case "produce":
		return a.produce(ctx, client, c)
	case "consume":
		return consume(ctx, client, c)
	case "consume_batch":
		return consumeBatch(ctx, client, c)
	case "read":
		return nil, a.read(ctx, client, c)
	case "producer":
		return nil, a.newProducer(client, c)
	case "cursor_get":
		return a.cursorGet(ctx, client, c)
	case "cursor_commit":
		return nil, a.cursorCommit(ctx, c)
	}
	return a.wrong.again(c, func() (any, error) { return logs(ctx, client, c) })
}

// say writes one line.
func (a *adapter) say(line any) {
	a.outMu.Lock()
	defer a.outMu.Unlock()
	if err := a.out.Encode(line); err != nil {
		fmt.Fprintln(os.Stderr, "adapter: standard output is gone:", err)
		os.Exit(1)
	}
}

// cancel ends a running command as its caller would, by its context.
func (a *adapter) cancel(c *command) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	stop, ok := a.running[c.Target]
	if !ok {
		return misuse("no command %d is running", c.Target)
	}
	if a.wrong.way != ignoresCancel {
		stop()
	}
	return nil
}

// close closes what the commands opened.
func (a *adapter) close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nobody waits for what is in flight
	for _, p := range a.producers {
		_ = p.Close(ctx)
	}
	var failure error
	for _, c := range a.clients {
		failure = errorsOf(failure, c.Close())
	}
	return failure
}

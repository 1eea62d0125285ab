package suite

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/proglog/proglog/sdk/conformance/process"
)

// endLimit is how long an adapter may take to end when its input has ended: a
// client that is closed keeps nothing alive.
const endLimit = 10 * time.Second

// Adapter is a running adapter.
type Adapter struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	script *transcript
	name   string
	exited chan struct{}
	err    error // how it exited; read it after exited is closed

	mu      sync.Mutex
	last    uint64
	pending map[uint64]*Command
	stderr  bytes.Buffer
}

// Command is a command that an adapter was given.
type Command struct {
	ID   uint64
	Op   string
	done chan struct{} // closed when it is answered

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something came
	events  []any         // records, in the order they came
	seen    int           // of events, by the case
	answer  any
	failure map[string]any // nil: it was answered with ok
}

// StartAdapter starts the program of an adapter.
func StartAdapter(a *AdapterSpec, script *transcript, name string, env ...string) (*Adapter, error) {
	cmd := exec.Command(a.argv[0], a.argv[1:]...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), a.environ()...)
	cmd.Env = append(cmd.Env, env...)
	process.DieWithParent(cmd)
	process.Group(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	run := &Adapter{
		cmd: cmd, in: in, script: script, name: name, exited: make(chan struct{}), pending: map[uint64]*Command{},
	}
	cmd.Stderr = &run.stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go run.listen(out)
	return run, nil
}

// Start gives a command to the adapter.
func (a *Adapter) Start(op string, args map[string]any) (*Command, error) {
	a.mu.Lock()
	a.last++
	c := &Command{ID: a.last, Op: op, done: make(chan struct{}), changed: make(chan struct{})}
	a.pending[c.ID] = c
	a.mu.Unlock()
	line := map[string]any{"id": c.ID, "op": op}
	for name, value := range args {
		line[name] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		return nil, err
	}
	a.script.add(a.name+" →", text)
	if _, err := a.in.Write(append(text, '\n')); err != nil {
		return nil, fmt.Errorf("adapter %s takes no more commands: %w", a.name, err)
	}
	return c, nil
}

// Wait waits until a command is answered.
func (a *Adapter) Wait(ctx context.Context, c *Command) error {
	select {
	case <-c.done:
		return nil
	case <-a.exited:
		return fmt.Errorf("adapter %s ended (%w) with %s unanswered", a.name, a.err, c.Op)
	case <-ctx.Done():
		return fmt.Errorf("%s was not answered in time", c.Op)
	}
}

// WaitAlone is Wait for a command that has delivered all that it may: a record
// more is an error at once.
func (a *Adapter) WaitAlone(ctx context.Context, c *Command) error {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if err := c.unseen(); err != nil {
			return err
		}
		select {
		case <-c.done:
			return c.unseen()
		case <-changed:
		case <-a.exited:
			return a.Wait(ctx, c)
		case <-ctx.Done():
			return a.Wait(ctx, c)
		}
	}
}

// listen takes what the adapter says.
func (a *Adapter) listen(out io.Reader) {
	defer close(a.exited)
	lines := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		a.script.add(a.name+" ←", bytes.TrimSpace(line))
		if err := a.take(line); err != nil {
			a.script.add(a.name+" !", []byte(err.Error()))
			process.Kill(a.cmd)
		}
	}
	a.err = a.cmd.Wait()
}

func (a *Adapter) take(line []byte) error {
	var said struct {
		ID    uint64
		Event map[string]any
		OK    any
		Error map[string]any
	}
	if err := json.Unmarshal(line, &said); err != nil {
		return fmt.Errorf("the adapter said what is no JSON: %w", err)
	}
	a.mu.Lock()
	c := a.pending[said.ID]
	if said.Event == nil {
		delete(a.pending, said.ID)
	}
	a.mu.Unlock()
	if c == nil {
		return fmt.Errorf("the adapter answered command %d, which does not wait for an answer", said.ID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if said.Event != nil {
		c.events = append(c.events, said.Event["record"])
	} else {
		c.answer, c.failure = said.OK, said.Error
		close(c.done)
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// Sees waits for the next records of a command and compares them.
func (c *Command) Sees(ctx context.Context, from uint64, records []record) error {
	for i, want := range records {
		got, err := c.next(ctx)
		if err != nil {
			return fmt.Errorf("record %d of %d did not come: %w", i+1, len(records), err)
		}
		if err := sameRecord(got, want, fmt.Sprint(from+uint64(i))); err != nil {
			return err
		}
	}
	return nil
}

// next waits for one record.
func (c *Command) next(ctx context.Context) (any, error) {
	for {
		c.mu.Lock()
		changed := c.changed
		if c.seen < len(c.events) {
			c.seen++
			defer c.mu.Unlock()
			return c.events[c.seen-1], nil
		}
		c.mu.Unlock()
		select {
		case <-c.done:
			// What came before the answer may have come since.
			if c.unseen() == nil {
				return nil, fmt.Errorf("%s was answered with %v %v", c.Op, c.answer, brief(c.failure))
			}
		case <-changed:
		case <-ctx.Done():
			return nil, errors.New("the time is over")
		}
	}
}

// unseen is an error if more records came than the case saw.
func (c *Command) unseen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.events) - c.seen; n > 0 {
		return fmt.Errorf("%s delivered %d records too many, the first of them %v", c.Op, n, brief(c.events[c.seen]))
	}
	return nil
}

// Runs is an error if the command is answered.
func (c *Command) Runs() error {
	select {
	case <-c.done:
		return fmt.Errorf("%s was answered with %v %v", c.Op, brief(c.answer), brief(c.failure))
	default:
		return nil
	}
}

// SawPrefix compares what was delivered and not yet seen with the first ones of
// some records, and takes it for seen.
func (c *Command) SawPrefix(from uint64, records []record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, got := range c.events[c.seen:] {
		if i >= len(records) {
			return fmt.Errorf("%s delivered more than the %d records that there are", c.Op, len(records))
		}
		if err := sameRecord(got, records[i], fmt.Sprint(from+uint64(i))); err != nil {
			return err
		}
	}
	c.seen = len(c.events)
	return nil
}

// Close ends the adapter's input and waits until it is gone.
func (a *Adapter) Close() error {
	_ = a.in.Close()
	select {
	case <-a.exited:
	case <-time.After(endLimit):
		process.Kill(a.cmd)
		<-a.exited
		return fmt.Errorf("adapter %s did not end within %v of its input", a.name, endLimit)
	}
	if a.stderr.Len() > 0 {
		a.script.add(a.name+" stderr", a.stderr.Bytes())
	}
	if a.err != nil {
		return fmt.Errorf("adapter %s ended badly: %w", a.name, a.err)
	}
	return nil
}

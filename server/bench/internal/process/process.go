// Package process runs servers as processes of their own, so that what they use
// is told from what their clients use, and ends them whatever happens.
package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits of a process's start and end.
const (
	startLimit = 60 * time.Second // a Java program takes its time
	stopLimit  = 10 * time.Second
)

// A Process is a server at work.
type Process struct {
	// Ready is what the line said that told that it is ready.
	Ready string
	// Took is how long that was after its start.
	Took time.Duration

	cmd  *exec.Cmd
	gone chan struct{}

	mu     sync.Mutex
	output []string // the last lines
}

// Start starts a command and waits until it writes a line, to either output, from
// which ready takes what it needs to know. The process ends with the context, with
// Stop, and with this process, however that ends.
func Start(ctx context.Context, cmd *exec.Cmd, ready func(line string) (string, bool)) (*Process, error) {
	p := &Process{cmd: cmd, gone: make(chan struct{})}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = write, write
	dieWithParent(cmd)
	began := time.Now()
	err = cmd.Start()
	err = errors.Join(err, write.Close())
	if err != nil {
		return nil, errors.Join(err, read.Close())
	}
	said := make(chan string, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		p.watch(read, ready, said)
	}()
	go func() {
		_ = cmd.Wait() // how it ended is in its output
		close(p.gone)
		<-drained
		_ = read.Close()
	}()
	context.AfterFunc(ctx, p.kill)
	timer := time.NewTimer(startLimit)
	defer timer.Stop()
	select {
	case p.Ready = <-said:
		p.Took = time.Since(began)
		return p, nil
	case <-p.gone:
		<-drained
		return nil, fmt.Errorf("%s ended instead of serving:\n%s", cmd.Path, p.tail())
	case <-timer.C:
		p.kill()
		return nil, fmt.Errorf("%s was not ready within %s:\n%s", cmd.Path, startLimit, p.tail())
	}
}

// keepLines is how much of the output is kept for an error.
const keepLines = 30

func (p *Process) watch(r io.Reader, ready func(string) (string, bool), said chan<- string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		p.mu.Lock()
		if p.output = append(p.output, line); len(p.output) > keepLines {
			p.output = p.output[1:]
		}
		p.mu.Unlock()
		if what, ok := ready(line); ok {
			select {
			case said <- what:
			default:
			}
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line too long must not block the process
}

func (p *Process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.output, "\n")
}

func (p *Process) kill() { _ = p.cmd.Process.Kill() } // it fails if the process is gone

// Kill ends the process at once, and returns when it is gone.
func (p *Process) Kill() {
	p.kill()
	<-p.gone
}

// Stop asks the process to end, and kills it if it does not. It returns when the
// process is gone.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	select {
	case <-p.gone:
	case <-timer.C:
		p.kill()
		<-p.gone
	}
	return nil
}

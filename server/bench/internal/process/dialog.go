package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

// A Dialog is a program that answers lines with lines, one at a time.
type Dialog struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan []byte // closed when its output ends
	gone  chan struct{}
	said  tail // on its standard error
	told  bool // that it failed
}

// StartDialog starts a program. It ends with the context, with Close, and with this
// process, however that ends.
func StartDialog(ctx context.Context, cmd *exec.Cmd) (*Dialog, error) {
	d := &Dialog{cmd: cmd, lines: make(chan []byte), gone: make(chan struct{})}
	cmd.Stderr = &d.said
	dieWithParent(cmd)
	var err error
	if d.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go d.read(out)
	context.AfterFunc(ctx, d.kill)
	return d, nil
}

// read hands on lines until the output ends, and then waits for the program: not
// before, because that closes the output.
func (d *Dialog) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d.lines <- append([]byte(nil), lines.Bytes()...)
	}
	_, _ = io.Copy(io.Discard, out) // a line too long must not block the program
	close(d.lines)
	_ = d.cmd.Wait() // how it ended is in what it said
	close(d.gone)
}

// Say writes a line.
func (d *Dialog) Say(line []byte) error {
	if _, err := d.in.Write(append(line, '\n')); err != nil {
		return d.failed(err.Error())
	}
	return nil
}

// Hear waits for the program's next line, but not longer than the limit.
func (d *Dialog) Hear(limit time.Duration) ([]byte, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case line, ok := <-d.lines:
		if !ok {
			return nil, d.failed("it ended")
		}
		return line, nil
	case <-timer.C:
		d.kill()
		return nil, d.failed(fmt.Sprintf("it said nothing within %s", limit))
	}
}

// failed makes an error of what happened and what the program said.
func (d *Dialog) failed(what string) error {
	d.told = true
	d.kill()
	for range d.lines { // it may be about to say something
	}
	<-d.gone
	return fmt.Errorf("%s: %s:\n%s", d.cmd.Path, what, d.said.text())
}

func (d *Dialog) kill() { _ = d.cmd.Process.Kill() } // it fails if the process is gone

// Close lets the program end by itself, as it does when its input ends, and kills it
// if it does not. It returns when the program is gone.
func (d *Dialog) Close() error {
	err := d.in.Close()
	timer := time.AfterFunc(stopLimit, d.kill)
	defer timer.Stop()
	for range d.lines {
	}
	<-d.gone
	if d.told || d.cmd.ProcessState.Success() {
		return nil
	}
	return errors.Join(err, fmt.Errorf("%s ended with %s:\n%s", d.cmd.Path, d.cmd.ProcessState, d.said.text()))
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

// keepBytes is how much of it.
const keepBytes = 4 << 10

// Write implements [io.Writer].
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if n := len(t.kept) - keepBytes; n > 0 {
		t.kept = append(t.kept[:0], t.kept[n:]...)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

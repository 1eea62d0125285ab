package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
)

// outcome is how a proglog produce ended, as it tells: by its exit code and by
// what it says on standard error.
type outcome struct {
	exit    int
	stderr  string
	acked   uint64 // lines that are in the log
	last    uint64 // offset of the last of them; 0 if there is none
	unknown uint64 // lines behind those that may be in the log or not
}

// producing is a proglog produce that runs.
type producing struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{} // closed when it has ended
	err    error         // of Wait; read it after done is closed
}

// produce starts a produce of what in has, or of files; further flags may be
// among them.
func (r *run) produce(ctx context.Context, addr string, in io.Reader, files ...string) (*producing, error) {
	args := append([]string{"produce", "--addr", "http://" + addr}, files...)
	p := &producing{cmd: r.command(ctx, args...), done: make(chan struct{})}
	p.cmd.Stdin = in
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start proglog produce: %w", err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// abort ends a produce that nobody needs any more.
func (p *producing) abort() {
	_ = p.cmd.Process.Kill() // it fails if the process is gone, which is as good
	<-p.done
}

// complete waits for the end of a produce that has to succeed.
func (p *producing) complete() error {
	<-p.done
	if p.err != nil {
		return fmt.Errorf("proglog produce: %w\n%s", p.err, p.stderr.Bytes())
	}
	return nil
}

// broken waits for the end of a produce that has to fail, and returns what it
// tells about the lines it sent.
func (p *producing) broken() (outcome, error) {
	<-p.done
	o := outcome{exit: p.cmd.ProcessState.ExitCode(), stderr: p.stderr.String()}
	if o.exit != 1 {
		return o, fmt.Errorf("proglog produce exited with %d, not with 1, when its server was killed (%v)\n%s",
			o.exit, p.err, o.stderr)
	}
	if err := o.parse(); err != nil {
		return o, fmt.Errorf("proglog produce says %w:\n%s", err, o.stderr)
	}
	return o, nil
}

// parse reads the report of a produce that failed. It has to name the last line
// that is acknowledged, and the first and the last that is unknown.
func (o *outcome) parse() error {
	const name = `line (\d+) of standard input`
	acked := regexp.MustCompile(`(?m)^  acknowledged: (\d+), up to ` + name + `, which is at offset (\d+)$`)
	unknown := regexp.MustCompile(`(?m)^  unknown: (\d+), from ` + name + ` to ` + name + `\b`)
	none := regexp.MustCompile(`(?m)^  acknowledged: none$`)
	nothing := regexp.MustCompile(`(?m)^  nothing else was appended$`)

	switch a := numbers(acked.FindStringSubmatch(o.stderr)); {
	case a != nil:
		o.acked, o.last = a[0], a[2]
		if a[0] == 0 || a[1] != a[0] {
			return fmt.Errorf("that %d lines are acknowledged, but that the last of them is line %d", a[0], a[1])
		}
	case !none.MatchString(o.stderr):
		return errors.New("nothing of what is acknowledged")
	}
	switch u := numbers(unknown.FindStringSubmatch(o.stderr)); {
	case u != nil:
		o.unknown = u[0]
		if u[0] == 0 || u[1] != o.acked+1 || u[2] != o.acked+u[0] {
			return fmt.Errorf("that %d lines behind line %d are unknown, but that they are %d to %d", u[0], o.acked, u[1], u[2])
		}
	case !nothing.MatchString(o.stderr):
		return errors.New("nothing of what is unknown")
	}
	return nil
}

// numbers converts the groups of a match; nil if there was none.
func numbers(match []string) []uint64 {
	if match == nil {
		return nil
	}
	var ns []uint64
	for _, group := range match[1:] {
		n, err := strconv.ParseUint(group, 10, 64)
		if err != nil {
			return nil
		}
		ns = append(ns, n)
	}
	return ns
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// awaitRecord starts a command that follows the log until the record at an offset
// is there. What it returns then is nil, or why the record cannot be awaited.
func (r *run) awaitRecord(ctx context.Context, addr string, offset uint64) <-chan error {
	cmd := r.command(ctx, "consume", "--addr", "http://"+addr,
		"--follow", "--from", strconv.FormatUint(offset, 10), "-n", "1")
	there := make(chan error, 1)
	go func() {
		said, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("wait for record %d: proglog consume: %w\n%s", offset, errors.Join(ctx.Err(), err), said)
		}
		there <- err
	}()
	return there
}

// consume gives all that is in the log to check.
func (r *run) consume(ctx context.Context, addr string, check func(io.Reader) error) error {
	ofCommand, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := r.command(ofCommand, "consume", "--addr", "http://"+addr)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start proglog consume: %w", err)
	}
	checked := check(stdout)
	if checked != nil {
		cancel() // if it still runs, what it has to say is of no use
	}
	ended := cmd.Wait()
	if ended != nil && (checked == nil || stderr.Len() > 0) {
		checked = errors.Join(checked, fmt.Errorf("proglog consume: %w\n%s", ended, stderr.Bytes()))
	}
	return errors.Join(ctx.Err(), checked)
}

// compare holds what a log gives back against the input. It has to be the input,
// or its first lines; compare returns how many.
func (in *input) compare(got io.Reader) (lines uint64, size int64, err error) {
	file, err := os.Open(in.path)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	have, want := make([]byte, 256<<10), make([]byte, 256<<10)
	last := byte('\n')
	for {
		n, readErr := io.ReadFull(got, have)
		m, err := io.ReadFull(file, want[:n])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return lines, size, err
		}
		if same := equalStart(have[:n], want[:m]); same < n {
			lines += uint64(bytes.Count(have[:same], []byte("\n")))
			return lines, size, fmt.Errorf("line %d of what came back is not that of the input (byte %d): %q instead of %q",
				lines+1, size+int64(same), around(have[:n], same), around(want[:m], same))
		}
		lines += uint64(bytes.Count(have[:n], []byte("\n")))
		size += int64(n)
		if n > 0 {
			last = have[n-1]
		}
		switch {
		case readErr == nil:
		case !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF):
			return lines, size, fmt.Errorf("read what came back: %w", readErr)
		case last != '\n':
			return lines, size, fmt.Errorf("what came back ends within line %d, at byte %d", lines+1, size)
		default:
			return lines, size, nil
		}
	}
}

// equalStart returns how many bytes at the start of a and b are the same.
func equalStart(a, b []byte) int {
	n := min(len(a), len(b))
	if bytes.Equal(a[:n], b[:n]) {
		return n
	}
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// around returns a few bytes from a place on.
func around(b []byte, at int) []byte {
	at = min(at, len(b))
	return b[at:min(at+40, len(b))]
}

// whole fails unless the log is the input.
func (r *run) whole(ctx context.Context, addr string) error {
	return r.consume(ctx, addr, func(got io.Reader) error {
		lines, size, err := r.input.compare(got)
		if err == nil && size != r.input.bytes {
			err = fmt.Errorf("%d lines came back, of %d", lines, r.input.lines)
		}
		return err
	})
}

// readLine returns the next line of r with its newline; io.EOF is behind the last.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(line) > 0 {
		return line, io.ErrUnexpectedEOF
	}
	return line, err
}

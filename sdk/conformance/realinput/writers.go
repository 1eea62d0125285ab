package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// writer is one of several producers in a log. Its input is every so many-th
// line of the real one, each behind the writer's number and its own, so that no
// two lines of all are the same.
type writer struct {
	path  string
	lines uint64
	told  outcome

	feed *feed
	run  *producing
}

// manyWriters kills the server under several producers and holds what each one
// told against what is in the log. Before it is started again, verify has to
// find nothing wrong: a kill leaves an unfinished end at most.
func (r *run) manyWriters(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	writers, err := r.split()
	if err != nil {
		return err
	}
	dataDir := filepath.Join(r.dir, "writers")
	s, err := r.serve(ctx, dataDir, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	if err := r.killUnder(ctx, s, writers); err != nil {
		return err
	}
	if err := r.verify(ctx, dataDir); err != nil {
		return fmt.Errorf("behind the kill: %w", err)
	}
	again, err := r.serveAgain(ctx, dataDir, s.addr)
	if err != nil {
		return fmt.Errorf("start the server again: %w", err)
	}
	s = again
	found, err := r.checkWriters(ctx, s.addr, writers)
	if err != nil {
		return err
	}
	acked, unknown, there := uint64(0), uint64(0), uint64(0)
	for i, w := range writers {
		if err := w.told.check(found[i].lines); err != nil {
			return fmt.Errorf("writer %d: %w", i, err)
		}
		acked, unknown, there = acked+w.told.acked, unknown+w.told.unknown, there+found[i].lines
	}
	if err := r.resumeWriters(ctx, s.addr, writers, found); err != nil {
		return fmt.Errorf("produce the remaining lines: %w", err)
	}
	fmt.Fprintf(r.out, "%d writers   %d lines acknowledged, %d unknown, %d in the log after a kill; the rest produced, every line of each there once and in order\n",
		len(writers), acked, unknown, there)
	if err := r.finish(ctx, s, dataDir); err != nil {
		return err
	}
	return os.RemoveAll(dataDir)
}

// split deals the lines of the input to the writers.
func (r *run) split() (writers []*writer, err error) {
	in, err := os.Open(r.input.path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var outs []*bufio.Writer
	for i := range r.writers {
		w := &writer{path: filepath.Join(r.dir, fmt.Sprintf("writer%d", i))}
		file, err := os.Create(w.path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		writers, outs = append(writers, w), append(outs, bufio.NewWriterSize(file, 1<<20))
	}
	lines := bufio.NewReaderSize(in, 1<<20)
	for n := 0; ; n++ {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		i := n % r.writers
		tagged := fmt.Appendf(nil, "%d %d %s", i, writers[i].lines, line[:len(line)-1])
		_, _ = outs[i].Write(tagged[:min(len(tagged), maxLine)])
		_ = outs[i].WriteByte('\n') // the writer keeps its error until it is flushed
		writers[i].lines++
	}
	for _, out := range outs {
		if err := out.Flush(); err != nil {
			return nil, err
		}
	}
	return writers, nil
}

// killUnder starts all writers, kills the server when 40 % of the lines are in
// the log, and asks every writer what it knows.
func (r *run) killUnder(ctx context.Context, s *server, writers []*writer) (err error) {
	there := r.awaitRecord(ctx, s.addr, uint64(killPoint(0)*float64(r.input.lines)))
	var running []*producing
	for _, w := range writers {
		if w.feed, err = newFeed(ctx, w.path); err != nil {
			return err
		}
		defer w.feed.file.Close()
		if w.run, err = r.produce(ctx, s.addr, w.feed, "--no-identity"); err != nil {
			return err
		}
		defer w.run.abort()
		defer w.feed.release()
		running = append(running, w.run)
	}
	if err := awaitWhile(there, running...); err != nil {
		return err
	}
	s.kill()
	for i, w := range writers {
		w.feed.release()
		if w.told, err = w.run.broken(); err != nil {
			return fmt.Errorf("writer %d: %w", i, err)
		}
	}
	return nil
}

// place is how far a writer's input is in the log.
type place struct {
	lines uint64
	bytes int64
}

// checkWriters consumes the log and matches it against what the writers sent.
func (r *run) checkWriters(ctx context.Context, addr string, writers []*writer) (found []place, err error) {
	err = r.consume(ctx, addr, func(got io.Reader) (err error) {
		found, err = match(got, writers)
		return err
	})
	return found, err
}

// match fails unless what a log gives back holds the first lines of each writer,
// in order and each once, with the last that was acknowledged at the offset that
// was told. It returns how many lines of each there are.
func match(got io.Reader, writers []*writer) (found []place, err error) {
	found = make([]place, len(writers))
	wanted := make([]*bufio.Reader, len(writers))
	for i, w := range writers {
		file, err := os.Open(w.path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		wanted[i] = bufio.NewReaderSize(file, 1<<20)
	}
	lines := bufio.NewReaderSize(got, 1<<20)
	for offset := uint64(0); ; offset++ {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read what came back: %w", err)
		}
		i := int(line[0]) - '0'
		if i < 0 || i >= len(writers) {
			return nil, fmt.Errorf("the record at offset %d is of no writer: %q", offset, around(line, 0))
		}
		want, err := readLine(wanted[i])
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if !bytes.Equal(line, want) {
			return nil, fmt.Errorf("the record at offset %d is not line %d of writer %d: %q instead of %q",
				offset, found[i].lines+1, i, around(line, 0), around(want, 0))
		}
		found[i].lines++
		found[i].bytes += int64(len(line))
		if told := writers[i].told; found[i].lines == told.acked && told.last != offset {
			return nil, fmt.Errorf("line %d of writer %d is at offset %d, but its ack told %d", told.acked, i, offset, told.last)
		}
	}
}

// resumeWriters produces the lines of every writer that are not in the log, all
// at once, and fails unless all lines of each are there then.
func (r *run) resumeWriters(ctx context.Context, addr string, writers []*writer, found []place) error {
	for i, w := range writers {
		file, err := os.Open(w.path)
		if err != nil {
			return err
		}
		defer file.Close()
		if _, err := file.Seek(found[i].bytes, io.SeekStart); err != nil {
			return err
		}
		if w.run, err = r.produce(ctx, addr, file); err != nil {
			return err
		}
		defer w.run.abort()
	}
	for i, w := range writers {
		if err := w.run.complete(); err != nil {
			return fmt.Errorf("writer %d: %w", i, err)
		}
	}
	found, err := r.checkWriters(ctx, addr, writers)
	if err != nil {
		return err
	}
	for i, w := range writers {
		if found[i].lines != w.lines {
			return fmt.Errorf("%d lines of writer %d are in the log, of %d", found[i].lines, i, w.lines)
		}
	}
	return nil
}

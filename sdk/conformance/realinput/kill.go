package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
)

// killPoint returns at what part of the input the server is killed, for the
// first time, the second, and so on: at 40 %, then spread over 5 to 85 %.
func killPoint(i int) float64 {
	const golden = 0.6180339887
	_, part := math.Modf(0.4375 + float64(i)*golden)
	return 0.05 + 0.8*part
}

// goOn kills the server when a part of the input is in the log and starts it
// again, under a produce that has to go on by itself: it ends well, and every
// line is in the log once.
func (r *run) goOn(ctx context.Context, number int, part float64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dataDir := filepath.Join(r.dir, fmt.Sprintf("goon%d", number))
	s, err := r.serve(ctx, dataDir, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	in, err := newFeed(ctx, r.input.path)
	if err != nil {
		return err
	}
	defer in.file.Close()
	there := r.awaitRecord(ctx, s.addr, uint64(part*float64(r.input.lines)))
	p, err := r.produce(ctx, s.addr, in)
	if err != nil {
		return err
	}
	defer p.abort()
	defer in.release()

	if err := awaitWhile(there, p); err != nil {
		return err
	}
	s.kill()
	in.release()
	again, err := r.serveAgain(ctx, dataDir, s.addr)
	if err != nil {
		return fmt.Errorf("start the server again: %w", err)
	}
	s = again
	if err := p.complete(); err != nil {
		return err
	}
	if err := r.whole(ctx, s.addr); err != nil {
		return err
	}
	fmt.Fprintf(r.out, "kill at %2.0f%% produce went on by itself; the server was back after %.2f s, every line there once\n",
		100*part, s.ready.Seconds())
	if err := r.finish(ctx, s, dataDir); err != nil {
		return err
	}
	return os.RemoveAll(dataDir)
}

// kill kills the server when a part of the input is in the log, under a produce
// that sends nothing twice, starts the server again and holds what produce told against what is there. Then it produces the rest.
func (r *run) kill(ctx context.Context, number int, part float64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dataDir := filepath.Join(r.dir, fmt.Sprintf("kill%d", number))
	s, err := r.serve(ctx, dataDir, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	in, err := newFeed(ctx, r.input.path)
	if err != nil {
		return err
	}
	defer in.file.Close()
	there := r.awaitRecord(ctx, s.addr, uint64(part*float64(r.input.lines)))
	p, err := r.produce(ctx, s.addr, in, "--no-identity")
	if err != nil {
		return err
	}
	defer p.abort()
	defer in.release()

	if err := awaitWhile(there, p); err != nil {
		return err
	}
	s.kill()
	in.release()
	again, err := r.serveAgain(ctx, dataDir, s.addr)
	if err != nil {
		return fmt.Errorf("start the server again: %w", err)
	}
	s = again
	told, err := p.broken()
	if err != nil {
		return err
	}
	found, size, err := r.survivors(ctx, s.addr, told)
	if err != nil {
		return err
	}
	if err := r.resume(ctx, s.addr, size); err != nil {
		return fmt.Errorf("produce the remaining lines: %w", err)
	}
	fmt.Fprintf(r.out, "kill at %2.0f%% %d lines acknowledged, %d unknown, %d in the log; the server was back after %.2f s, the rest produced, every byte the same\n",
		100*part, told.acked, told.unknown, found, s.ready.Seconds())
	if err := r.finish(ctx, s, dataDir); err != nil {
		return err
	}
	return os.RemoveAll(dataDir)
}

// awaitWhile waits for what awaitRecord returned while producers run. It fails if
// one of them ends before.
func awaitWhile(there <-chan error, producers ...*producing) error {
	early, over := make(chan *producing, len(producers)), make(chan struct{})
	defer close(over)
	for _, p := range producers {
		go func() {
			select {
			case <-p.done:
				early <- p
			case <-over:
			}
		}()
	}
	select {
	case err := <-there:
		return err
	case p := <-early:
		return fmt.Errorf("proglog produce ended before the server was killed: %v\n%s", p.err, p.stderr.Bytes())
	}
}

// survivors consumes the log of one producer after a kill and holds it against
// what the producer told. It returns how many lines are there, and their bytes.
//
// They have to be the first lines of the input, in order and each once; all that
// were acknowledged are among them, and no line that was not sent.
func (r *run) survivors(ctx context.Context, addr string, told outcome) (found uint64, size int64, err error) {
	err = r.consume(ctx, addr, func(got io.Reader) (err error) {
		found, size, err = r.input.compare(got)
		return err
	})
	if err == nil && told.acked > 0 && told.last != told.acked-1 {
		err = fmt.Errorf("line %d is at offset %d, but its ack told %d", told.acked, told.acked-1, told.last)
	}
	if err == nil {
		err = told.check(found)
	}
	return found, size, err
}

// check fails if so many lines in the log contradict what was told.
func (o *outcome) check(found uint64) error {
	switch {
	case found < o.acked:
		return fmt.Errorf("%d lines are lost: %d were acknowledged, %d are in the log", o.acked-found, o.acked, found)
	case found > o.acked+o.unknown:
		return fmt.Errorf("%d lines are in the log, but only %d were acknowledged and %d unknown", found, o.acked, o.unknown)
	}
	return nil
}

// resume produces the lines of the input that are not in the log, from a byte
// on, and fails unless the log is the input then.
func (r *run) resume(ctx context.Context, addr string, from int64) error {
	file, err := os.Open(r.input.path)
	if err != nil {
		return err
	}
	defer file.Close()
	p, err := r.produce(ctx, addr, io.NewSectionReader(file, from, r.input.bytes-from))
	if err != nil {
		return err
	}
	if err := p.complete(); err != nil {
		return err
	}
	return r.whole(ctx, addr)
}

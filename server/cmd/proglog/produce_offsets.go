package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
)

// offsetsWaiting is how many futures may wait to be printed. It is more than a
// producer has in flight, or it would be what bounds the throughput.
const offsetsWaiting = 64 << 10

// printOffsets prints the offset of every record that is acknowledged, until the
// producer has ended. It takes every future that comes, whatever happens, since
// the reading waits for that. The end of a pipe is no error.
func printOffsets(w io.Writer, futures <-chan future, p appender) error {
	out := bufio.NewWriter(w)
	var failure error
	show := func(f future) {
		ack, err := f.Wait(context.Background())
		if err != nil || failure != nil {
			return
		}
		if _, failure = fmt.Fprintln(out, ack.Offset); failure == nil && len(futures) == 0 {
			failure = out.Flush()
		}
	}
	seen := uint64(0)
	for running := true; running; {
		select {
		case f := <-futures:
			show(f)
			seen++
		case <-p.Done():
			running = false
		}
	}
	// What was acknowledged was sent, so its future is here or just about to be.
	for acked := p.Outcome().Acked; seen < acked; seen++ {
		show(<-futures)
	}
	if failure == nil {
		failure = out.Flush()
	}
	if errors.Is(failure, syscall.EPIPE) {
		return nil
	}
	return failure
}

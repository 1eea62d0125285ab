package growth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/proglog/proglog/server/bench/internal/peer"
	plog "github.com/proglog/proglog/server/log"
)

// Memory is how much of the heap our engine takes while appends to many logs wait in
// memory for their segments.
type Memory struct {
	Logs, ValueBytes int
	Rest             int64 // bytes, with all logs open and nothing that waits
	Most             int64 // the most that was seen
}

const (
	memoryCheckpoints = 3
	memoryEach        = 50 * time.Millisecond // between two looks at the heap
)

// MeasureMemory has 256 goroutines append records one at a time, each to a log chosen
// at random, until several checkpoints were made, and collects garbage again and again
// to see what is held.
func MeasureMemory(ctx context.Context, dir string, logs, valueBytes int) (Memory, error) {
	m := Memory{Logs: logs, ValueBytes: valueBytes}
	err := within(dir, func(own string) error {
		load := peer.Load{Logs: logs, Writers: besideWriters, Batch: 1, ValueBytes: valueBytes}
		made, err := peer.Engine{}.Open(own, load)
		if err != nil {
			return err
		}
		if err := made.Close(); err != nil {
			return err
		}
		before := int64(heapAtRest())
		w := &watching{all: make(chan struct{})}
		subject, err := peer.Engine{Options: plog.Options{Logger: slog.New(w)}}.Open(own, load)
		if err != nil {
			return err
		}
		m.Rest = max(0, int64(heapAtRest())-before)
		stop := make(chan struct{})
		var looking sync.WaitGroup
		looking.Go(func() {
			for {
				m.Most = max(m.Most, int64(heap())-before)
				select {
				case <-stop:
					return
				case <-time.After(memoryEach):
				}
			}
		})
		err = w.appending(ctx, subject, load, memoryCheckpoints, func(int, call) {})
		close(stop)
		looking.Wait()
		return errors.Join(err, subject.Close())
	})
	if err != nil {
		return Memory{}, fmt.Errorf("memory of appends: %w", err)
	}
	return m, nil
}

package measure

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proglog/proglog/server/bench/internal/peer"
)

// A crew is the goroutines that append to one subject in a closed loop: each
// waits for its ack before it goes on.
type crew struct {
	subject peer.Subject
	load    peer.Load
	workers []*worker
}

// A worker appends for one goroutine and remembers every ack, so that all of
// them can be checked at the end.
type worker struct {
	writer peer.Writer
	batch  *peer.Batch
	logs   int // it chooses among as many,
	first  int // from this one on
	random *rand.Rand
	acks   []ack
}

type ack struct {
	offset uint64
	log    uint32
	nanos  uint32
}

// newCrew makes the workers of a load. Their ids go on from firstID, and they
// write to the load's logs from firstLog on.
func newCrew(s peer.Subject, load peer.Load, firstID, firstLog int) *crew {
	c := &crew{subject: s, load: load}
	for i := range load.Writers {
		id := firstID + i
		batch := peer.NewBatch(id, load.Batch, load.ValueBytes)
		c.workers = append(c.workers, &worker{
			writer: s.Writer(id, batch), batch: batch, logs: load.Logs, first: firstLog,
			random: rand.New(rand.NewPCG(uint64(id), 1)),
		})
	}
	return c
}

// bounds end a run, whichever comes first.
type bounds struct {
	time  time.Duration
	bytes int64       // of values
	stop  atomic.Bool // set from outside, and by the first failure
	acked sync.Once
	begun chan struct{} // closed by the first ack; may be nil
}

// tell closes begun.
func (b *bounds) tell() {
	if b.begun != nil {
		b.acked.Do(func() { close(b.begun) })
	}
}

// run lets all workers append from one moment on, and returns the latencies.
func (c *crew) run(b *bounds) ([]uint32, error) {
	starts := make([]int, len(c.workers))
	errs := make([]error, len(c.workers))
	gate := make(chan time.Time)
	var budget atomic.Int64
	budget.Store(b.bytes)
	var wg sync.WaitGroup
	for i, w := range c.workers {
		starts[i] = len(w.acks)
		wg.Go(func() {
			<-gate
			if errs[i] = w.run(time.Now().Add(b.time), &budget, b); errs[i] != nil {
				b.stop.Store(true)
			}
		})
	}
	close(gate)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var latencies []uint32
	for i, w := range c.workers {
		for _, a := range w.acks[starts[i]:] {
			latencies = append(latencies, a.nanos)
		}
	}
	return latencies, nil
}

// prime appends to each log once.
func (c *crew) prime() error {
	errs := make([]error, len(c.workers))
	var wg sync.WaitGroup
	for i, w := range c.workers {
		wg.Go(func() {
			for log := i; log < c.load.Logs && errs[i] == nil; log += len(c.workers) {
				errs[i] = w.append(log)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (w *worker) run(end time.Time, budget *atomic.Int64, b *bounds) error {
	size := int64(len(w.batch.Raw))
	first := true // it is appended however late it is
	for began := time.Now(); (first || began.Before(end)) && budget.Add(-size) >= 0 && !b.stop.Load(); first = false {
		log := w.first
		if w.logs > 1 {
			log += w.random.IntN(w.logs)
		}
		if err := w.append(log); err != nil {
			return err
		}
		b.tell()
		now := time.Now()
		w.acks[len(w.acks)-1].nanos = latency(now.Sub(began))
		began = now
	}
	return nil
}

// append appends the next batch and remembers the ack.
func (w *worker) append(log int) error {
	w.batch.Stamp(w.seq(len(w.acks)))
	offset, err := w.writer.Append(log)
	if err != nil {
		return err
	}
	w.acks = append(w.acks, ack{offset: offset, log: uint32(log)})
	return nil
}

// seq is the sequence number of the first record of the worker's n-th append.
func (w *worker) seq(n int) uint64 { return uint64(n) * uint64(len(w.batch.Values)) }

// acked is how many records the crew has acks for.
func (c *crew) acked() (n uint64) {
	for _, w := range c.workers {
		n += w.seq(len(w.acks))
	}
	return n
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	proglog "github.com/proglog/proglog/sdk/go"
)

// future is the acknowledgement of one record to come.
type future interface {
	Wait(ctx context.Context) (proglog.Ack, error)
}

// appender is what produce puts its records into: all in order, and none behind one
// that failed.
type appender interface {
	Send(ctx context.Context, record proglog.Record) (future, error)
	Close(ctx context.Context) error
	Done() <-chan struct{}
	Outcome() proglog.Outcome
}

// pipeline is the producer of the SDK as a appender.
type pipeline struct{ *proglog.Producer }

func (p pipeline) Send(ctx context.Context, record proglog.Record) (future, error) {
	return p.Producer.Send(ctx, record)
}

// chainPause is between two rounds of tries for a batch.
const chainPause = 100 * time.Millisecond

// A chain is a appender that names the offset of every record: batch by batch, each
// expected where the one before ended. What somebody else writes in between fails
// it. Each batch has a number of an identity, so trying again is safe.
type chain struct {
	client *proglog.Client
	config *produceConfig
	most   proglog.Limits // of a batch
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	change sync.Cond
	queue  []*chainBatch // those that wait, in order
	closed bool
	err    error // that ended it
	counts proglog.Outcome
}

// chainBatch is one request of a chain.
type chainBatch struct {
	records []proglog.Record
	bytes   int
	done    chan struct{} // closed when ack and err are set
	ack     proglog.Ack
	err     error
}

// chainFuture is a record of a batch, by its index.
type chainFuture struct {
	batch *chainBatch
	index uint64
}

// Wait implements future.
func (f chainFuture) Wait(ctx context.Context) (proglog.Ack, error) {
	select {
	case <-f.batch.done:
	case <-ctx.Done():
		return proglog.Ack{}, ctx.Err()
	}
	ack := f.batch.ack
	ack.Offset += f.index
	return ack, f.batch.err
}

// newChain starts a chain at the offset that is expected. Batches keep to the
// limits of the server, if it tells them.
func newChain(ctx context.Context, client *proglog.Client, config *produceConfig) *chain {
	c := &chain{client: client, config: config, done: make(chan struct{})}
	c.most = proglog.Limits{BatchRecords: produceBatchRecords, BatchBytes: produceBatchBytes}
	for _, log := range []string{config.log, ""} { // the log may not be there yet
		info, err := client.DescribeLog(ctx, log)
		if l := info.Limits; err == nil && l != nil {
			c.most.BatchRecords = min(c.most.BatchRecords, int(l.BatchRecords))
			c.most.BatchBytes = min(c.most.BatchBytes, int(l.BatchBytes))
		}
		if proglog.ReasonOf(err) != proglog.ReasonLogNotFound {
			break
		}
	}
	c.change.L = &c.mu
	c.ctx, c.cancel = context.WithCancel(ctx)
	go c.run()
	return c
}

// Send implements appender. It waits while two batches are full.
func (c *chain) Send(ctx context.Context, record proglog.Record) (future, error) {
	stop := context.AfterFunc(ctx, c.stir)
	defer stop()
	size := len(record.Value)
	for _, h := range record.Headers {
		size += len(h.Name) + len(h.Value)
	}
	record.Value = append([]byte(nil), record.Value...) // the reader uses its buffer again
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.err != nil:
			return nil, c.err
		case c.closed:
			return nil, proglog.ErrClosed
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		n := len(c.queue)
		if n > 0 {
			b := c.queue[n-1]
			if len(b.records) < c.most.BatchRecords && b.bytes+size <= c.most.BatchBytes {
				return c.add(b, record, size), nil
			}
		}
		if n < 2 {
			b := &chainBatch{done: make(chan struct{})}
			c.queue = append(c.queue, b)
			return c.add(b, record, size), nil
		}
		c.change.Wait()
	}
}

// add puts a record into a batch that has room.
func (c *chain) add(b *chainBatch, record proglog.Record, size int) future {
	b.records = append(b.records, record)
	b.bytes += size
	c.counts.Pending++
	c.change.Broadcast()
	return chainFuture{b, uint64(len(b.records) - 1)}
}

func (c *chain) stir() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change.Broadcast()
}

// run sends batch after batch until the chain is closed or one fails.
func (c *chain) run() {
	defer close(c.done)
	defer c.cancel()
	id, next := c.config.producerID, c.config.expected.value
	if id == "" {
		id = rand.Text()
	}
	for sequence := uint64(0); ; sequence++ {
		b := c.take()
		if b == nil {
			return
		}
		b.ack, b.err = c.send(b, id, sequence, next)
		next = b.ack.NextOffset
		c.settle(b)
		if b.err != nil {
			return
		}
	}
}

// take waits for the next batch; nil: there will be none.
func (c *chain) take() *chainBatch {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) == 0 && !c.closed {
		c.change.Wait()
	}
	if len(c.queue) == 0 {
		return nil
	}
	b := c.queue[0]
	c.queue = c.queue[1:]
	c.change.Broadcast()
	return b
}

// send sends one batch, again and again while what fails can pass.
func (c *chain) send(b *chainBatch, id string, sequence, next uint64) (proglog.Ack, error) {
	unknown := false
	for until := time.Now().Add(c.config.giveUp); ; {
		ack, err := c.client.ProduceBatch(c.ctx, b.records, proglog.InLog(c.config.log),
			proglog.ExpectOffset(next), proglog.Sequence(id, c.config.epoch, sequence))
		if err == nil {
			return ack, nil
		}
		unknown = unknown || !errors.Is(err, proglog.ErrNothingAppended)
		code := proglog.CodeOf(err)
		passes := sequence > 0 && (code == proglog.CodeUnavailable || code == proglog.CodeResourceExhausted)
		if passes && c.ctx.Err() == nil && time.Now().Before(until) {
			select {
			case <-time.After(chainPause):
			case <-c.ctx.Done():
			}
			continue
		}
		if unknown && errors.Is(err, proglog.ErrNothingAppended) { // so did this try, but not one before
			e, _ := errors.AsType[*proglog.Error](err)
			err = fmt.Errorf("%w: %w", proglog.ErrOutcomeUnknown, e)
		}
		return proglog.Ack{}, err
	}
}

// settle makes the fate of a batch known, and that of all behind one that failed.
func (c *chain) settle(b *chainBatch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := uint64(len(b.records))
	c.counts.Pending -= n
	switch {
	case b.err == nil:
		c.counts.Acked += n
		c.counts.LastOffset = b.ack.NextOffset - 1
	case errors.Is(b.err, proglog.ErrNothingAppended):
		c.counts.NotInLog += n
	default:
		c.counts.Unknown += n
	}
	close(b.done)
	if b.err == nil {
		return
	}
	c.err = b.err
	for _, behind := range c.queue {
		behind.err = fmt.Errorf("%w: a batch before it failed: %w", proglog.ErrNothingAppended, b.err)
		c.counts.Pending -= uint64(len(behind.records))
		c.counts.NotInLog += uint64(len(behind.records))
		close(behind.done)
	}
	c.queue = nil
	c.change.Broadcast()
}

// Close implements appender. When ctx ends first, what is in flight is left.
func (c *chain) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.change.Broadcast()
	c.mu.Unlock()
	select {
	case <-c.done:
	case <-ctx.Done():
		c.cancel()
		<-c.done
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Done implements appender.
func (c *chain) Done() <-chan struct{} { return c.done }

// Outcome implements appender.
func (c *chain) Outcome() proglog.Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

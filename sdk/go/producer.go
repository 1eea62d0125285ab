package proglog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect/v2"
)

// Producer appends many records over one stream, without waiting for one before
// the next is sent. Records get their offsets in the order of Send, and are
// acknowledged in that order. It is safe for concurrent use.
//
// What waits goes out together, as an atomic batch. The first failure, of the
// connection or of a batch, ends the producer: it cannot send anything again
// without the risk of a second copy, so it leaves that to the caller. Then every
// future is done, and its error says which of three holds for its record: it is
// in the log (no error), it is not ([ErrNothingAppended]), or nobody knows
// ([ErrOutcomeUnknown]). In the order of Send these are three runs, of which
// each may be empty. Also a server that stops ends the producer, even one that
// has nothing to send; a new one is needed then.
type Producer struct {
	c      *Client
	config producerConfig
	stream connect.ClientStream
	ctx    context.Context // of the stream
	cancel context.CancelFunc
	done   chan struct{} // closed when the producer has ended and every future is done

	mu      sync.Mutex
	wake    sync.Cond     // for the sender: something below changed
	room    chan struct{} // closed and replaced when bytes shrinks; nil: nobody waits
	open    *batch        // takes records
	full    []*batch      // closed, not yet sent
	flight  []*batch      // sent, not yet acknowledged
	bytes   int           // of the records in all of them, with recordOverhead for each
	last    *batch        // the latest that was opened
	spare   []produceRequest
	flush   bool   // what is open must not linger
	closing bool   // no more records will come
	err     *Error // why it ended; nil after a clean end
	ended   bool
	counts  Outcome
}

// NewProducer opens a stream of records. When ctx ends, so does the producer.
// A server that cannot be reached shows in the futures, and in Done.
func (c *Client) NewProducer(ctx context.Context, opts ...ProducerOption) (*Producer, error) {
	config := producerConfig{batchRecords: 500, batchBytes: 256 << 10, batches: 8, bytes: 8 << 20}
	for _, o := range opts {
		o.applyProducer(&config)
	}
	if config.batchRecords < 1 || config.batchBytes < 1 || config.batches < 1 || config.bytes < 1 {
		return nil, errors.New("proglog: a producer's batches and what is in flight have to be at least 1")
	}
	config.batchRecords = min(config.batchRecords, c.limits.BatchRecords)
	config.batchBytes = min(config.batchBytes, c.limits.BatchBytes)
	ctx, cancel := context.WithCancel(ctx)
	ctx, _ = connect.NewClientContext(ctx)
	stream, err := c.rpc.CallClientStream(ctx, produceStreamSpec())
	if err != nil {
		defer cancel()
		return nil, outcome(translate(ctx, err))
	}
	p := &Producer{
		c: c, config: config, stream: stream, ctx: ctx, cancel: cancel,
		done: make(chan struct{}),
	}
	p.wake.L = &p.mu
	go p.run()
	return p, nil
}

// Send takes a record, of which it keeps a copy, and returns at once unless too
// much is in flight: then it waits for room, or for the end of ctx.
//
// An error means that the record was not taken, and it is [ErrNothingAppended].
// A record over a limit is refused so, and the producer goes on.
func (p *Producer) Send(ctx context.Context, record Record) (Future, error) {
	size, tooLarge := p.c.limits.checkRecord(&record)
	if tooLarge != nil {
		return Future{}, outcome(tooLarge)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// One record is taken however large it is, or it would wait for ever.
	for p.err == nil && !p.closing && p.bytes > 0 && p.bytes+size+recordOverhead > p.config.bytes {
		if err := p.waitForRoom(ctx); err != nil {
			return Future{}, outcome(err)
		}
	}
	switch {
	case p.err != nil:
		return Future{}, fmt.Errorf("%w: the producer has ended: %w", ErrNothingAppended, p.err)
	case p.closing || p.ended:
		return Future{}, fmt.Errorf("%w: the producer is %w", ErrNothingAppended, ErrClosed)
	}
	return p.add(&record, size), nil
}

// waitForRoom waits, without the lock, until something was acknowledged.
func (p *Producer) waitForRoom(ctx context.Context) *Error {
	if p.room == nil {
		p.room = make(chan struct{})
	}
	room := p.room
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-room:
		return nil
	case <-ctx.Done():
		e := translate(ctx, ctx.Err())
		e.NothingAppended = true
		return e
	}
}

// add puts a record into the open batch, or into a new one if it does not fit.
func (p *Producer) add(record *Record, size int) Future {
	b := p.open
	if b != nil && (b.records == p.config.batchRecords || b.size+size > p.config.batchBytes) {
		p.full = append(p.full, b)
		b = nil
		p.wake.Signal()
	}
	if b == nil {
		b = &batch{done: make(chan struct{})}
		if n := len(p.spare); n > 0 {
			b.request, p.spare = p.spare[n-1], p.spare[:n-1]
		}
		if p.last == nil {
			b.request = appendLog(b.request, p.config.log) // the first binds the stream
		}
		p.open, p.last = b, b
		if p.config.linger > 0 {
			b.timer = time.AfterFunc(p.config.linger, func() { p.ripen(b) })
		}
		p.wake.Signal()
	}
	b.request = appendRecord(b.request, fieldRequestRecords, record)
	future := Future{b, b.records}
	b.records++
	b.size += size
	p.bytes += size + recordOverhead
	p.counts.Pending++
	if b.records == p.config.batchRecords {
		p.wake.Signal()
	}
	return future
}

// ripen marks a batch as having waited long enough.
func (p *Producer) ripen(b *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.ripe = true
	p.wake.Signal()
}

// Flush sends what waits and returns when every record sent before it is
// acknowledged. It returns the error that ended the producer, if one did.
func (p *Producer) Flush(ctx context.Context) error {
	p.mu.Lock()
	last := p.last
	p.flush = p.open != nil
	p.wake.Signal()
	p.mu.Unlock()
	if last == nil {
		return p.Err()
	}
	select {
	case <-last.done:
		return p.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close takes no more records, waits until the others are acknowledged, and ends
// the stream. If ctx ends first, the stream is broken off, which leaves the
// outcome of what was in flight unknown. It returns the error that ended the
// producer, if one did. Called again, it returns the same.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closing = true
	p.wake.Signal()
	p.makeRoom()
	p.mu.Unlock()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.cancel()
		<-p.done
	}
	return p.Err()
}

// Done is closed when the producer has ended, after Close or by a failure. All
// futures are done then.
func (p *Producer) Done() <-chan struct{} { return p.done }

// Err returns the error that ended the producer; nil while it runs and after a
// clean Close.
func (p *Producer) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("the producer has ended: %w", p.err)
}

// Outcome counts the records that Send took, by what became of them. Their order
// is that of the fields: first all that are acknowledged, and so on.
type Outcome struct {
	Acked      uint64 // in the log
	Unknown    uint64 // perhaps in the log
	Pending    uint64 // waiting, or in flight; 0 once the producer has ended
	NotInLog   uint64 // certainly not in the log
	LastOffset uint64 // of the last record that is acknowledged, if Acked is not 0
}

// Outcome returns the counts so far.
func (p *Producer) Outcome() Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

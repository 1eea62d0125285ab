package proglog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// Producer appends many records over one stream, without waiting for one before
// the next is sent. Records get their offsets in the order of Send, and are
// acknowledged in that order. It is safe for concurrent use.
//
// What waits goes out together, as an atomic batch. A producer has an identity,
// and its batches have numbers, by which the server knows one that comes twice.
// So when the connection is lost, or the server stops or is overloaded, the
// producer connects again and sends again what was not acknowledged: each record
// is in the log once, in order. See [Identity], [WithoutIdentity], [GiveUpAfter].
//
// What cannot pass ends the producer: a log that is sealed, an identity that
// another took over, or a server that stays away. Then every future is done, and
// its error says which of three holds for its record: it is in the log (no
// error), it is not ([ErrNothingAppended]), or nobody knows
// ([ErrOutcomeUnknown]). In the order of Send these are three runs, of which
// each may be empty.
type Producer struct {
	c      *Client
	config producerConfig
	ctx    context.Context // of the producer
	cancel func()          // may be called more than once
	done   chan struct{}   // closed when the producer has ended and every future is done

	mu       sync.Mutex
	wake     sync.Cond // for the sender, or for run while there is none: something below changed
	senders  []*sender // who wait in Send, or have just been let in, in order
	queued   int       // of senders: the last so many still wait
	reserved int       // bytes of the records of those who were let in
	learned  bool      // the server was asked for its bounds
	opening  bool      // it gets a token for a stream, or asks the server for its bounds
	known    bool      // the server told its bounds, or that it does not
	logID    string    // of the log at that time; empty: there was none, or it was not told
	limits   Limits    // the client's, or the server's where they are lower
	identity identity  // of the batches to come
	window   int       // batches in flight, at most
	open     *batch    // takes records
	full     []*batch  // closed, not yet sent
	flight   []*batch  // numbered, not yet acknowledged
	sent     int       // of flight, over the stream that is open now
	writing  *batch    // being sent at this moment: its buffer is in use
	bytes    int       // of the records in all of them, with recordOverhead for each
	last     *batch    // the latest that was opened
	spare    []produceRequest
	flush    bool      // what is open must not linger
	closing  bool      // no more records will come
	reached  bool      // the server has answered
	backoff  backoff   // since the last acknowledgement
	failing  time.Time // since when there was none
	bound    bound
	err      *Error // why it ended; nil after a clean end
	ended    bool
	counts   Outcome
}

// NewProducer makes a producer. When ctx ends, or the client is closed, so does the
// producer. A server
// that cannot be reached shows in the futures, and in Done.
func (c *Client) NewProducer(ctx context.Context, opts ...ProducerOption) (*Producer, error) {
	config := producerConfig{
		batchRecords: DefaultBatchRecords, batchBytes: DefaultBatchBytes,
		batches: DefaultInFlightBatches, bytes: DefaultInFlightBytes,
		giveUp: DefaultGiveUpAfter, identity: newIdentity(),
	}
	for _, o := range opts {
		if o == nil {
			return nil, errors.New("proglog: an option of the producer is nil")
		}
		o.applyProducer(&config)
	}
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("proglog: %w", err)
	}
	config.cuts = config.giveUp > 0
	p := c.newProducer(ctx, config)
	first, err := p.openStream()
	if err != nil {
		p.cancel()
		return nil, outcome(err)
	}
	go p.run(first)
	return p, nil
}

func (c *producerConfig) validate() error {
	switch {
	case c.batchRecords < 1 || c.batchBytes < 1 || c.batches < 1 || c.bytes < 1:
		return errors.New("a producer's batches and what is in flight have to be at least 1")
	case c.linger < 0 || c.giveUp < 0:
		return errors.New("a producer's linger and the time to give up after cannot be negative")
	case !utf8.ValidString(c.log):
		return fmt.Errorf("the name %q of a log is not UTF-8", c.log)
	case c.identity.none:
		return nil
	}
	return checkProducerID(c.identity.id)
}

// newProducer makes a producer whose options have been applied. It has to run.
func (c *Client) newProducer(ctx context.Context, config producerConfig) *Producer {
	config.batchRecords = min(config.batchRecords, c.limits.BatchRecords)
	config.batchBytes = min(config.batchBytes, c.limits.BatchBytes)
	ctx, cancel := c.life.join(ctx)
	ctx, end := context.WithCancelCause(ctx)
	p := &Producer{
		c: c, config: config, ctx: ctx, cancel: cancel, done: make(chan struct{}), limits: c.limits,
		identity: config.identity, window: config.batches, backoff: backoff{policy: c.retry}, opening: true,
		bound: bound{end: end},
	}
	if !p.identity.none {
		p.window = min(p.window, dedupAcks)
	}
	p.wake.L = &p.mu
	return p
}

// Send takes a record, of which it keeps a copy, and returns at once unless too
// much is in flight: then it waits for room, or for the end of ctx. The first one
// also waits until the server was asked for its limits.
//
// An error means that the record was not taken, and it is [ErrNothingAppended].
// A record over a limit, the client's or the server's, is refused so, and the
// producer goes on. Once the producer has ended, the error has the code and the
// reason of what ended it; after Close it is [ErrClosed].
func (p *Producer) Send(ctx context.Context, record Record) (Future, error) {
	size, tooLarge := p.c.limits.checkRecord(&record)
	if tooLarge != nil {
		return Future{}, outcome(tooLarge)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	leave, err := p.enter(ctx, size+recordOverhead)
	if err != nil {
		return Future{}, outcome(err)
	}
	defer leave()
	if _, tooLarge := p.limits.checkRecord(&record); tooLarge != nil { // the server's
		return Future{}, outcome(tooLarge)
	}
	return p.add([]Record{record}, size), nil
}

// send takes records, of together size bytes, for one batch. The future is of
// the first of them.
func (p *Producer) send(ctx context.Context, records []Record, size int) (Future, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	leave, err := p.enter(ctx, size+len(records)*recordOverhead)
	if err != nil {
		return Future{}, outcome(err)
	}
	defer leave()
	return p.add(records, size), nil
}

// add puts records into the open batch, or into a new one if they do not fit.
func (p *Producer) add(records []Record, size int) Future {
	b := p.open
	if b != nil && (b.records+len(records) > p.config.batchRecords || b.size+size > p.config.batchBytes) {
		p.full = append(p.full, b)
		b = nil
		p.wake.Signal()
	}
	if b == nil {
		b = &batch{done: make(chan struct{})}
		if n := len(p.spare); n > 0 {
			b.request, p.spare = p.spare[n-1], p.spare[:n-1]
		}
		p.open, p.last = b, b
		if p.config.linger > 0 {
			b.timer = time.AfterFunc(p.config.linger, func() { p.ripen(b) })
		}
		p.wake.Signal()
	}
	for i := range records {
		b.request = appendRecord(b.request, fieldRequestRecords, &records[i])
	}
	future := Future{b, b.records}
	b.records += len(records)
	b.size += size
	b.senders++
	p.bytes += size + len(records)*recordOverhead
	p.counts.Pending += uint64(len(records))
	if b.records >= p.config.batchRecords {
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
// acknowledged, also of a Send that still waits in another goroutine. It returns
// the error that ended the producer, if one did.
func (p *Producer) Flush(ctx context.Context) error {
	p.mu.Lock()
	before := slices.Clone(p.senders)
	p.mu.Unlock()
	for _, s := range before {
		select {
		case <-s.left:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
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
// the stream. It comes behind every Send that began before it: one that waits
// for room in another goroutine gets its turn, and only a later one is refused.
// If ctx ends first, the stream is broken off, which leaves the outcome of what
// was in flight unknown. It returns the error that ended the producer, if one
// did. Called again, it returns the same.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closing = true
	if p.opening {
		p.watch()
	}
	p.wake.Signal()
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

// openStream begins a stream. Nothing is sent before its first message.
func (p *Producer) openStream() (*producerStream, *Error) {
	ctx, cancel := context.WithCancel(p.ctx)
	ctx = newAttempt(ctx)
	stream, err := p.c.rpc.CallClientStream(ctx, produceStreamSpec())
	if err != nil {
		defer cancel()
		return nil, translate(ctx, err)
	}
	return &producerStream{stream, ctx, cancel}, nil
}

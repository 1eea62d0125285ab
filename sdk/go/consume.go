package proglog

import (
	"context"
	"iter"

	"connectrpc.com/connect/v2"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// Consume reads the record at an offset. An offset that is not there is
// [ReasonOffsetTrimmed] or [ReasonOffsetUnwritten], with both bounds.
func (c *Client) Consume(ctx context.Context, offset uint64, opts ...ConsumeOption) (Record, error) {
	var config consumeConfig
	for _, o := range opts {
		o.applyConsume(&config)
	}
	var record Record
	err := c.retryRead(ctx, "consume", func(ctx context.Context) *Error {
		records, err := c.consumeOnce(ctx, &logv1.ConsumeRequest{Log: config.log, Offset: offset})
		if err != nil {
			return err
		}
		if len(records) != 1 || records[0].Offset != offset {
			return brokenPromise("%d records came where the one at offset %d was due", len(records), offset)
		}
		record = records[0]
		return nil
	})
	if err != nil {
		return Record{}, err
	}
	return record, nil
}

// consumeOnce makes one call, whose context carries its own call information.
func (c *Client) consumeOnce(ctx context.Context, req *logv1.ConsumeRequest) ([]Record, *Error) {
	var res consumeResponse
	if err := c.rpc.CallUnary(ctx, consumeSpec(), req, &res); err != nil {
		return nil, translate(ctx, err)
	}
	return res.records, nil
}

// Follow reads a log, by default from its first record, and at its tail waits
// for what comes. It goes on by itself after every loss of the connection and
// every stop of the server: each record comes once, in order, without a gap.
//
// It ends without an error when the log ends, because it is sealed or Until was
// reached. It ends with one when ctx does, or when the server says something
// that cannot pass; the error is the last pair and its record is empty.
//
//	for record, err := range client.Follow(ctx, proglog.From(7)) {
//		if err != nil {
//			return err
//		}
//		use(record)
//	}
func (c *Client) Follow(ctx context.Context, opts ...ReadOption) iter.Seq2[Record, error] {
	return flatten(c.Batches(ctx, opts...))
}

// Records is [Client.Follow] up to the tail as it was when the read began.
func (c *Client) Records(ctx context.Context, opts ...ReadOption) iter.Seq2[Record, error] {
	return flatten(c.Batches(ctx, append(opts[:len(opts):len(opts)], ToTail())...))
}

// Batch is a run of records that arrived together.
type Batch struct {
	// Records has at least one record, and their offsets are contiguous.
	Records []Record
	// Tail: the last of them was the last of the log when the server sent it,
	// so that the next batch may take a while.
	Tail bool
}

// Batches is [Client.Follow] by batches, for callers that work on many records
// at once or want to know when they have caught up.
func (c *Client) Batches(ctx context.Context, opts ...ReadOption) iter.Seq2[Batch, error] {
	config := readConfig{records: 1000}
	for _, o := range opts {
		o.applyRead(&config)
	}
	return func(yield func(Batch, error) bool) {
		r := reading{c: c, config: config, backoff: backoff{policy: c.retry}}
		if err := r.begin(ctx); err != nil {
			yield(Batch{}, err)
			return
		}
		for !r.done() {
			ended, err := r.stream(ctx, yield)
			if ended {
				return
			}
			if err := r.resume(ctx, err); err != nil {
				yield(Batch{}, err)
				return
			}
		}
	}
}

// flatten turns batches into records.
func flatten(batches iter.Seq2[Batch, error]) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for batch, err := range batches {
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, record := range batch.Records {
				if !yield(record, nil) {
					return
				}
			}
		}
	}
}

// reading is one iteration over a log, across as many streams as it takes.
type reading struct {
	c         *Client
	config    readConfig
	logID     string
	next      uint64 // the offset that is due
	until     uint64 // exclusive; noEnd: none
	delivered bool   // something was
	backoff   backoff
}

// noEnd is no offset of a record.
const noEnd = ^uint64(0)

// begin finds out where to start, and which log it is: a log that takes over
// the name of a deleted one must not be read on as if it were that.
func (r *reading) begin(ctx context.Context) *Error {
	b, err := r.c.bounds(ctx, r.config.log)
	if err != nil {
		return err
	}
	r.logID, r.until = b.logID, noEnd
	switch r.config.start {
	case startEarliest:
		r.next = b.first
	case startOffset:
		r.next = r.config.offset
	case startEnd:
		r.next = b.next - min(r.config.offset, b.next-b.first)
	}
	if r.config.until != nil {
		r.until = *r.config.until
	}
	if !r.config.toTail {
		return nil
	}
	if r.next > b.next {
		e := refused(CodeOutOfRange, ReasonOffsetUnwritten,
			"offset %d is not yet written: the log's next offset is %d", r.next, b.next)
		e.FirstOffset, e.NextOffset = b.first, b.next
		return e
	}
	r.until = min(r.until, b.next)
	return nil
}

func (r *reading) done() bool { return r.next >= r.until }

// stream reads one stream and yields what it brings. ended says that the
// iteration is over, without anything more to say.
func (r *reading) stream(ctx context.Context, yield func(Batch, error) bool) (ended bool, failure *Error) {
	ctx, cancel := context.WithCancel(ctx)
	ctx, _ = connect.NewClientContext(ctx)
	req := &logv1.ConsumeRequest{
		Log: r.config.log, LogId: r.logID, Offset: r.next, MaxRecords: r.config.records,
	}
	if r.until != noEnd {
		req.UntilOffset = &r.until
	}
	stream, err := r.c.rpc.CallServerStream(ctx, consumeStreamSpec(), req)
	if err != nil {
		defer cancel()
		return false, translate(ctx, err)
	}
	defer func() {
		cancel() // first: Close waits for the response
		_ = stream.Close()
	}()
	for {
		var res consumeResponse
		if err := stream.Receive(&res); err != nil {
			return r.end(ctx, err)
		}
		if len(res.records) == 0 {
			continue // a heartbeat
		}
		if err := r.check(res.records); err != nil {
			return false, err
		}
		r.next += uint64(len(res.records))
		r.delivered = true
		r.backoff.reset()
		if !yield(Batch{Records: res.records, Tail: res.tail}, nil) {
			return true, nil
		}
	}
}

// check holds what came against what was due: a gap or a repeat would be silent
// corruption of whatever the caller builds from the records.
func (r *reading) check(records []Record) *Error {
	for i := range records {
		if due := r.next + uint64(i); records[i].Offset != due || due >= r.until {
			return brokenPromise("record %d came where %d was due", records[i].Offset, due)
		}
	}
	return nil
}

// end judges the end of a stream.
func (r *reading) end(ctx context.Context, err error) (ended bool, failure *Error) {
	if !isEOF(err) {
		return false, translate(ctx, err)
	}
	if r.until != noEnd && !r.done() {
		// A sealed log ends a stream too, but only at its tail.
		if b, err := r.c.bounds(ctx, r.config.log); err != nil || b.next > r.next {
			return false, brokenPromise("the stream ended at offset %d, before %d", r.next, r.until)
		}
	}
	return true, nil
}

// resume decides whether the reading goes on after a failed stream, and waits
// as long as it should. It returns the error that ends it.
func (r *reading) resume(ctx context.Context, err *Error) *Error {
	if ctx.Err() != nil {
		return err
	}
	if err.Reason == ReasonOffsetTrimmed && err.FirstOffset > r.next &&
		r.config.start == startEarliest && !r.delivered {
		r.next = err.FirstOffset // trimmed since it began
		return nil
	}
	tooOften := r.backoff.exhausted()
	if f := err.fate(); f == final || f == doubtful && tooOften {
		return err
	}
	if !r.c.pause(ctx, &r.backoff, "go on reading", err) {
		return translate(ctx, ctx.Err())
	}
	return nil
}

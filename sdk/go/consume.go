package proglog

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// Consume reads the record at an offset. An offset that is not there is
// [ReasonOffsetTrimmed] or [ReasonOffsetUnwritten], with both bounds.
func (c *Client) Consume(ctx context.Context, offset uint64, opts ...ConsumeOption) (Record, error) {
	config, err := newConsumeConfig(opts)
	if err != nil {
		return Record{}, err
	}
	var record Record
	err = c.retryRead(ctx, "consume", func(ctx context.Context) *Error {
		req := &logv1.ConsumeRequest{Log: config.log, LogId: config.logID, Offset: offset, Wait: duration(config.wait)}
		res, err := c.consumeOnce(ctx, req)
		if err != nil {
			return err
		}
		records := res.records
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
func (c *Client) consumeOnce(ctx context.Context, req *logv1.ConsumeRequest) (consumeResponse, *Error) {
	var res consumeResponse
	if err := c.rpc.CallUnary(ctx, consumeSpec(), req, &res); err != nil {
		return res, translate(ctx, err)
	}
	return res, nil
}

// duration is an optional duration of a request.
func duration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// ConsumeBatch reads the records that are there from a start on, by default the
// first, in one request: up to [BatchRecords] of them. At the tail it waits as
// long as [Wait] says, and then returns a batch without records. An end, see [Until],
// that is not above the start is [CodeInvalidArgument].
func (c *Client) ConsumeBatch(ctx context.Context, opts ...ReadOption) (Batch, error) {
	config, err := newReadConfig(opts)
	if err != nil {
		return Batch{}, err
	}
	req := &logv1.ConsumeRequest{
		Log: config.log, LogId: config.logID, MaxRecords: config.records,
		UntilOffset: config.until, Wait: duration(config.wait),
	}
	switch config.start {
	case startEarliest:
		b, err := c.bounds(ctx, config.log, 0)
		if err != nil {
			return Batch{}, err
		}
		req.Offset = b.first
	case startOffset:
		req.Offset = config.offset
	case startEnd:
		req.Start = &logv1.ConsumeRequest_FromTail{FromTail: config.offset}
	case startTime:
		req.Start = &logv1.ConsumeRequest_FromTime{FromTime: timestamppb.New(config.time)}
	}
	var batch Batch
	err = c.retryRead(ctx, "consume", func(ctx context.Context) *Error {
		res, err := c.consumeOnce(ctx, req)
		if err != nil && err.Reason == ReasonOffsetUnwritten && (config.start != startOffset || config.offset == err.NextOffset) {
			batch = Batch{Tail: true, NextOffset: err.NextOffset}
			return nil
		}
		if err != nil {
			return err
		}
		for i := range res.records {
			if due := res.records[0].Offset + uint64(i); res.records[i].Offset != due {
				return brokenPromise("record %d came where %d was due", res.records[i].Offset, due)
			}
		}
		batch = Batch{Records: res.records, Tail: res.tail, NextOffset: res.next}
		return nil
	})
	if err != nil {
		return Batch{}, err
	}
	return batch, nil
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
	// Records has at least one record, but for [Client.ConsumeBatch] at the tail.
	// Their offsets are contiguous.
	Records []Record
	// Tail: the last of them was the last of the log when the server sent it,
	// so that the next batch may take a while.
	Tail bool
	// NextOffset is the log's next offset, if Tail.
	NextOffset uint64
}

// Batches is [Client.Follow] by batches, for callers that work on many records
// at once or want to know when they have caught up.
func (c *Client) Batches(ctx context.Context, opts ...ReadOption) iter.Seq2[Batch, error] {
	config, invalid := newReadConfig(opts)
	return func(yield func(Batch, error) bool) {
		if invalid != nil {
			yield(Batch{}, invalid)
			return
		}
		ctx, leave := c.life.join(ctx)
		defer leave()
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

package proglog

import (
	"context"

	"google.golang.org/protobuf/encoding/protowire"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// Produce appends one record and returns when it is durable.
//
// Calls that wait at the same time share a stream and travel together, which
// makes them cheap; each has its own acknowledgement and error. The client has an
// identity by which the server knows a record that comes twice, so a call goes on
// by itself after a lost connection, as often as [Retry] says.
//
// The error is [ErrNothingAppended] or [ErrOutcomeUnknown].
func (c *Client) Produce(ctx context.Context, record Record, opts ...ProduceOption) (Ack, error) {
	size, err := c.limits.checkRecord(&record)
	if err != nil {
		return Ack{}, outcome(err)
	}
	return c.produce(ctx, fieldRequestRecord, []Record{record}, size, opts)
}

// ProduceBatch appends records at contiguous offsets, all or none, and returns
// when they are durable. Otherwise it is [Client.Produce].
func (c *Client) ProduceBatch(ctx context.Context, records []Record, opts ...ProduceOption) (Ack, error) {
	size, err := c.limits.checkBatch(records)
	if err != nil {
		return Ack{}, outcome(err)
	}
	return c.produce(ctx, fieldRequestRecords, records, size, opts)
}

// produce sends records over the stream that calls share, unless they may be
// refused for a reason of their own: the first refusal ends a stream for all.
func (c *Client) produce(ctx context.Context, field protowire.Number, records []Record, size int, opts []ProduceOption) (Ack, error) {
	config, invalid := newProduceConfig(opts)
	if invalid != nil {
		return Ack{}, outcome(invalid)
	}
	if ctx.Err() != nil {
		return Ack{}, outcome(notSent(ctx))
	}
	if !config.alone && config.expected == nil && config.identity == nil {
		ack, err, done := c.produceShared(ctx, config.log, records, size)
		if done {
			return ack, err
		}
	}
	req := appendLog(nil, config.log)
	if config.expected != nil {
		req = appendExpected(req, *config.expected)
	}
	for i := range records {
		req = appendRecord(req, field, &records[i])
	}
	ack, err := c.produceAlone(ctx, &config, req, len(records))
	if err != nil {
		return Ack{}, outcome(err)
	}
	return ack, nil
}

// produceAlone sends a request of its own until it succeeds, or fails in a way
// that does not allow another try.
func (c *Client) produceAlone(ctx context.Context, config *produceConfig, body produceRequest, records int) (Ack, *Error) {
	ctx, leave := c.life.join(ctx)
	defer leave()
	id := c.identities.take(config)
	tried := false // a try is unanswered
	for b := (backoff{policy: c.retry}); ; {
		ack, err := c.produceOnce(ctx, id.appendTo(body[:len(body):len(body)], id.sequence), records)
		if err == nil {
			id.sequence++
			c.identities.give(config, id)
			return ack, nil
		}
		if next, ok := id.renewed(err); ok && !tried && id != next && (next.none || id.sequence > 0) {
			id = next
			continue
		}
		tried = tried || !err.NothingAppended
		again := err.mayRetryWrite()
		if !id.none {
			again = err.fate() != final && !err.tooLong()
		}
		again = again && !b.exhausted() // before the server is asked anything
		if again && !id.none && tried {
			again = c.recognises(ctx, config.log)
		}
		if again {
			if c.pause(ctx, &b, "produce", err) {
				continue
			}
			err = interrupted(ctx, err)
		}
		if !tried {
			c.identities.give(config, id) // the sequence is still to be used
			return Ack{}, err
		}
		if err.NothingAppended { // so did this try, but not the one before
			unknown := *err
			unknown.NothingAppended = false
			err = &unknown
		}
		return Ack{}, err
	}
}

// recognises says whether the server knows a request that comes twice. One that
// does not know the field would append it twice, without a word.
func (c *Client) recognises(ctx context.Context, log string) bool {
	if c.dedups.Load() {
		return true
	}
	known := false
	err := c.retryRead(ctx, "describe the log", func(ctx context.Context) *Error {
		res, err := c.log.GetLog(ctx, &logv1.GetLogRequest{Log: log})
		if err != nil {
			return translate(ctx, err)
		}
		known = res.GetCapabilities().GetProducers()
		return nil
	})
	if err != nil { // a server that judges the question understands it
		known = err.FromServer && err.Reason != ReasonUnspecified && err.Code != CodeUnimplemented
	}
	if known {
		c.dedups.Store(true)
	}
	return known
}

func (c *Client) produceOnce(ctx context.Context, req produceRequest, records int) (Ack, *Error) {
	ctx = newAttempt(ctx)
	if ctx.Err() != nil {
		return Ack{}, notSent(ctx)
	}
	var res logv1.ProduceResponse
	if err := c.rpc.CallUnary(ctx, produceSpec(), req, &res); err != nil {
		return Ack{}, translate(ctx, err)
	}
	return readAck(&res, records)
}

// readAck reads the server's acknowledgement of so many records. One that does
// not fit them leaves the outcome unknown.
func readAck(res *logv1.ProduceResponse, records int) (Ack, *Error) {
	ack := Ack{Offset: res.GetOffset(), NextOffset: res.GetNextOffset(), Duplicate: res.GetDuplicate()}
	if res.GetTimestamp() != nil {
		ack.Time = res.GetTimestamp().AsTime()
	}
	next := ack.Offset + uint64(records)
	if ack.NextOffset == 0 {
		ack.NextOffset = next // from a server that knows the first offset only
	}
	if ack.NextOffset != next {
		return Ack{}, brokenPromise("the acknowledgement of %d records names the offsets from %d up to %d",
			records, ack.Offset, ack.NextOffset)
	}
	return ack, nil
}

package proglog

import (
	"context"

	"connectrpc.com/connect/v2"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// Produce appends one record and returns when it is durable.
//
// A failed try is repeated only if it provably appended nothing; see [Retry].
// The error is [ErrNothingAppended] or [ErrOutcomeUnknown].
func (c *Client) Produce(ctx context.Context, record Record, opts ...ProduceOption) (Ack, error) {
	if _, err := c.limits.checkRecord(&record); err != nil {
		return Ack{}, outcome(err)
	}
	req := newProduceRequest(opts)
	req = appendRecord(req, fieldRequestRecord, &record)
	return c.produce(ctx, req, 1)
}

// ProduceBatch appends records at contiguous offsets, all or none, and returns
// when they are durable. Its errors are those of [Client.Produce].
func (c *Client) ProduceBatch(ctx context.Context, records []Record, opts ...ProduceOption) (Ack, error) {
	if err := c.limits.checkBatch(records); err != nil {
		return Ack{}, outcome(err)
	}
	req := newProduceRequest(opts)
	for i := range records {
		req = appendRecord(req, fieldRequestRecords, &records[i])
	}
	return c.produce(ctx, req, len(records))
}

// newProduceRequest begins a request with all but its records.
func newProduceRequest(opts []ProduceOption) produceRequest {
	var config produceConfig
	for _, o := range opts {
		o.applyProduce(&config)
	}
	req := appendLog(nil, config.log)
	if config.expected != nil {
		req = appendExpected(req, *config.expected)
	}
	return req
}

// produce sends a request until it succeeds, or fails in a way that does not
// allow another try.
func (c *Client) produce(ctx context.Context, req produceRequest, records int) (Ack, error) {
	for b := (backoff{policy: c.retry}); ; {
		ack, err := c.produceOnce(ctx, req, records)
		if err == nil {
			return ack, nil
		}
		if !err.mayRetryWrite() || b.exhausted() || !c.pause(ctx, &b, "produce", err) {
			return Ack{}, outcome(err)
		}
	}
}

func (c *Client) produceOnce(ctx context.Context, req produceRequest, records int) (Ack, *Error) {
	ctx, _ = connect.NewClientContext(ctx)
	if ctx.Err() != nil {
		e := translate(ctx, ctx.Err())
		e.NothingAppended = true // it was not sent
		return Ack{}, e
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
	ack := Ack{Offset: res.GetOffset(), NextOffset: res.GetNextOffset()}
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

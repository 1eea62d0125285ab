package proglog

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// reading is one iteration over a log, across as many streams as it takes.
type reading struct {
	c         *Client
	config    readConfig
	logID     string
	next      uint64        // the offset that is due
	until     uint64        // exclusive; noEnd: none
	delivered bool          // something was
	heartbeat time.Duration // 0: none is asked for
	backoff   backoff
}

// noEnd is no offset of a record.
const noEnd = ^uint64(0)

// begin finds out where to start, and which log it is: a log that takes over
// the name of a deleted one must not be read on as if it were that.
func (r *reading) begin(ctx context.Context) *Error {
	b, err := r.c.bounds(ctx, r.config.log, r.patience())
	if err != nil {
		return err
	}
	r.logID, r.until = b.logID, noEnd
	if id := r.config.logID; id != "" {
		if b.logID != "" && b.logID != id {
			return refused(CodeFailedPrecondition, ReasonLogChanged, "the log is %s, and not the one that is to be read, %s", b.logID, id)
		}
		r.logID = id
	}
	if low, high := b.heartbeat[0], b.heartbeat[1]; high > 0 && r.config.heartbeat > 0 && !r.config.toTail {
		r.heartbeat = min(max(r.config.heartbeat, low), high)
	}
	switch r.config.start {
	case startEarliest:
		r.next = b.first
	case startOffset:
		r.next = r.config.offset
	case startEnd:
		r.next = b.next - min(r.config.offset, b.next-b.first)
	case startTime:
		if err := r.find(ctx); err != nil {
			return err
		}
	}
	if r.config.until != nil {
		r.until = *r.config.until
	}
	if r.next > b.next {
		if err := r.wentBack(b.next); err != nil {
			return err
		}
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

// find asks for the offset at which the records of a time begin. From there on a
// read goes by offsets, which is what it can be resumed by.
func (r *reading) find(ctx context.Context) *Error {
	return r.c.retryRead(ctx, "find a time", r.c.alive(r.patience(), func(ctx context.Context) *Error {
		res, err := r.c.consumeOnce(ctx, &logv1.ConsumeRequest{
			Log: r.config.log, LogId: r.logID, MaxRecords: 1,
			Start: &logv1.ConsumeRequest_FromTime{FromTime: timestamppb.New(r.config.time)},
		})
		switch {
		case err != nil && err.Reason == ReasonOffsetUnwritten:
			r.next = err.NextOffset
		case err != nil:
			return err
		case len(res.records) > 0:
			r.next = res.records[0].Offset
		case res.tail:
			r.next = res.next
		default:
			return brokenPromise("neither a record nor the tail came for a time")
		}
		return nil
	}))
}

func (r *reading) done() bool { return r.next >= r.until }

// stream reads one stream and yields what it brings. ended says that the
// iteration is over, without anything more to say.
func (r *reading) stream(ctx context.Context, yield func(Batch, error) bool) (ended bool, failure *Error) {
	ctx, cancel := context.WithCancel(ctx)
	_, generation := r.c.conns.current()
	pulse := r.watch(func() {
		r.c.conns.renew(generation)
		cancel()
	})
	ctx = newAttempt(context.WithValue(ctx, pulseKey{}, pulse))
	req := &logv1.ConsumeRequest{
		Log: r.config.log, LogId: r.logID, Offset: r.next, MaxRecords: r.config.records,
		Heartbeat: duration(r.heartbeat),
	}
	if r.until != noEnd {
		req.UntilOffset = &r.until
	}
	pulse.await()
	stream, err := r.c.rpc.CallServerStream(ctx, consumeStreamSpec(), req)
	lost := pulse.stop()
	if err != nil {
		defer cancel()
		if lost {
			return false, noLife()
		}
		return false, translate(ctx, err)
	}
	defer func() {
		cancel() // first: Close waits for the response
		_ = stream.Close()
	}()
	for {
		var res consumeResponse
		pulse.await()
		err := stream.Receive(&res)
		if pulse.stop() {
			return false, noLife()
		}
		if err != nil {
			return r.end(ctx, err)
		}
		if err := r.check(&res); err != nil {
			return false, err
		}
		if len(res.records) == 0 {
			r.backoff.reset()
			continue // a heartbeat
		}
		r.next += uint64(len(res.records))
		r.delivered = true
		r.backoff.reset()
		if !yield(Batch{Records: res.records, Tail: res.tail, NextOffset: res.next}, nil) {
			return true, nil
		}
	}
}

// check holds what came against what was due: a gap or a repeat would be silent
// corruption of whatever the caller builds from the records.
func (r *reading) check(res *consumeResponse) *Error {
	records := res.records
	for i := range records {
		if due := r.next + uint64(i); records[i].Offset != due || due >= r.until {
			return brokenPromise("record %d came where %d was due", records[i].Offset, due)
		}
	}
	due := r.next + uint64(len(records))
	if res.tail && res.next > due {
		return brokenPromise("the tail, at offset %d, came where record %d was due", res.next, due)
	}
	if res.tail && res.next < due {
		return r.wentBack(res.next)
	}
	return nil
}

// wentBack is the error of a log that ends before a record which was read from
// it, here or by whoever stored the place; nil if it was not read. What was readable is durable, so an older state was put in its place,
// without a sign that the server could see.
func (r *reading) wentBack(next uint64) *Error {
	if !r.delivered && !r.config.reached {
		return nil
	}
	e := refused(CodeFailedPrecondition, ReasonLogChanged,
		"the log ends at offset %d, and was read up to %d before: it is an older state of it", next, r.next)
	e.NextOffset = next
	return e
}

// end judges the end of a stream.
func (r *reading) end(ctx context.Context, err error) (ended bool, failure *Error) {
	if !isEOF(err) {
		return false, translate(ctx, err)
	}
	if r.until != noEnd && !r.done() {
		// A sealed log ends a stream too, but only at its tail.
		b, err := r.c.bounds(ctx, r.config.log, r.patience())
		if err != nil {
			return false, err
		}
		if b.next > r.next {
			return false, brokenPromise("the stream ended at offset %d, before %d", r.next, r.until)
		}
	}
	return true, nil
}

// resume decides whether the reading goes on after a failed stream, and waits
// as long as it should. It returns the error that ends it.
func (r *reading) resume(ctx context.Context, err *Error) *Error {
	if ctx.Err() != nil {
		if err.fate() == passing && !err.FromServer {
			return translate(ctx, ctx.Err()) // the end came upon a loss
		}
		return err
	}
	if err.Reason == ReasonOffsetTrimmed && err.FirstOffset > r.next &&
		r.config.start != startOffset && !r.delivered {
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

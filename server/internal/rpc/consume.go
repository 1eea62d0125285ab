package rpc

import (
	"context"
	"errors"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
)

// ConsumeStream implements log.v1.Log.
func (s *logService) ConsumeStream(ctx context.Context, req *logv1.ConsumeRequest, stream logv1connect.LogConsumeStreamServerStream) error {
	r, err := newReading(req, s.limits)
	if err != nil {
		return err
	}
	if isSet(req.GetWait()) {
		return invalid(logv1.Reason_REASON_INVALID_REQUEST, "`wait` is for Consume; a stream waits until its client leaves")
	}
	log, err := s.logToRead(ctx, req)
	if err != nil {
		return err
	}
	f := &following{service: s, log: log, reading: r, stream: stream, conn: connOf(ctx)}
	defer f.release()
	return s.whileReading(ctx, req, f.run(ctx))
}

// following is one ConsumeStream: it reads a stride, sends it, and waits when
// there is nothing more to read.
type following struct {
	reading
	service *logService
	log     commitlog.CommitLog
	stream  logv1connect.LogConsumeStreamServerStream
	conn    *conn
	stride  *[]byte // a tail that waits holds none
	stood   bool    // it has stood at the tail before
}

// run returns nil when the stream is at its end: at until, or at the end of a
// sealed log.
func (f *following) run(ctx context.Context) error {
	if err := f.begin(ctx, f.log); err != nil {
		return err
	}
	for f.next < f.until {
		tail, err := f.step(ctx)
		if trimmed(err) && f.relative() { // between begin and step
			if err := f.begin(ctx, f.log); err != nil {
				return err
			}
			continue
		}
		f.begun = true
		if unwritten(err) {
			tail, err = true, nil // an offset beyond the end is waited for
		}
		if err != nil {
			return err
		}
		if !tail || f.next == f.until {
			continue
		}
		err = f.wait(ctx)
		if sealed, ok := errors.AsType[*commitlog.LogSealedError](err); ok {
			if sealed.Next <= f.next {
				return nil
			}
			continue // the last records came with the seal
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// step reads a stride and sends it; tail says that it reached the end.
func (f *following) step(ctx context.Context) (tail bool, err error) {
	if f.stride == nil {
		f.stride = f.service.takeStride()
	}
	limits := f.service.limits
	run, err := f.log.Read(ctx, f.next, f.limit(limits.MaxRecords, min(limits.StrideBytes, limits.ResponseBytes)), (*f.stride)[:0])
	if err != nil {
		return false, err
	}
	*f.stride = run.Envelopes[:0] // it may be larger than it was
	if f.next, err = f.send(run); err != nil {
		return false, err
	}
	return run.Tail, nil
}

// send sends a run and returns the offset from which to go on.
func (f *following) send(run commitlog.Run) (next uint64, err error) {
	binary := f.conn != nil && f.conn.binary
	switch {
	case f.records > 0:
		return f.sendBatches(run, binary)
	case binary:
		return run.Next, f.sendStored(run)
	}
	return run.Next, singleResponses(run, f.sendOne)
}

// sendBatches sends the run in responses of as many records as were asked for.
// What is left at its end is read again, with what follows it.
func (f *following) sendBatches(run commitlog.Run, binary bool) (next uint64, err error) {
	first := run.First
	for run.First < run.Next {
		batch, rest, err := run.Cut(f.records)
		if err != nil {
			return 0, err
		}
		if batch.Next-batch.First < uint64(f.records) && batch.First > first && !batch.Tail && batch.Next < f.until {
			break
		}
		res, err := batchResponse(batch, binary)
		if err != nil {
			return 0, err
		}
		if err := f.sendOne(res, rest.First == rest.Next); err != nil {
			return 0, err
		}
		run = rest
	}
	return run.First, nil
}

// sendStored sends the run as it is stored. Nothing is compressed: that costs
// many times what sending a record does, and a client that wants it reads in
// batches.
func (f *following) sendStored(run commitlog.Run) error {
	stored, rest, err := storedResponses(run)
	if err != nil {
		return err
	}
	if len(stored) > 0 {
		f.conn.hold(true)
		if err := f.stream.SendHeaders(); err != nil {
			return err
		}
		if err := f.conn.writeRaw(stored, f.service.limits.Stall); err != nil {
			return err
		}
	}
	return singleResponses(rest, f.sendOne)
}

// sendOne sends a response, and flushes it if it is the last that is ready.
func (f *following) sendOne(res *logv1.ConsumeResponse, last bool) error {
	if f.conn != nil {
		f.conn.hold(!last)
		f.conn.writeWithin(f.service.limits.Stall)
	}
	return f.stream.Send(res)
}

// wait returns when the record at next exists. Meanwhile the stream costs no
// buffer and its client no deadline, and what has been sent is flushed.
func (f *following) wait(ctx context.Context) error {
	f.release()
	if err := f.stream.SendHeaders(); err != nil {
		return err
	}
	if f.conn != nil { // of what was sent, all is flushed
		f.conn.hold(false)
		f.conn.Flush()
	}
	if f.heartbeat > 0 && !f.stood {
		f.stood = true
		if err := f.beat(); err != nil {
			return err
		}
	}
	for {
		if f.conn != nil {
			f.conn.writeWithin(0)
		}
		came, err := f.waitOnce(ctx)
		if came || err != nil {
			return err
		}
		if err := f.beat(); err != nil {
			return err
		}
	}
}

// waitOnce waits for the record at next, or until a heartbeat is due.
func (f *following) waitOnce(ctx context.Context) (came bool, err error) {
	due := ctx
	if f.heartbeat > 0 {
		var cancel context.CancelFunc
		due, cancel = context.WithTimeout(ctx, f.heartbeat)
		defer cancel()
	}
	_, err = f.log.Wait(due, f.next)
	if err != nil && due.Err() != nil && ctx.Err() == nil && errors.Is(err, due.Err()) {
		return false, nil
	}
	return err == nil, err
}

// beat tells a client that hears nothing where the tail is. It never tells of
// records that the stream has yet to send: a client may resume at what it was
// told.
func (f *following) beat() error {
	next := min(f.next, f.log.Bounds().Next)
	return f.sendOne(&logv1.ConsumeResponse{NextOffset: &next}, true)
}

func (f *following) release() {
	if f.stride != nil {
		f.service.giveStride(f.stride)
		f.stride = nil
	}
}

// takeStride returns a buffer to read into.
func (s *logService) takeStride() *[]byte {
	if b, ok := s.strides.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

// giveStride takes a buffer back, unless a large record has blown it up.
func (s *logService) giveStride(b *[]byte) {
	if cap(*b) <= 2*s.limits.StrideBytes {
		s.strides.Put(b)
	}
}

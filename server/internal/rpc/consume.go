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
	if p := parkedOf(ctx); p != nil {
		return p.end(stream)
	}
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
	f := &following{service: s, log: log, reading: r, req: req, conn: connOf(ctx)}
	if f.conn != nil {
		f.conn.heard = f.heartbeat > 0
	}
	f.out = newSender(f.conn, stream, &f.reading, s.limits)
	defer f.release()
	return s.whileReading(ctx, req, f.follow(ctx))
}

// following is one ConsumeStream: it reads a stride, sends it, and waits when
// there is nothing more to read.
type following struct {
	reading
	service *logService
	log     commitlog.CommitLog
	req     *logv1.ConsumeRequest
	out     sender
	conn    *conn
	stride  *[]byte // a tail that waits holds none
	undue   func()  // ends the context of a wait for a heartbeat
	stood   bool    // it has stood at the tail before
}

// follow returns nil when the stream is at its end, at until or at the end of a
// sealed log, or when it has parked: then it is to be called again, elsewhere.
func (f *following) follow(ctx context.Context) (err error) {
	defer recovered(&err)
	if err := f.begin(ctx, f.log); err != nil {
		return err
	}
	for !f.over() {
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
		if !tail || f.over() {
			continue
		}
		if err := f.stand(); err != nil {
			return err
		}
		if f.conn.park(f) {
			return nil
		}
		due := f.due(ctx)
		_, err = f.log.Wait(due, f.next)
		if over, err := f.woken(ctx, due, err); over || err != nil {
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
	if f.next, err = f.out.send(run); err != nil {
		return false, err
	}
	return run.Tail, nil
}

// stand is at the tail: what was sent is flushed, and from here on the stream
// costs no buffer and its client no deadline.
func (f *following) stand() error {
	f.release()
	if f.stood {
		return nil
	}
	f.stood = true
	if err := f.out.headers(); err != nil {
		return err
	}
	if f.heartbeat > 0 {
		return f.beat()
	}
	return nil
}

// due returns the context of a wait, which ends when a heartbeat is due. Nothing
// bounds the client's time meanwhile.
//
//go:noinline
func (f *following) due(ctx context.Context) context.Context {
	if f.conn != nil {
		f.conn.writeWithin(0)
	}
	if f.heartbeat > 0 {
		ctx, f.undue = context.WithTimeout(ctx, f.heartbeat)
	}
	return ctx
}

// woken judges the end of a wait: the record at next exists, a heartbeat is due
// and is sent, or the stream is over.
//
//go:noinline
func (f *following) woken(ctx, due context.Context, err error) (over bool, failed error) {
	if f.undue != nil {
		defer f.undue()
	}
	if err == nil {
		return false, nil
	}
	if sealed, ok := errors.AsType[*commitlog.LogSealedError](err); ok {
		return sealed.Next <= f.next, nil // the last records came with the seal
	}
	if f.undue != nil && due.Err() != nil && ctx.Err() == nil && errors.Is(err, due.Err()) {
		return false, f.beat()
	}
	return false, err
}

// beat tells a client that hears nothing where the tail is. It never tells of
// records that the stream has yet to send: a client may resume at what it was
// told.
func (f *following) beat() error {
	return f.out.beat(min(f.next, f.log.Bounds().Next))
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

package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// panicError is a panic of a handler, with where it happened.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// recovered turns a panic into an error. It is deferred.
func recovered(err *error) {
	r := recover()
	if r == nil {
		return
	}
	if e, ok := r.(error); ok && errors.Is(e, http.ErrAbortHandler) {
		panic(r) // how a handler asks net/http to cut the connection
	}
	*err = &panicError{value: r, stack: debug.Stack()}
}

// interceptors are what surrounds every call, from the outside in.
func (s *Server) interceptors() []connect.ServerInterceptor {
	return []connect.ServerInterceptor{s.answer, s.admit, s.bound}
}

// answer turns whatever a call fails with into what its caller gets to see.
func (s *Server) answer(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		err := call(ctx, next, spec, stream)
		if err == nil {
			return nil
		}
		v := judge(err)
		if e, ok := errors.AsType[*connect.Error](err); ok && v.unmapped {
			if e.Code() != connect.CodeUnknown {
				return libraryError(e) // a malformed message
			}
			// The library could not read or write, and its text may name addresses.
			v = judge(invalid(logv1.Reason_REASON_INVALID_REQUEST, "the request could not be read"))
			v.undecided = true
		}
		s.report(ctx, spec, v, err)
		return v.wire(isWrite(spec.Procedure), err)
	}
}

// call runs next and turns its panic into an error.
func call(ctx context.Context, next connect.ServerFunc, spec connect.Spec, stream connect.ServerStream) (err error) {
	defer recovered(&err)
	return next(ctx, spec, stream)
}

// report logs what an operator should know of a failed call, and tells health
// when the storage failed.
func (s *Server) report(ctx context.Context, spec connect.Spec, v verdict, cause error) {
	switch {
	case v.unmapped:
		v.detail.Incident = rand.Text()
		s.logger.LogAttrs(ctx, slog.LevelError, "internal error",
			slog.String("incident", v.detail.Incident), slog.String("procedure", spec.Procedure), slog.Any("error", cause))
	case v.detail.Reason == logv1.Reason_REASON_DATA_DAMAGED:
		s.logger.LogAttrs(ctx, slog.LevelError, "damaged records",
			slog.String("procedure", spec.Procedure), slog.Any("error", cause))
	case v.detail.Reason == logv1.Reason_REASON_STORAGE_FAILED:
		if s.failed.CompareAndSwap(false, true) { // it stays so, and every append tells it again
			s.logger.LogAttrs(ctx, slog.LevelError, "storage failed",
				slog.String("procedure", spec.Procedure), slog.Any("error", cause))
			s.health.changed()
		}
	}
}

// isWrite says whether a failed call of the procedure may claim that nothing
// was appended: where others fail, nobody asks.
func isWrite(procedure string) bool {
	return procedure == logv1connect.LogProduceProcedure || procedure == logv1connect.LogProduceStreamProcedure
}

// admit refuses calls once the server drains, and ends streams that were
// admitted before: a context with the cause for those that only send, and an end
// of the reads for those that receive. Unary calls run on.
func (s *Server) admit(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if s.Draining() && !isHealth(spec.Procedure) && parkedOf(ctx) == nil {
			return draining()
		}
		switch spec.StreamType {
		case connect.StreamTypeServer:
			bound, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			defer context.AfterFunc(s.draining, func() { cancel(draining()) })()
			return causeOf(bound, next(bound, spec, stream))
		case connect.StreamTypeClient, connect.StreamTypeBidi:
			if c := connOf(ctx); c != nil {
				defer context.AfterFunc(s.draining, c.stopReading)()
			}
			err := next(ctx, spec, stream)
			if s.Draining() && errors.Is(err, os.ErrDeadlineExceeded) {
				return draining() // it was reading when the reads were ended
			}
			return err
		}
		return next(ctx, spec, stream)
	}
}

// causeOf replaces a context's error by its cause.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}

// bound gives a unary call its deadline, and every request that is not a stream
// a time by which it must have arrived.
func (s *Server) bound(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		c := connOf(ctx)
		switch spec.StreamType {
		case connect.StreamTypeUnary:
			time := s.limits.Unary
			if spec.Procedure == logv1connect.LogConsumeProcedure {
				time += s.limits.Wait // the handler cuts it to what the request asks for
			}
			bound, cancel := context.WithTimeout(ctx, time)
			defer cancel()
			if c != nil {
				c.readWithin(s.limits.Unary)
				c.writeWithin(time + s.limits.Stall)
				stream = &openRequest{ServerStream: stream, conn: c}
			}
			return next(bound, spec, stream)
		case connect.StreamTypeServer:
			if c != nil {
				c.gathers = true
				c.readWithin(s.limits.Unary)
				stream = &openRequest{ServerStream: stream, conn: c}
			}
		case connect.StreamTypeClient, connect.StreamTypeBidi:
			if c != nil {
				c.gathers = true
				c.intake.stall = s.limits.Stall
				stream = &openRequests{ServerStream: stream, intake: c.intake}
			}
		}
		return next(ctx, spec, stream)
	}
}

// openRequests waits for each of a stream's requests to begin before anything is
// kept for it. A handler that keeps one says so to the intake.
type openRequests struct {
	connect.ServerStream
	intake *intake
}

func (o *openRequests) Receive(msg any) error {
	o.intake.received(0) // the one before
	o.intake.await()
	return o.ServerStream.Receive(msg)
}

// openRequest ends the bound on a request's arrival when it has arrived.
type openRequest struct {
	connect.ServerStream
	conn *conn
}

func (o *openRequest) Receive(msg any) error {
	err := o.ServerStream.Receive(msg)
	if err == nil {
		o.conn.readWithin(0)
		size := 0
		if m, ok := msg.(proto.Message); ok {
			size = proto.Size(m)
		}
		o.conn.intake.received(int64(size))
	}
	return err
}

package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/bench/internal/peer"
)

// The methods of log.v1.Log, as generated code names them.
const (
	methodProduce       = "/log.v1.Log/Produce"
	methodConsume       = "/log.v1.Log/Consume"
	methodGetLog        = "/log.v1.Log/GetLog"
	methodConsumeStream = "/log.v1.Log/ConsumeStream"
	methodProduceStream = "/log.v1.Log/ProduceStream"
)

// dial connects a grpc-go client as its documentation does: no options but the
// absence of TLS. One connection carries all calls.
func dial(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// grpcSubject is a server of log.v1 behind an unmodified grpc-go client.
type grpcSubject struct {
	*served
	conn *grpc.ClientConn
	// batch is how many records a message of a ProduceStream holds, and a message
	// of a ConsumeStream at most; 0: one, in the field for one.
	batch int
}

func newGRPCSubject(s *served, addr string, batch int) (*grpcSubject, error) {
	conn, err := dial(addr)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return &grpcSubject{served: s, conn: conn, batch: batch}, nil
}

// Close implements [peer.Subject].
func (s *grpcSubject) Close() error { return errors.Join(s.conn.Close(), s.stop()) }

// Writer implements [peer.Subject].
func (s *grpcSubject) Writer(_ int, batch *peer.Batch) peer.Writer {
	return &grpcWriter{subject: s, request: newRequest(batch.Values, len(batch.Values))}
}

// newRequest is a request for values: one in the field for one unless a batch is
// meant.
func newRequest(values [][]byte, batch int) *logv1.ProduceRequest {
	if batch <= 1 {
		return &logv1.ProduceRequest{Record: &logv1.Record{Value: values[0]}}
	}
	r := &logv1.ProduceRequest{Records: make([]*logv1.Record, len(values))}
	for i, v := range values {
		r.Records[i] = &logv1.Record{Value: v}
	}
	return r
}

type grpcWriter struct {
	subject *grpcSubject
	request *logv1.ProduceRequest
}

// Append implements [peer.Writer]: one unary call.
func (w *grpcWriter) Append(int) (uint64, error) {
	ctx, cancel := context.WithTimeout(w.subject.ctx, callLimit)
	defer cancel()
	answer := new(logv1.ProduceResponse)
	err := w.subject.conn.Invoke(ctx, methodProduce, w.request, answer)
	return answer.GetOffset(), err
}

// Count implements [peer.Subject].
func (s *grpcSubject) Count() (uint64, error) {
	ctx, cancel := context.WithTimeout(s.ctx, callLimit)
	defer cancel()
	answer := new(logv1.GetLogResponse)
	err := s.conn.Invoke(ctx, methodGetLog, &logv1.GetLogRequest{}, answer)
	return answer.GetInfo().GetNextOffset(), err
}

// Value implements [peer.Subject].
func (s *grpcSubject) Value(at peer.Place, _ []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.ctx, callLimit)
	defer cancel()
	answer := new(logv1.ConsumeResponse)
	if err := s.conn.Invoke(ctx, methodConsume, &logv1.ConsumeRequest{Offset: at.Offset}, answer); err != nil {
		return nil, err
	}
	if got := answer.GetRecord().GetOffset(); got != at.Offset {
		return nil, fmt.Errorf("the record at offset %d says that it has offset %d", at.Offset, got)
	}
	return answer.GetRecord().GetValue(), nil
}

// Pump implements [peer.Pipelined]: one ProduceStream.
func (s *grpcSubject) Pump(ctx context.Context, flow *peer.Flow) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	raw, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, methodProduceStream)
	if err != nil {
		return err
	}
	stream := &grpc.GenericClientStream[logv1.ProduceRequest, logv1.ProduceResponse]{ClientStream: raw}
	n := max(1, s.batch)
	var first atomic.Uint64 // number of the first record
	begun := make(chan struct{})
	send := func(context.Context) error {
		for sent := false; ; sent = true {
			at, values := flow.Take(n)
			if !sent {
				first.Store(at)
				close(begun)
			}
			if values == nil {
				return stream.CloseSend()
			}
			if err := stream.Send(newRequest(values, s.batch)); err != nil {
				return err
			}
		}
	}
	receive := func(context.Context) error {
		<-begun
		for at := first.Load(); ; at += uint64(n) {
			answer, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if s.batch > 1 && answer.GetNextOffset()-answer.GetOffset() != uint64(n) {
				return fmt.Errorf("a batch of %d got offsets from %d to %d", n, answer.GetOffset(), answer.GetNextOffset())
			}
			flow.Ack(at, n)
		}
	}
	return pipeline(ctx, send, receive)
}

// Stream implements [peer.Streaming]: one ConsumeStream from offset 0 on.
func (s *grpcSubject) Stream(ctx context.Context, n uint64, each func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	raw, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, methodConsumeStream)
	if err != nil {
		return err
	}
	stream := &grpc.GenericClientStream[logv1.ConsumeRequest, logv1.ConsumeResponse]{ClientStream: raw}
	if err := errors.Join(stream.SendMsg(&logv1.ConsumeRequest{MaxRecords: uint32(s.batch)}), stream.CloseSend()); err != nil {
		return err
	}
	for at := uint64(0); at < n; {
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		if r := answer.GetRecord(); r != nil {
			err = oneOf(r, &at, each)
		}
		for _, r := range answer.GetRecords() {
			err = errors.Join(err, oneOf(r, &at, each))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// oneOf gives a record on, which has to be the next.
func oneOf(r *logv1.Record, at *uint64, each func([]byte) error) error {
	if r.GetOffset() != *at {
		return fmt.Errorf("offset %d came instead of %d", r.GetOffset(), *at)
	}
	*at++
	return each(r.GetValue())
}

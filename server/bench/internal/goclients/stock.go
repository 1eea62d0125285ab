package goclients

import (
	"context"
	"errors"
	"fmt"
	"io"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/bench/internal/talk"
)

// stock is a client as its user has to write it, over the calls that his library
// generates.
type stock struct {
	calls
	ask   talk.Ask
	batch uint32 // records of a message that is read; 0: one, in the field for one
}

// calls are the methods of log.v1.Log of one library.
type calls interface {
	describeLog(ctx context.Context, r *logv1.GetLogRequest) error
	produceOne(ctx context.Context, r *logv1.ProduceRequest) error
	consumeOne(ctx context.Context, r *logv1.ConsumeRequest) (*logv1.ConsumeResponse, error)
	produceStream(ctx context.Context) (produceStream, error)
	consumeStream(ctx context.Context, r *logv1.ConsumeRequest) (receive func() (*logv1.ConsumeResponse, error), err error)
	close() error
}

// A produceStream is one of either library.
type produceStream struct {
	send    func(*logv1.ProduceRequest) error
	end     func() error // of what is sent
	receive func() (*logv1.ProduceResponse, error)
}

// batchRecords is how many records a message has at most where batches are asked for.
const batchRecords = 1000

func (s *stock) request(value []byte) *logv1.ProduceRequest {
	return &logv1.ProduceRequest{Log: s.ask.Log, Record: &logv1.Record{Value: value}}
}

func (s *stock) warm(ctx context.Context) error {
	return s.describeLog(ctx, &logv1.GetLogRequest{Log: s.ask.Log})
}

func (s *stock) produce(ctx context.Context, value []byte) error {
	return s.produceOne(ctx, s.request(value))
}

func (s *stock) consume(ctx context.Context, offset uint64) ([]byte, error) {
	answer, err := s.consumeOne(ctx, &logv1.ConsumeRequest{Log: s.ask.Log, Offset: offset})
	return answer.GetRecord().GetValue(), err
}

// pipeline sends from one goroutine and takes acks in the other.
func (s *stock) pipeline(ctx context.Context, value []byte, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.produceStream(ctx)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		for range n {
			if err := stream.send(s.request(value)); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.end()
	}()
	acks := 0
	for {
		_, err = stream.receive()
		if err != nil {
			break
		}
		acks++
	}
	if !errors.Is(err, io.EOF) {
		cancel()
		return errors.Join(err, <-sent)
	}
	if acks != n {
		cancel()
		return errors.Join(fmt.Errorf("%d acks came, not %d", acks, n), <-sent)
	}
	return <-sent
}

func (s *stock) follow(ctx context.Context, each func([]byte) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	receive, err := s.consumeStream(ctx, &logv1.ConsumeRequest{Log: s.ask.Log, MaxRecords: s.batch})
	if err != nil {
		return err
	}
	for {
		answer, err := receive()
		if err != nil {
			return err
		}
		if s.batch == 0 {
			if !each(answer.GetRecord().GetValue()) {
				return nil
			}
			continue
		}
		for _, r := range answer.GetRecords() {
			if !each(r.GetValue()) {
				return nil
			}
		}
	}
}

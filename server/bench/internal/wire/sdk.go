package wire

import (
	"context"
	"errors"
	"fmt"

	proglog "github.com/proglog/proglog/sdk/go"

	"github.com/proglog/proglog/server/bench/internal/peer"
)

// SDK is our server behind our Go client, both with their defaults.
type SDK struct {
	Bin string
}

// Name implements [peer.Peer].
func (SDK) Name() string { return NameSDK }

// About implements [peer.Peer].
func (SDK) About() string {
	return "bin/proglog serve with its defaults; sdk/go with its defaults: calls that wait together travel together, each with its own ack, which stands on a sync"
}

// Open implements [peer.Peer].
func (p SDK) Open(dir string, load peer.Load) (peer.Subject, error) {
	s, err := startProglog(p.Bin, dir, load)
	if err != nil {
		return nil, err
	}
	client, err := proglog.New("http://" + s.process.Ready)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return &sdkSubject{served: s, client: client}, nil
}

type sdkSubject struct {
	*served
	client *proglog.Client
}

// Close implements [peer.Subject].
func (s *sdkSubject) Close() error { return errors.Join(s.client.Close(), s.stop()) }

// Writer implements [peer.Subject].
func (s *sdkSubject) Writer(_ int, batch *peer.Batch) peer.Writer {
	return sdkWriter{subject: s, value: batch.Values[0]}
}

type sdkWriter struct {
	subject *sdkSubject
	value   []byte
}

// Append implements [peer.Writer]: one Produce.
func (w sdkWriter) Append(int) (uint64, error) {
	ctx, cancel := context.WithTimeout(w.subject.ctx, callLimit)
	defer cancel()
	ack, err := w.subject.client.Produce(ctx, proglog.Record{Value: w.value})
	return ack.Offset, err
}

// Count implements [peer.Subject].
func (s *sdkSubject) Count() (uint64, error) {
	info, err := s.client.DescribeLog(s.ctx, "")
	return info.NextOffset, err
}

// Value implements [peer.Subject].
func (s *sdkSubject) Value(at peer.Place, _ []byte) ([]byte, error) {
	record, err := s.client.Consume(s.ctx, at.Offset)
	return record.Value, err
}

// Pump implements [peer.Pipelined]: a Producer.
func (s *sdkSubject) Pump(ctx context.Context, flow *peer.Flow) error {
	producer, err := s.client.NewProducer(ctx)
	if err != nil {
		return err
	}
	type pending struct {
		number uint64
		future proglog.Future
	}
	futures := make(chan pending, flow.Window)
	send := func(ctx context.Context) error {
		defer close(futures)
		for {
			number, values := flow.Take(1)
			if values == nil {
				return nil
			}
			future, err := producer.Send(ctx, proglog.Record{Value: values[0]})
			if err != nil {
				return err
			}
			select {
			case futures <- pending{number, future}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	receive := func(ctx context.Context) error {
		for p := range futures {
			if _, err := p.future.Wait(ctx); err != nil {
				return err
			}
			flow.Ack(p.number, 1)
		}
		return nil
	}
	return errors.Join(pipeline(ctx, send, receive), producer.Close(ctx))
}

// Stream implements [peer.Streaming]: a Follow from the first record on.
func (s *sdkSubject) Stream(ctx context.Context, n uint64, each func([]byte) error) error {
	at := uint64(0)
	for record, err := range s.client.Follow(ctx) {
		if err != nil {
			return err
		}
		if record.Offset != at {
			return fmt.Errorf("offset %d came instead of %d", record.Offset, at)
		}
		if err := each(record.Value); err != nil {
			return err
		}
		if at++; at == n {
			return nil
		}
	}
	return errors.New("the log ended")
}

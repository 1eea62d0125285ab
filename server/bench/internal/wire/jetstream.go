package wire

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/peer"
)

// JetStream is NATS JetStream: a stream on one server, in files, through nats.go
// with its defaults and one connection. With Always an ack stands on a sync, as
// ours does; by its default it syncs every two minutes, so a power cut takes what
// it acked. Its limits are lifted where they are not about durability.
type JetStream struct {
	Always bool // sync_interval: always
}

// Name implements [peer.Peer].
func (p JetStream) Name() string {
	if p.Always {
		return NameJetAlways
	}
	return NameJetDefault
}

// About implements [peer.Peer].
func (p JetStream) About() string {
	if p.Always {
		return fmt.Sprintf("nats-server %s, file store, sync_interval: always; nats.go %s with its defaults, one connection; an ack stands on a sync",
			child.Version("github.com/nats-io/nats-server/v2"), child.Version("github.com/nats-io/nats.go"))
	}
	return "the same, sync_interval at its default of two minutes: NOT DURABLE, a power cut takes acked records"
}

// What the stream is called, and what it takes.
const (
	streamName = "bench"
	subject    = "bench.records"
)

// Open implements [peer.Peer].
func (p JetStream) Open(dir string, load peer.Load) (_ peer.Subject, err error) {
	if err := checkLoad(load); err != nil {
		return nil, err
	}
	s := &jetSubject{}
	if s.served, err = startChild(child.Config{Kind: child.JetStream, Dir: filepath.Join(dir, "data"), SyncAlways: p.Always}, load); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.conn, err = nats.Connect(s.process.Ready); err != nil {
		return nil, err
	}
	// The client stops at 4,000 unacked publishes unless it is told otherwise; the
	// bench bounds what is in flight for all peers alike.
	if s.js, err = jetstream.New(s.conn, jetstream.WithPublishAsyncMaxPending(maxInFlight)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, callLimit)
	defer cancel()
	s.stream, err = s.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: streamName, Subjects: []string{subject}, Storage: jetstream.FileStorage, Replicas: 1,
		Duplicates: jetDuplicates,
	})
	return s, err
}

// jetDuplicates is the shortest window for ids of messages that it takes; the bench
// sends none.
const jetDuplicates = 100_000_000 // 100 ms in nanoseconds

// maxInFlight is more than any load has in flight.
const maxInFlight = 1 << 16

type jetSubject struct {
	*served
	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
}

// Close implements [peer.Subject].
func (s *jetSubject) Close() error {
	if s.conn != nil {
		s.conn.Close()
	}
	return s.stop()
}

// Writer implements [peer.Subject].
func (s *jetSubject) Writer(_ int, batch *peer.Batch) peer.Writer {
	return &jetWriter{subject: s, value: batch.Values[0]}
}

type jetWriter struct {
	subject *jetSubject
	value   []byte
}

// Append implements [peer.Writer]: one publish that waits for its ack.
func (w *jetWriter) Append(int) (uint64, error) {
	ctx, cancel := context.WithTimeout(w.subject.ctx, callLimit)
	defer cancel()
	ack, err := w.subject.js.Publish(ctx, subject, w.value)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// Count implements [peer.Subject].
func (s *jetSubject) Count() (uint64, error) {
	ctx, cancel := context.WithTimeout(s.ctx, callLimit)
	defer cancel()
	info, err := s.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	return info.State.Msgs, nil
}

// Value implements [peer.Subject].
func (s *jetSubject) Value(at peer.Place, _ []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.ctx, callLimit)
	defer cancel()
	m, err := s.stream.GetMsg(ctx, at.Offset)
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

// Pump implements [peer.Pipelined]: publishes of which the window is in flight.
func (s *jetSubject) Pump(ctx context.Context, flow *peer.Flow) error {
	type pending struct {
		number uint64
		future jetstream.PubAckFuture
	}
	futures := make(chan pending, flow.Window)
	send := func(ctx context.Context) error {
		defer close(futures)
		for {
			number, values := flow.Take(1)
			if values == nil {
				return nil
			}
			future, err := s.js.PublishAsync(subject, values[0])
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
			select {
			case <-p.future.Ok():
				flow.Ack(p.number, 1)
			case err := <-p.future.Err():
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	return pipeline(ctx, send, receive)
}

// pullMessages is how many messages an ordered consumer asks for at a time; its
// default of 500 makes it slower.
const pullMessages = 10_000

// Stream implements [peer.Streaming]: an ordered consumer from the first message on.
func (s *jetSubject) Stream(ctx context.Context, n uint64, each func([]byte) error) error {
	consumer, err := s.js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	var seen uint64
	over := false
	finish := func(err error) {
		over = true
		done <- err
	}
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		if over {
			return
		}
		if err := each(m.Data()); err != nil {
			finish(err)
			return
		}
		if seen++; seen == n {
			finish(nil)
		}
	}, jetstream.PullMaxMessages(pullMessages))
	if err != nil {
		return err
	}
	defer consuming.Stop()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return err
}

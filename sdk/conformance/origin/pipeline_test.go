package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/conformance/origin/gen/log/v1"
)

const (
	producers          = 8
	recordsPerProducer = 500
)

// Goal: eight producers that pipeline at the same time, each on a stream of its
// own, get every record acked, in the stream's order and with offsets that no
// other ack has; and every record reads back at the offset of its ack.
func TestConcurrentPipelinedProducers(t *testing.T) {
	ctx, c := client(t)

	type outcome struct {
		producer int
		offsets  []uint64
		err      error
	}
	outcomes := make(chan outcome, producers)
	for p := range producers {
		go func() {
			offsets, err := pipeline(ctx, c, p)
			outcomes <- outcome{producer: p, offsets: offsets, err: err}
		}()
	}

	want := make(map[uint64]string, producers*recordsPerProducer)
	for range producers {
		o := <-outcomes
		require.NoError(t, o.err, "producer %d", o.producer)
		require.Len(t, o.offsets, recordsPerProducer)
		for i, offset := range o.offsets {
			if i > 0 {
				require.Greater(t, offset, o.offsets[i-1], "producer %d, ack %d", o.producer, i)
			}
			require.NotContains(t, want, offset, "offset acked twice")
			want[offset] = value(o.producer, i)
		}
	}

	out, err := c.ConsumeStream(ctx, &logv1.ConsumeRequest{})
	require.NoError(t, err)
	for offset := range uint64(producers * recordsPerProducer) {
		got, err := out.Recv()
		require.NoError(t, err)
		requireRecord(t, got, offset, want[offset])
	}
}

func value(producer, i int) string { return fmt.Sprintf("producer %d, record %d", producer, i) }

// pipeline sends one producer's records without waiting for acks, and returns
// the acked offsets in the order in which they came.
func pipeline(ctx context.Context, c logv1.LogClient, producer int) ([]uint64, error) {
	stream, err := c.ProduceStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the stream: %w", err)
	}
	sent := make(chan error, 1)
	go func() {
		for i := range recordsPerProducer {
			record := &logv1.Record{Value: []byte(value(producer, i))}
			if err := stream.Send(&logv1.ProduceRequest{Record: record}); err != nil {
				sent <- fmt.Errorf("send record %d: %w", i, err)
				return
			}
		}
		sent <- stream.CloseSend()
	}()

	var offsets []uint64
	for {
		ack, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return offsets, <-sent
		}
		if err != nil {
			return offsets, fmt.Errorf("after %d acks: %w", len(offsets), err)
		}
		offsets = append(offsets, ack.GetOffset())
	}
}

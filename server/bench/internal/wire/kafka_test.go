package wire_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/wire"
)

// Goal: where Kafka is installed it does its job: a call is acked with an offset
// and reads back, and a pipelined producer's records stream out in order.
func TestKafka(t *testing.T) {
	s, err := wire.Kafka{}.Open(t.TempDir(), peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: 100})
	if errors.Is(err, peer.ErrUnavailable) {
		t.Logf("SKIP: %v", err) // no test of ours needs it, so STRICT=1 does not either
		return
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	b := peer.NewBatch(0, 1, 100)
	b.Stamp(0)
	offset, err := s.Writer(0, b).Append(0)
	require.NoError(t, err)
	value, err := s.Value(peer.Place{Offset: offset}, nil)
	require.NoError(t, err)
	require.NoError(t, b.Check(value, 0))

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	flow := peer.NewFlow(128, 100, 1, time.Now().Add(time.Second), 100*1000)
	require.NoError(t, s.(peer.Pipelined).Pump(ctx, flow))
	taken, acked, _ := flow.Results()
	assert.Equal(t, taken, acked)
	n, err := s.Count()
	require.NoError(t, err)
	assert.Equal(t, acked+1, n)
	next := uint64(0)
	require.NoError(t, s.(peer.Streaming).Stream(ctx, n, func(value []byte) error {
		defer func() { next++ }()
		return b.Check(value, next)
	}))
	assert.Equal(t, n, next)
	cpu, err := s.(peer.Served).CPU()
	require.NoError(t, err)
	assert.Positive(t, cpu)
}

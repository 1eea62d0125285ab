package rpc

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func batchOf(bytes int) commitlog.Batch {
	return commitlog.Batch{Records: []commitlog.Record{{Value: make([]byte, bytes)}}}
}

// Goal: batches come out in order, as many as fit what is asked for and at least
// one; and after them why there are no more.
func TestQueueOrder(t *testing.T) {
	q := newBatchQueue(1 << 20)
	ended := errors.New("ended")
	for i := range 5 {
		require.NoError(t, q.put(t.Context(), batchOf(i)))
	}
	q.close(ended)
	next := 0
	for _, want := range []int{2, 2, 1} {
		batches, over, err := q.take(t.Context(), 2*recordOverhead+10)
		require.NoError(t, err)
		require.False(t, over)
		require.Len(t, batches, want)
		for _, b := range batches {
			require.Len(t, b.Records[0].Value, next)
			next++
		}
	}
	_, over, err := q.take(t.Context(), 1)
	require.True(t, over)
	require.ErrorIs(t, err, ended)
}

// Goal: a full queue keeps the putter waiting until something is taken, a batch
// larger than the queue passes alone, and a context ends both waits.
func TestQueueBound(t *testing.T) {
	q := newBatchQueue(2*recordOverhead + 20)
	require.NoError(t, q.put(t.Context(), batchOf(10)))
	require.NoError(t, q.put(t.Context(), batchOf(10)))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, q.put(cancelled, batchOf(0)), context.Canceled)

	put := make(chan error, 1)
	go func() { put <- q.put(t.Context(), batchOf(10_000)) }()
	batches, _, err := q.take(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, batches, 1)
	select {
	case <-put:
		require.Fail(t, "there was no room yet")
	default:
	}
	_, _, err = q.take(t.Context(), 1)
	require.NoError(t, err)
	require.NoError(t, <-put)
	batches, _, err = q.take(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, batches[0].Records[0].Value, 10_000)

	_, over, err := q.take(cancelled, 1)
	require.True(t, over)
	require.ErrorIs(t, err, context.Canceled)
}

// Goal: the defaults are in range, and each limit is checked.
func TestLimitsValidate(t *testing.T) {
	require.NoError(t, Limits{}.Validate())
	require.NoError(t, DefaultLimits().Validate())
	for name, change := range map[string]func(*Limits){
		"batch":    func(l *Limits) { l.Batch.ValueBytes = commitlog.MaxValueBytes + 1 },
		"response": func(l *Limits) { l.ResponseBytes = maxResponseBytes + 1 },
		"records":  func(l *Limits) { l.MaxRecords = -1 },
		"queue":    func(l *Limits) { l.QueueBytes = -1 },
		"group":    func(l *Limits) { l.GroupBytes = -1 },
		"stride":   func(l *Limits) { l.StrideBytes = 1 << 30 },
		"compress": func(l *Limits) { l.CompressBytes = -1 },
		"streams":  func(l *Limits) { l.StreamsPerConnection = -1 },
		"unary":    func(l *Limits) { l.Unary = -1 },
		"stall":    func(l *Limits) { l.Stall = -1 },
	} {
		l := DefaultLimits()
		change(&l)
		require.Error(t, l.Validate(), name)
	}
}

package growth_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/bench/internal/growth"
)

// Goal: each measurement works at a small size, and leaves nothing behind.
func TestGrowth(t *testing.T) {
	dir := t.TempDir()
	fresh, err := growth.MeasureFresh(dir, 1)
	require.NoError(t, err)
	assert.Positive(t, fresh.Make)
	assert.Positive(t, fresh.Open)
	assert.Positive(t, fresh.Bytes)

	opening, err := growth.MeasureOpening(dir, 5, 1)
	require.NoError(t, err)
	assert.Equal(t, 5, opening.Segments)
	assert.Positive(t, opening.Open)

	small, err := growth.MeasureSmall(dir, 70)
	require.NoError(t, err)
	assert.Equal(t, 70, small.Logs)
	assert.GreaterOrEqual(t, small.Bytes, int64(70*growth.SmallRecords*growth.SmallValueBytes))
	assert.Positive(t, small.Open)

	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// Goal: a log that grows is measured at each size, its records are checked, and
// nothing is left behind.
func TestMeasureSizes(t *testing.T) {
	dir := t.TempDir()
	sizes := growth.Sizes(16 << 20)
	assert.Equal(t, []int64{1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20}, sizes)
	list, err := growth.MeasureSizes(t.Context(), dir, sizes, 2, time.Millisecond)
	require.NoError(t, err)
	require.Len(t, list, len(sizes))
	for i, s := range list {
		assert.GreaterOrEqual(t, s.Bytes, sizes[i])
		assert.Len(t, s.AppendRaw, 2)
		assert.Len(t, s.ReadRaw, 2)
		assert.Positive(t, s.Append)
		assert.Positive(t, s.Read)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = growth.MeasureSizes(ctx, dir, sizes, 1, time.Millisecond)
	assert.ErrorIs(t, err, context.Canceled)
}

// Goal: appends are told apart by whether a checkpoint was made beside them.
func TestMeasureBeside(t *testing.T) {
	dir := t.TempDir()
	b, err := growth.MeasureBeside(t.Context(), dir, 10, 32<<10, 1)
	require.NoError(t, err)
	require.Len(t, b.Rounds, 1)
	r := b.Rounds[0]
	for _, w := range []growth.Waits{r.First, r.During} {
		assert.Positive(t, w.Calls)
		assert.Positive(t, w.P50)
		assert.LessOrEqual(t, w.P50, w.P99)
		assert.LessOrEqual(t, w.P99, w.Longest)
	}
	assert.Positive(t, r.Share)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// Goal: what waits for its segment is seen on the heap.
func TestMeasureMemory(t *testing.T) {
	dir := t.TempDir()
	m, err := growth.MeasureMemory(t.Context(), dir, 10, 32<<10)
	require.NoError(t, err)
	assert.Greater(t, m.Most, m.Rest)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

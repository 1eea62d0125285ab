package growth_test

import (
	"os"
	"testing"

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

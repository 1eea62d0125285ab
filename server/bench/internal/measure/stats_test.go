package measure

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Goal: the arithmetic that every table rests on is right, at its edges too.
func TestMedian(t *testing.T) {
	for name, row := range map[string]struct {
		v    []float64
		want float64
	}{
		"one":             {[]float64{7}, 7},
		"odd, unsorted":   {[]float64{9, 1, 5}, 5},
		"even":            {[]float64{4, 1, 3, 2}, 2.5},
		"equal":           {[]float64{2, 2, 2}, 2},
		"an outlier":      {[]float64{1, 2, 1e9}, 2},
		"with a negative": {[]float64{-1, 1}, 0},
	} {
		t.Run(name, func(t *testing.T) { assert.InDelta(t, row.want, Median(row.v), 1e-9) })
	}
	assert.True(t, math.IsNaN(Median(nil)))
	v := []float64{3, 1, 2}
	Median(v)
	assert.Equal(t, []float64{3, 1, 2}, v, "the values stay in the order of the rounds")
}

// Goal: ratios are those of one round each, not of the medians.
func TestRatio(t *testing.T) {
	assert.Equal(t, []float64{2, 0.5}, Ratios([]float64{4, 1, 9}, []float64{2, 2}))
	assert.Equal(t, []float64{2}, Ratios([]float64{4, 1}, []float64{2, 0}), "a round without a figure to compare with")
	assert.Empty(t, Ratios(nil, []float64{1}))

	ours := Series{{Records: 10, Elapsed: time.Second}, {Records: 100, Elapsed: time.Second}, {Records: 30, Elapsed: time.Second}}
	theirs := Series{{Records: 10, Elapsed: time.Second}, {Records: 50, Elapsed: time.Second}, {Records: 10, Elapsed: time.Second}}
	assert.InDelta(t, 2, ours.Ratio(theirs, Rate), 1e-9, "the rounds' ratios are 1, 2 and 3; that of the medians would be 3")
}

// Goal: the spread tells how far rounds are apart.
func TestSpread(t *testing.T) {
	assert.InDelta(t, 4, Spread([]float64{2, 8, 3}), 1e-9)
	assert.InDelta(t, 1, Spread([]float64{2}), 1e-9)
	assert.True(t, math.IsNaN(Spread(nil)))
}

// Goal: a percentile is a latency that happened, by nearest rank.
func TestPercentile(t *testing.T) {
	hundred := make([]uint32, 100)
	for i := range hundred {
		hundred[i] = uint32(i + 1)
	}
	for name, row := range map[string]struct {
		sorted []uint32
		p      float64
		want   time.Duration
	}{
		"nothing":             {nil, 0.5, 0},
		"one":                 {[]uint32{5}, 0.999, 5},
		"half of two":         {[]uint32{1, 2}, 0.5, 1},
		"half of three":       {[]uint32{1, 2, 3}, 0.5, 2},
		"half of a hundred":   {hundred, 0.5, 50},
		"99 % of a hundred":   {hundred, 0.99, 99},
		"99.9 % of a hundred": {hundred, 0.999, 100},
		"the smallest":        {hundred, 0, 1},
		"the largest":         {hundred, 1, 100},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, row.want, Percentile(row.sorted, row.p)) })
	}
}

// Goal: a latency that 32 bits cannot hold becomes the largest, never a small one.
func TestLatency(t *testing.T) {
	assert.Equal(t, uint32(1500), latency(1500*time.Nanosecond))
	assert.Equal(t, uint32(math.MaxUint32), latency(5*time.Second))
	assert.Zero(t, latency(-1))
}

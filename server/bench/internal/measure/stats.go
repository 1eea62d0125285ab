// Package measure runs peers side by side and keeps the figures: loads of
// goroutines that append or read in a loop, rounds that take turns, medians and
// ratios of them, and the proof that what was acked is there.
package measure

import (
	"math"
	"slices"
	"time"
)

// Median returns the middle value, the mean of the two middle ones if there are
// two, and NaN of nothing. It leaves v as it is.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	mid := len(s) / 2
	if len(s)%2 == 1 {
		return s[mid]
	}
	return (s[mid-1] + s[mid]) / 2
}

// Spread returns how far the values are apart: the largest divided by the
// smallest, and NaN of nothing.
func Spread(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	return slices.Max(v) / slices.Min(v)
}

// Ratios divides a by b, pair by pair. Pairs whose b is zero are left out.
func Ratios(a, b []float64) []float64 {
	var r []float64
	for i := range min(len(a), len(b)) {
		if b[i] != 0 {
			r = append(r, a[i]/b[i])
		}
	}
	return r
}

// A latency is kept in nanoseconds of 32 bits, which end after four seconds.
func latency(d time.Duration) uint32 {
	return uint32(min(max(d, 0), math.MaxUint32))
}

// Percentile returns the latency that a share p of sorted ones does not exceed:
// the smallest for p = 0, the largest for p = 1, zero of nothing.
func Percentile(sorted []uint32, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p*float64(len(sorted)))) - 1
	return time.Duration(sorted[min(max(rank, 0), len(sorted)-1)])
}

package report

import (
	"fmt"
	"math"
	"strconv"
)

// none stands for a figure that there is not.
const none = "–"

// Count formats a rate or a count: three digits and k or M.
func Count(v float64) string {
	switch {
	case math.IsNaN(v):
		return none
	case v >= 999.5e3:
		return digits(v/1e6) + "M"
	case v >= 999.5:
		return digits(v/1e3) + "k"
	}
	return digits(v)
}

// Bytes formats a size in MiB.
func Bytes(n int64) string { return digits(float64(n)/(1<<20)) + " MiB" }

// Megabytes formats a rate of bytes in MB/s.
func Megabytes(v float64) string {
	if math.IsNaN(v) {
		return none
	}
	return digits(v / 1e6)
}

// Micros formats microseconds.
func Micros(v float64) string {
	if math.IsNaN(v) {
		return none
	}
	return digits(v)
}

// Ratio formats a ratio.
func Ratio(v float64) string {
	if math.IsNaN(v) {
		return none
	}
	return digits(v) + "x"
}

// Percent formats a share.
func Percent(v float64) string {
	if math.IsNaN(v) {
		return none
	}
	return fmt.Sprintf("%.0f %%", 100*v)
}

// Size formats a record's or a run's size.
func Size(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// digits gives three digits, or all in front of the point.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return none
	case a >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

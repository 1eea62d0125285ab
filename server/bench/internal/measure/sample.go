package measure

import (
	"slices"
	"time"
)

// A Sample is what one run of one entrant gave.
type Sample struct {
	Records       uint64
	Calls         uint64 // appends, or reads
	Bytes         uint64 // of values, or of what was read
	Elapsed       time.Duration
	P50, P99      time.Duration // of a call
	P999          time.Duration
	AllocsPerCall float64
	CPUPerRecord  time.Duration // of the whole process, the load itself included
	// ServerPerRecord is processor time of the server's process; 0 if it has none
	// of its own, which CPUPerRecord then includes.
	ServerPerRecord time.Duration
	Others          float64 // share of the processors that others used
	BesideBytes     uint64  // what the load beside it wrote
}

// PerSecond is the rate of records.
func (s Sample) PerSecond() float64 { return float64(s.Records) / s.Elapsed.Seconds() }

// BytesPerSecond is the rate of bytes.
func (s Sample) BytesPerSecond() float64 { return float64(s.Bytes) / s.Elapsed.Seconds() }

// newSample fills what follows from the usage around a run and its latencies,
// which it sorts.
func newSample(before, after usage, latencies []uint32, records, bytes uint64) Sample {
	slices.Sort(latencies)
	s := Sample{
		Records: records, Calls: uint64(len(latencies)), Bytes: bytes,
		Elapsed: after.at.Sub(before.at),
		P50:     Percentile(latencies, 0.5), P99: Percentile(latencies, 0.99), P999: Percentile(latencies, 0.999),
		Others: othersBetween(before, after),
	}
	if s.Calls > 0 {
		s.AllocsPerCall = float64(after.mallocs-before.mallocs) / float64(s.Calls)
	}
	if records > 0 {
		s.CPUPerRecord = (after.cpu - before.cpu) / time.Duration(records)
	}
	return s
}

// A Series is the samples of one entrant, round by round. A round that was not
// run has none, and all series of a contest have the same rounds.
type Series []Sample

// Each returns a figure of every round.
func (s Series) Each(figure func(Sample) float64) []float64 {
	v := make([]float64, len(s))
	for i := range s {
		v[i] = figure(s[i])
	}
	return v
}

// Median is the median over the rounds of a figure.
func (s Series) Median(figure func(Sample) float64) float64 { return Median(s.Each(figure)) }

// Ratio is the median of a figure's ratios to another series, round by round.
func (s Series) Ratio(to Series, figure func(Sample) float64) float64 {
	return Median(s.Ratios(to, figure))
}

// Ratios returns a figure's ratio to another series in every round.
func (s Series) Ratios(to Series, figure func(Sample) float64) []float64 {
	return Ratios(s.Each(figure), to.Each(figure))
}

// Figures of a sample, for Series.

// Rate is records per second.
func Rate(s Sample) float64 { return s.PerSecond() }

// Throughput is bytes per second.
func Throughput(s Sample) float64 { return s.BytesPerSecond() }

// Latency50 is the median latency in microseconds.
func Latency50(s Sample) float64 { return micros(s.P50) }

// Latency99 is the 99th percentile in microseconds.
func Latency99(s Sample) float64 { return micros(s.P99) }

// Latency999 is the 99.9th percentile in microseconds.
func Latency999(s Sample) float64 { return micros(s.P999) }

// Allocs is allocations per call.
func Allocs(s Sample) float64 { return s.AllocsPerCall }

// CPU is processor time per record in microseconds.
func CPU(s Sample) float64 { return micros(s.CPUPerRecord) }

// ServerCPU is processor time of the server's process per record in
// microseconds.
func ServerCPU(s Sample) float64 { return micros(s.ServerPerRecord) }

// Others is the share of the processors that others used.
func Others(s Sample) float64 { return s.Others }

// Beside is bytes per second of the load beside.
func Beside(s Sample) float64 { return float64(s.BesideBytes) / s.Elapsed.Seconds() }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

package main

import (
	"fmt"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/report"
)

// wireTable has a row for each entrant of each cell of a group; the first entrant
// of a cell is compared with all others.
func wireTable(r *results, group, title string, notes ...string) report.Section {
	s := report.Section{Title: title, Notes: notes}
	s.Head = []string{"", "callers", "value", "records/s", "MB/s", "p50 µs", "p99 µs", "p99.9 µs", "server CPU µs/record", "bench CPU µs/record", "proglog's rate is", "spread", "rounds differ", "others"}
	for _, c := range r.contests {
		if c.group != group {
			continue
		}
		for i, o := range c.outcomes {
			if o.Unavailable != "" {
				s.Rows = append(s.Rows, []string{o.Label + ": SKIP", fmt.Sprint(o.Load.Writers), report.Size(o.Load.ValueBytes), o.Unavailable})
				continue
			}
			s.Rows = append(s.Rows, wireRow(o, c.outcomes[0], i == 0))
		}
	}
	return s
}

func wireRow(o, first measure.Outcome, isFirst bool) []string {
	v := o.Series
	row := []string{o.Label, fmt.Sprint(o.Load.Writers), report.Size(o.Load.ValueBytes), report.Count(v.Median(measure.Rate)), report.Megabytes(v.Median(measure.Throughput))}
	if v.Median(measure.Latency999) > 0 {
		row = append(row, report.Micros(v.Median(measure.Latency50)), report.Micros(v.Median(measure.Latency99)), report.Micros(v.Median(measure.Latency999)))
	} else { // a stream has no calls to be timed
		row = append(row, "", "", "")
	}
	row = append(row, report.Micros(v.Median(measure.ServerCPU)), report.Micros(v.Median(measure.CPU)))
	if ratios := first.Series.Ratios(v, measure.Rate); isFirst {
		row = append(row, "", "")
	} else {
		row = append(row, report.Ratio(measure.Median(ratios)), report.Ratio(measure.Spread(ratios)))
	}
	return append(row, report.Ratio(measure.Spread(v.Each(measure.Rate))), report.Percent(v.Median(measure.Others)))
}

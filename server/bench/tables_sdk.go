package main

import (
	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/report"
)

// sdkTable has a row for each client of each contest of SDKs. An SDK is compared with
// the best of those it is measured against.
func sdkTable(r *results) report.Section {
	s := report.Section{
		Title: "SDKs beside stock clients",
		Notes: []string{
			"One server, and one process of the language in which its clients take turns. unary: callers wait for the ack of one record each. pipelined: one producer that does not wait; a stock client sends a record to a message over one ProduceStream. consume: callers read one record each by its offset. follow: a whole log, from its first record on; a stock client gets a record to a message, \"-batch\" one that asks for many, with which no SDK is compared.",
			"What was acked is looked for in the log; what was read is counted. Compression is off.",
		},
		Head: []string{"", "", "records/s", "MB/s", "client CPU µs/record", "server CPU µs/record", "rate / best stock", "spread", "CPU / best stock", "rounds differ"},
	}
	for _, c := range r.contests {
		if c.group != groupSDK {
			continue
		}
		for i, o := range c.outcomes {
			if o.Unavailable != "" {
				s.Rows = append(s.Rows, []string{o.Label + ": SKIP", c.job(), o.Unavailable})
				continue
			}
			s.Rows = append(s.Rows, sdkRow(c, i))
		}
	}
	return s
}

func sdkRow(c contest, i int) []string {
	o := c.outcomes[i]
	v := o.Series
	row := []string{
		o.Label, c.job(), report.Count(v.Median(measure.Rate)), report.Megabytes(v.Median(measure.Throughput)),
		report.Micros(v.Median(measure.CPU)), report.Micros(v.Median(measure.ServerCPU)),
	}
	if best := bestRival(c.outcomes, i); best >= 0 {
		rates := v.Ratios(c.outcomes[best].Series, measure.Rate)
		row = append(row, report.Ratio(measure.Median(rates)), report.Ratio(measure.Spread(rates)),
			report.Ratio(v.Ratio(c.outcomes[best].Series, measure.CPU)))
	} else {
		row = append(row, "", "", "")
	}
	return append(row, report.Ratio(measure.Spread(v.Each(measure.Rate))))
}

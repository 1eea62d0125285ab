package main

import (
	"context"
	"fmt"
	"math"

	"github.com/proglog/proglog/server/bench/internal/growth"
	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/report"
)

// checkpoints asks what appends suffer from checkpoints.
func (p *planner) checkpoints() {
	for _, logs := range []int{1, p.o.sizes.logs} {
		for _, value := range smallSizes() {
			name := fmt.Sprintf("checkpoints/logs=%d/value=%s", logs, short(value))
			p.add(name, rows("G13").slow(), 4<<30, func(ctx context.Context, dir string, r *results) error {
				b, err := growth.MeasureBeside(ctx, dir, logs, value, p.o.rounds)
				r.beside = append(r.beside, b)
				return err
			})
		}
	}
}

// p99Beside is a round's p99 beside checkpoints as a ratio to the calm between.
func p99Beside(b growth.Beside) (ratios []float64) {
	for _, r := range b.Rounds {
		ratios = append(ratios, float64(r.During.P99)/float64(max(1, r.Calm.P99)))
	}
	return ratios
}

// judgeCheckpoints has a line for each number of logs and size of value.
func judgeCheckpoints(r *results) []goal {
	var goals []goal
	for _, b := range r.beside {
		g := goal{
			id: "G13", what: fmt.Sprintf("p99 of appends to %s, %s, beside a checkpoint and between", logsLabel(b.Logs), report.Size(b.ValueBytes)),
			want: 3, atMost: true, show: report.Ratio, value: math.NaN(),
		}
		if ratios := p99Beside(b); len(ratios) > 0 {
			g.value, g.spread = measure.Median(ratios), measure.Spread(ratios)
			for i, v := range ratios {
				if i > 0 {
					g.detail += " "
				}
				g.detail += report.Ratio(v)
			}
		}
		goals = append(goals, g)
	}
	return goals
}

// checkpointTable has a row for each number of logs and size of value.
func checkpointTable(r *results) report.Section {
	s := report.Section{
		Title: "Appends beside checkpoints",
		Notes: []string{"256 goroutines append one record at a time without a pause, each to a log chosen at random, in a new data directory. \"first\" is until the first checkpoint is done, which makes the files of the new logs; \"beside\" is while one of the next five is made, \"calm\" is between them. Medians of the rounds; a wait of more than 4.3 s counts as 4.3 s."},
		Head:  []string{"logs", "value", "calm p50", "calm p99", "calm longest", "beside p50", "beside p99", "beside longest", "p99 / calm", "rounds differ", "share of the time", "first p99", "first longest"},
	}
	for _, b := range r.beside {
		of := func(figure func(growth.BesideRound) float64) float64 {
			var all []float64
			for _, r := range b.Rounds {
				all = append(all, figure(r))
			}
			return measure.Median(all)
		}
		ms := func(figure func(growth.BesideRound) float64) string { return milliseconds(of(figure) / 1e6) }
		ratios := p99Beside(b)
		s.Rows = append(s.Rows, []string{
			report.Count(float64(b.Logs)), report.Size(b.ValueBytes),
			ms(func(r growth.BesideRound) float64 { return float64(r.Calm.P50) }),
			ms(func(r growth.BesideRound) float64 { return float64(r.Calm.P99) }),
			ms(func(r growth.BesideRound) float64 { return float64(r.Calm.Longest) }),
			ms(func(r growth.BesideRound) float64 { return float64(r.During.P50) }),
			ms(func(r growth.BesideRound) float64 { return float64(r.During.P99) }),
			ms(func(r growth.BesideRound) float64 { return float64(r.During.Longest) }),
			report.Ratio(measure.Median(ratios)), report.Ratio(measure.Spread(ratios)),
			report.Percent(of(func(r growth.BesideRound) float64 { return r.Share })),
			ms(func(r growth.BesideRound) float64 { return float64(r.First.P99) }),
			ms(func(r growth.BesideRound) float64 { return float64(r.First.Longest) }),
		})
	}
	return s
}

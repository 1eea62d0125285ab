package main

import (
	"context"
	"fmt"
	"math"

	"github.com/proglog/proglog/server/bench/internal/growth"
	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/report"
	plog "github.com/proglog/proglog/server/log"
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

// memory asks what appends that wait for their segments hold.
func (p *planner) memory() {
	for _, value := range smallSizes() {
		p.add("memory/value="+short(value), rows("G13").slow(), 8<<30, func(ctx context.Context, dir string, r *results) error {
			for _, logs := range p.o.sizes.curveLogs() {
				m, err := growth.MeasureMemory(ctx, dir, logs, value)
				if err != nil {
					return err
				}
				r.memory = append(r.memory, m)
			}
			return nil
		})
	}
}

// memoryTable has a row for each number of logs and size of value.
func memoryTable(r *results) report.Section {
	s := report.Section{
		Title: "Memory of appends",
		Notes: []string{fmt.Sprintf("What was appended waits in memory for its segment, at most %s (a limit with a flag). 256 goroutines append one record at a time without a pause, each to a log chosen at random, until three checkpoints were made; the heap is looked at after a collection, twenty times a second, without what the process had before. \"at rest\" is with all logs open and nothing that waits.", report.Bytes(plog.DefaultTailBytes))},
		Head:  []string{"logs", "value", "heap at rest", "most", "for appends"},
	}
	for _, m := range r.memory {
		s.Rows = append(s.Rows, []string{report.Count(float64(m.Logs)), report.Size(m.ValueBytes), report.Bytes(m.Rest), report.Bytes(m.Most), report.Bytes(m.Most - m.Rest)})
	}
	return s
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

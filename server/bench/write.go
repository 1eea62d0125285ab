package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/report"
)

// write shows the results in all the forms that are asked for.
func write(o *options, r *results, facts []string, stdout io.Writer) error {
	text := report.Report{Title: "proglog bench", Sections: sections(r, facts)}
	if err := text.Text(stdout); err != nil {
		return err
	}
	if o.picture != "" {
		if err := writeFile(o.picture, func(w io.Writer) error { return report.SVG(w, charts(r)) }); err != nil {
			return err
		}
	}
	if o.markdown == "" {
		return nil
	}
	text.Sections = append(text.Sections, full([]report.Section{everyone(r)})...)
	return writeFile(o.markdown, func(w io.Writer) error { return text.Markdown(w, o.link()) })
}

// link is how the Markdown file refers to the picture.
func (o *options) link() string {
	if o.picture == "" {
		return ""
	}
	if relative, err := filepath.Rel(filepath.Dir(o.markdown), o.picture); err == nil {
		return filepath.ToSlash(relative)
	}
	return o.picture
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// growthCharts are the curves of what grows: a log, its segments, its followers.
func growthCharts(r *results) []report.Chart {
	size := []report.Curve{{Name: "appends"}, {Name: "random reads"}}
	for _, g := range r.grown {
		at := float64(g.Bytes) / (1 << 30)
		size[0].Points = append(size[0].Points, report.Point{X: at, Y: measure.Median(g.AppendRaw)})
		size[1].Points = append(size[1].Points, report.Point{X: at, Y: measure.Median(g.ReadRaw)})
	}
	segments := []report.Curve{{Name: "proglog"}}
	for _, o := range r.openings {
		segments[0].Points = append(segments[0].Points, report.Point{X: float64(o.Segments), Y: float64(o.Open) / float64(time.Millisecond)})
	}
	var held []report.Curve
	for _, m := range r.memory {
		name := report.Size(m.ValueBytes)
		i := slices.IndexFunc(held, func(c report.Curve) bool { return c.Name == name })
		if i < 0 {
			i = len(held)
			held = append(held, report.Curve{Name: name})
		}
		held[i].Points = append(held[i].Points, report.Point{X: float64(m.Logs), Y: float64(m.Most-m.Rest) / (1 << 20)})
	}
	var memory, reach []report.Curve
	index := map[string]int{}
	for _, f := range r.following {
		if f.Unavailable != "" {
			continue
		}
		i, ok := index[f.Name]
		if !ok {
			i = len(memory)
			index[f.Name] = i
			memory, reach = append(memory, report.Curve{Name: f.Name}), append(reach, report.Curve{Name: f.Name})
		}
		at := float64(f.Followers)
		memory[i].Points = append(memory[i].Points, report.Point{X: at, Y: f.Bytes * at / (1 << 20)})
		reach[i].Points = append(reach[i].Points, report.Point{X: at, Y: measure.Median(each(f.Reach)) / float64(time.Millisecond)})
	}
	var drawn []report.Chart
	for _, c := range []report.Chart{
		{Title: "A log that grows: rate beside raw I/O at the same size", X: "GiB", Base: 2, Y: "ratio", Curves: size},
		{Title: "Open: one log of sealed segments", X: "segments", Base: 2, Y: "ms", Curves: segments},
		{Title: "Memory of appends that wait for their segments", X: "logs", Base: 10, Y: "MiB", Curves: held},
		{Title: "Tails: server memory for idle followers, before a rest", X: "followers", Base: 10, Y: "MiB", Curves: memory},
		{Title: "Tails: until one record has reached all", X: "followers", Base: 10, Y: "ms", Curves: reach},
	} {
		if len(c.Curves) > 0 && len(c.Curves[0].Points) > 0 {
			drawn = append(drawn, c)
		}
	}
	return drawn
}

// charts are the curves that were measured.
func charts(r *results) []report.Chart {
	writers := func(l peer.Load) float64 { return float64(l.Writers) }
	value := func(l peer.Load) float64 { return float64(l.ValueBytes) }
	logs := func(l peer.Load) float64 { return float64(l.Logs) }
	all := []report.Chart{
		{Title: "Group commit: rate, one log, 100 B", X: "goroutines", Base: 2, Y: "records/s", Curves: curves(r, groupCurve, writers, measure.Rate)},
		{Title: "Group commit: p50, one log, 100 B", X: "goroutines", Base: 2, Y: "µs", Curves: curves(r, groupCurve, writers, measure.Latency50)},
		{Title: "Calls over the wire: rate, 100 B", X: "callers", Base: 2, Y: "records/s", Curves: curves(r, groupCall, writers, measure.Rate)},
		{Title: "Calls over the wire: p50, 100 B", X: "callers", Base: 2, Y: "µs", Curves: curves(r, groupCall, writers, measure.Latency50)},
		{Title: "A pipelined producer: rate", X: "bytes of a value", Base: 2, Y: "records/s", Curves: curves(r, groupPump, value, measure.Rate)},
		{Title: "A consumer from the first record on: rate", X: "bytes of a value", Base: 2, Y: "records/s", Curves: curves(r, groupStream, value, measure.Rate)},
		{Title: "A consumer: server CPU per record", X: "bytes of a value", Base: 2, Y: "µs", Curves: curves(r, groupStream, value, measure.ServerCPU)},
		{Title: "Number of logs: rate, 256 goroutines, 100 B", X: "logs", Base: 10, Y: "records/s", Curves: curves(r, groupLogs, logs, measure.Rate)},
	}
	drawn := growthCharts(r)
	for _, c := range all {
		if len(c.Curves) > 0 {
			drawn = append(drawn, c)
		}
	}
	return drawn
}

// curves has one for each entrant of a group of contests.
func curves(r *results, group string, x func(peer.Load) float64, figure func(measure.Sample) float64) []report.Curve {
	var list []report.Curve
	index := map[string]int{}
	for _, c := range r.contests {
		if c.group != group {
			continue
		}
		for _, o := range c.outcomes {
			i, ok := index[o.Label]
			if !ok {
				i = len(list)
				index[o.Label] = i
				list = append(list, report.Curve{Name: o.Label})
			}
			if o.Unavailable == "" {
				list[i].Points = append(list[i].Points, report.Point{X: x(o.Load), Y: o.Series.Median(figure)})
			}
		}
	}
	return list
}

package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/proglog/proglog/server/bench/internal/growth"
	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/report"
)

// A goal is a figure that the engine has to reach, and what it did.
type goal struct {
	id, what string
	want     float64
	atMost   bool // otherwise at least
	show     func(float64) string
	value    float64 // NaN: not measured
	spread   float64 // largest of the rounds' ratios divided by the smallest; 0: there are none
	detail   string
}

func (g goal) reached() bool {
	if g.atMost {
		return g.value <= g.want
	}
	return g.value >= g.want
}

// judge compares the results with the goals, in their order.
func judge(r *results) []goal {
	return slices.Concat(judgeEngine(r), judgeOne(r), judgeCalls(r), judgePumps(r), judgeStreams(r), judgeFollowing(r), judgeReads(r), judgeMany(r), judgeCheckpoints(r), judgeGrowth(r), judgeFirst(r), judgeSDKs(r))
}

// judgeOne is G2: a single writer beside a bare loop on prepared space, the
// second entrant.
func judgeOne(r *results) []goal {
	var goals []goal
	for _, value := range smallSizes() {
		g := goal{id: "G2", what: "one writer, " + report.Size(value) + ": p50 beside a bare loop", want: 1.15, atMost: true}
		g.against(r.find(groupOne+"/batch=1/value="+short(value)), 0, 1, measure.Latency50)
		goals = append(goals, g)
	}
	for _, value := range smallSizes() {
		g := goal{id: "G2", what: "batches of 100 x " + report.Size(value) + ": rate beside a bare loop", want: 0.8}
		g.against(r.find(groupOne+"/batch=100/value="+short(value)), 0, 1, measure.Rate)
		goals = append(goals, g)
	}
	return goals
}

// judgeReads is G11: our engine, the first entrant, beside the book's design, the
// third; and beside itself with one reader. The latter has no figure among the
// goals: twice as many readers as fit the smallest machine must give half as much
// again.
func judgeReads(r *results) []goal {
	var goals []goal
	var alone measure.Series
	for _, c := range r.readings {
		if !c.way.Random || c.valueBytes > 1<<10 || len(c.outcomes) < 3 {
			continue
		}
		what := fmt.Sprintf("read by offset, %s, readers: %d", report.Size(c.valueBytes), c.way.Readers)
		g := goal{id: "G11", what: what + ": rate beside the book's design", want: 1.5}
		g.against(c.outcomes, 0, 2, measure.Rate)
		goals = append(goals, g)
		if c.way.Readers == 1 {
			alone = c.outcomes[0].Series
			continue
		}
		g = goal{id: "G11", what: what + ": rate beside one reader", want: 1.5}
		g.against([]measure.Outcome{c.outcomes[0], {Series: alone}}, 0, 1, measure.Rate)
		goals = append(goals, g)
	}
	return goals
}

// judgeMany is G13: many logs beside one, a small writer beside a large one.
func judgeMany(r *results) []goal {
	var goals []goal
	for _, kind := range []string{"burst", "sustained"} {
		for _, value := range smallSizes() {
			g := goal{id: "G13", what: fmt.Sprintf("many logs beside one, 256 goroutines, %s, %s: rate", report.Size(value), kind), want: 0.5}
			g.against(r.find(groupMany+"/"+kind+"/value="+short(value)), 1, 0, measure.Rate)
			goals = append(goals, g)
		}
	}
	g := goal{id: "G13", what: "a small writer's p50 beside a bulk writer and alone", want: 3, atMost: true}
	g.against(r.find(groupBeside+"/value=100"), 1, 0, measure.Latency50)
	return append(goals, g)
}

// against fills the goal's value: a ratio of two outcomes' figures.
func (g *goal) against(outcomes []measure.Outcome, a, b int, figure func(measure.Sample) float64) {
	g.show, g.value = report.Ratio, math.NaN()
	if len(outcomes) <= max(a, b) {
		return
	}
	ratios := outcomes[a].Series.Ratios(outcomes[b].Series, figure)
	g.value = measure.Median(ratios)
	g.spread = measure.Spread(ratios)
	for i, v := range ratios {
		if i > 0 {
			g.detail += " "
		}
		g.detail += report.Ratio(v)
	}
}

// beside is against for entrants that are known by their labels.
func (g *goal) beside(outcomes []measure.Outcome, a, b string, figure func(measure.Sample) float64) {
	place := func(label string) int {
		return slices.IndexFunc(outcomes, func(o measure.Outcome) bool { return o.Label == label })
	}
	i, j := place(a), place(b)
	if i < 0 || j < 0 {
		g.value = math.NaN()
		return
	}
	g.against(outcomes, i, j, figure)
}

// judgeGrowth is what of G12, G13 and G14 concerns opening and the disk.
func judgeGrowth(r *results) []goal {
	perSegment := goal{id: "G12", what: "open, for each of many sealed segments, all else included", want: 20, atMost: true, show: microseconds, value: math.NaN()}
	if n := len(r.openings); n > 1 {
		few, many := r.openings[0], r.openings[n-1]
		perSegment.value = float64(many.Open) / float64(many.Segments) / float64(time.Microsecond)
		perSegment.detail = fmt.Sprintf("%d in %s, %d in %s", few.Segments, round(few.Open), many.Segments, round(many.Open))
	}
	small := goal{id: "G13", what: fmt.Sprintf("many small logs, %d x %d B in each: disk beside the journal", growth.SmallRecords, growth.SmallValueBytes),
		want: 64, atMost: true, show: mebibytes, value: math.NaN()}
	if s := r.small; s != nil {
		small.value = float64(s.Bytes) / (1 << 20)
		small.detail = fmt.Sprintf("%s made in %s, filled in %s, closed in %s, opened in %s", logsLabel(s.Logs), round(s.Create), round(s.Fill), round(s.Close), round(s.Open))
	}
	disk := goal{id: "G14", what: "a fresh data directory: disk", want: 64, atMost: true, show: mebibytes, value: math.NaN()}
	ready := goal{id: "G14", what: "a fresh data directory: until it takes appends", want: 1000, atMost: true, show: milliseconds, value: math.NaN()}
	if f := r.fresh; f != nil {
		disk.value = float64(f.Bytes) / (1 << 20)
		ready.value = float64(f.Make) / float64(time.Millisecond)
		ready.detail = "the second time in " + round(f.Open)
	}
	return append(judgeSizes(r.grown), perSegment, small, disk, ready)
}

// judgeSizes is what of G12 concerns a log that grows. A trend is how far the
// ratios at the largest size are from those at the smallest, whichever way, beside
// how far those of one size are apart.
func judgeSizes(list []growth.Size) []goal {
	trend := func(what string, ratios func(growth.Size) []float64) goal {
		g := goal{id: "G12", what: what + ": trend over sizes beside the spread of rounds", want: 1, atMost: true, show: report.Ratio, value: math.NaN()}
		if len(list) < 2 {
			return g
		}
		for i, s := range list {
			g.spread = max(g.spread, measure.Spread(ratios(s)))
			if i > 0 {
				g.detail += ", "
			}
			g.detail += fmt.Sprintf("%s %s", report.Bytes(s.Bytes), report.Ratio(measure.Median(ratios(s))))
		}
		first, last := measure.Median(ratios(list[0])), measure.Median(ratios(list[len(list)-1]))
		g.value = max(first/last, last/first) / g.spread
		return g
	}
	appends := trend("one log, appends beside raw I/O", func(s growth.Size) []float64 { return s.AppendRaw })
	reads := trend("one log, random reads beside raw I/O", func(s growth.Size) []float64 { return s.ReadRaw })
	held := goal{id: "G12", what: "heap of the largest log, opened anew and read all over", atMost: true, show: mebibytes, value: math.NaN()}
	if n := len(list); n > 0 {
		held.want = 64 + 0.1*float64(list[n-1].Bytes)/(1<<30)
		held.value = float64(list[n-1].Heap) / (1 << 20)
	}
	return []goal{appends, reads, held}
}

func microseconds(v float64) string { return report.Micros(v) + " µs" }
func milliseconds(v float64) string { return report.Micros(v) + " ms" }
func mebibytes(v float64) string    { return report.Bytes(int64(v * (1 << 20))) }

func round(d time.Duration) string {
	if d < time.Second {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// goalTable shows the goals that were measured.
func goalTable(r *results) report.Section {
	s := report.Section{
		Title: "Goals",
		Notes: []string{"Ratios are medians of the rounds' ratios, which stand behind them; the spread is the largest divided by the smallest. Goals whose peers are not here, and those that were not asked for, are left out."},
		Head:  []string{"goal", "", "at least or at most", "value", "spread", "reached", "rounds, or details"},
	}
	for _, g := range judge(r) {
		if math.IsNaN(g.value) {
			continue
		}
		sign, reached, spread := "≥ ", "no", ""
		if g.spread > 0 {
			spread = report.Ratio(g.spread)
		}
		if g.atMost {
			sign = "≤ "
		}
		if g.reached() {
			reached = "yes"
		}
		s.Rows = append(s.Rows, []string{g.id, g.what, sign + g.show(g.want), g.show(g.value), spread, reached, g.detail})
	}
	return s
}

package main

import (
	"fmt"
	"time"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/report"
	"github.com/proglog/proglog/server/bench/internal/wire"
)

// mostIdle is how much of a processor an idle server may use, in percent: the goal
// says idle, and a runtime's own timers cost that much.
const mostIdle = 1

// judgeFollowing is G10: many followers of a log at rest.
func judgeFollowing(r *results) []goal {
	var goals []goal
	most := 0
	for _, f := range r.following {
		most = max(most, f.Followers)
	}
	for _, f := range r.following {
		if f.Name != wire.FollowProglog || f.Unavailable != "" || f.Followers < most {
			continue
		}
		what := fmt.Sprintf("%d idle followers: ", f.Followers)
		reach := measure.Median(each(f.Reach))
		goals = append(goals,
			goal{id: "G10", what: what + "server memory for each" + rested(f), want: 16, atMost: true, show: kibibytes, value: memoryOf(f) / (1 << 10), detail: kibibytes(f.Bytes/(1<<10)) + " at once"},
			goal{id: "G10", what: what + "server CPU, of one processor", want: mostIdle, atMost: true, show: percent, value: 100 * f.Idle},
			goal{
				id: "G10", what: what + "one record reaches all", want: 1000, atMost: true, show: milliseconds,
				value: reach / float64(time.Millisecond), spread: measure.Spread(each(f.Reach)),
			})
	}
	return goals
}

// judgeFirst is what of G14 a user meets first. How long make run takes from a
// clone is told by hand.
func judgeFirst(r *results) []goal {
	if r.first == nil {
		return nil
	}
	f := *r.first
	return []goal{
		{id: "G14", what: "the binary", want: 30, atMost: true, show: megabytes, value: float64(f.BinaryBytes) / 1e6},
		{id: "G14", what: "a server at rest: memory", want: 30, atMost: true, show: megabytes, value: float64(f.Resident) / 1e6},
		{
			id: "G14", what: "a server on an empty directory: until it listens", want: 1000, atMost: true, show: milliseconds,
			value: float64(f.Listening) / float64(time.Millisecond), detail: "first ack after " + round(f.Answer),
		},
	}
}

// memoryOf is a follower's memory at rest, or at once if there was no rest.
func memoryOf(f wire.Following) float64 {
	if f.Rested > 0 {
		return f.Rested
	}
	return f.Bytes
}

func rested(f wire.Following) string {
	if f.Rested > 0 {
		return ", at rest"
	}
	return ""
}

func each(times []time.Duration) []float64 {
	v := make([]float64, len(times))
	for i, t := range times {
		v[i] = float64(t)
	}
	return v
}

func kibibytes(v float64) string { return report.Micros(v) + " KiB" }
func megabytes(v float64) string { return report.Micros(v) + " MB" }
func percent(v float64) string   { return report.Micros(v) + " %" }

// followTable has a row for each server that was followed.
func followTable(r *results) report.Section {
	s := report.Section{
		Title: "Idle followers",
		Notes: []string{"Streams of grpc-go clients that wait at the tail, 500 to a connection. Memory is what the server's process has more of its own than without them, divided by their number: at once, and after a rest in which the runtime has given back what attaching them left behind. Then a record is appended in each round."},
		Head:  []string{"", "followers", "KiB each at once", "at rest", "CPU of one processor", "a record reaches all, ms", "rounds differ"},
	}
	for _, f := range r.following {
		if f.Unavailable != "" {
			s.Rows = append(s.Rows, []string{f.Name + ": SKIP", f.Unavailable})
			continue
		}
		reach := each(f.Reach)
		s.Rows = append(s.Rows, []string{
			f.Name, fmt.Sprint(f.Followers), report.Micros(f.Bytes / (1 << 10)), report.Micros(f.Rested / (1 << 10)), percent(100 * f.Idle),
			report.Micros(measure.Median(reach) / float64(time.Millisecond)), report.Ratio(measure.Spread(reach)),
		})
	}
	return s
}

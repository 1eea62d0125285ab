package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/report"
	"github.com/proglog/proglog/server/bench/internal/talk"
)

// judgeSDKs holds each SDK, on each path, against the best of its language's stock
// clients.
func judgeSDKs(r *results) []goal {
	var goals []goal
	for _, c := range r.contests {
		if c.group != groupSDK {
			continue
		}
		for i, o := range c.outcomes {
			best := bestRival(c.outcomes, i)
			if best < 0 {
				continue
			}
			g := goal{id: "SDK", what: fmt.Sprintf("%s, %s: rate beside %s", o.Label, c.job(), clientOf(c.outcomes[best])), want: 1}
			g.against(c.outcomes, i, best, measure.Rate)
			goals = append(goals, g)
		}
	}
	return goals
}

// bestRival is the place of the fastest stock client that the client at a place is
// measured against; -1 if it is no SDK's, or there is none.
func bestRival(outcomes []measure.Outcome, place int) int {
	best, most := -1, math.Inf(-1)
	if !talk.IsSDK(clientOf(outcomes[place])) {
		return best
	}
	for i, o := range outcomes {
		if rate := o.Series.Median(measure.Rate); talk.Rivals(clientOf(outcomes[place]), clientOf(o)) && rate > most {
			best, most = i, rate
		}
	}
	return best
}

// clientOf is the client's name within its language.
func clientOf(o measure.Outcome) string {
	_, client, _ := strings.Cut(o.Label, " ")
	return client
}

// job is what the clients of a contest of SDKs do.
func (c contest) job() string {
	load, path := c.outcomes[0].Load, strings.Split(c.name, "/")[2]
	if load.Writers > 1 {
		path += fmt.Sprintf(" by %d callers", load.Writers)
	}
	return path + ", " + report.Size(load.ValueBytes)
}

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/proglog/proglog/server/bench/internal/sdks"
	"github.com/proglog/proglog/server/bench/internal/talk"
)

// groupSDK is each SDK beside the stock clients of its language.
const groupSDK = "sdk"

// manyCallers is how many callers each wait for their ack. A language that runs on one
// processor at a time has enough to do with fewer.
func manyCallers(language string) int {
	if language == sdks.Go {
		return 64
	}
	return 32
}

// sdks lets the clients of each language take turns on every path.
func (p *planner) sdks() {
	for _, language := range p.o.places.Languages() {
		p.language(language, talk.Unary, 100, manyCallers(language.Name), true)
		for _, value := range smallSizes() {
			p.language(language, talk.Pipelined, value, 1, true)
		}
		p.language(language, talk.Consume, 100, 1, false)
		p.language(language, talk.Consume, 100, 16, true)
		for _, value := range smallSizes() {
			p.language(language, talk.Follow, value, 1, true)
		}
	}
}

// language adds a cell: one language, one path.
func (p *planner) language(l sdks.Language, path string, value, callers int, quick bool) {
	name := fmt.Sprintf("%s/%s/%s/value=%s", groupSDK, strings.ToLower(l.Name), path, short(value))
	if path == talk.Unary || path == talk.Consume {
		name += fmt.Sprintf("/callers=%d", callers)
	}
	c := sdks.Contest{Language: l, Path: path, ValueBytes: value, Callers: callers, Bin: p.o.bin, Effort: p.wireEffort()}
	c.Effort.Bytes = min(c.Effort.Bytes, int64(c.Effort.Time.Seconds()*mostPerSecond*float64(value))+1)
	p.add(name, rows("SDK").when(quick), wireSpace(1, value, c.Space()), func(ctx context.Context, dir string, r *results) error {
		outcomes, err := c.Run(ctx, dir)
		r.contests = append(r.contests, contest{name: name, group: groupSDK, outcomes: outcomes})
		return err
	})
}

// mostPerSecond is how many records a second no client of any language carries.
const mostPerSecond = 4e6

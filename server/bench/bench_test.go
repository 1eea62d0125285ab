package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/bench/internal/growth"
	"github.com/proglog/proglog/server/bench/internal/measure"
)

// smallest is a bench that does everything once, as small as it goes: a run ends at
// its first record, however slow the machine is.
func smallest(dir, cells string) *options {
	return &options{
		rounds: 1, time: 1, run: regexp.MustCompile(cells), dir: dir,
		sizes: sizes{logs: 20, read: 1 << 20, stream: 2000, segments: []int{2, 6}, growth: 8 << 20, followers: []int{10, 40}, window: 128},
	}
}

// Goal: a cell of each kind runs, and its figures are in all three forms of the
// report; nothing of the data is left.
func TestEveryKindOfCell(t *testing.T) {
	dir := t.TempDir()
	o := smallest(dir, `^(one/batch=100/value=100|append/logs=20/writers=16/value=100|curve/writers=(1|2)|logs/logs=(1|20)|many/.*/value=100|beside/.*|read/value=1K|memory/value=1K|growth/.*)$`)
	out := t.TempDir()
	o.markdown, o.picture = filepath.Join(out, "bench.md"), filepath.Join(out, "bench.svg")
	var stdout, stderr bytes.Buffer
	require.NoError(t, bench(context.Background(), o, &stdout, &stderr))

	for _, title := range []string{"Goals", "One writer", "Append", "Group commit", "Number of logs", "Many logs against one", "A small writer beside a bulk writer", "Memory of appends", "Read", "A log that grows"} {
		assert.Contains(t, stdout.String(), "\n"+title+"\n")
	}
	for _, id := range []string{"G2", "G12", "G13", "G14"} {
		assert.Contains(t, stdout.String(), "\n"+id+" ")
	}
	assert.NotContains(t, stdout.String(), "NaN")
	assert.Contains(t, stderr.String(), "1 of 15: one/batch=100/value=100\n")
	assert.Contains(t, stderr.String(), "15 of 15, about ")
	markdown, err := os.ReadFile(o.markdown)
	require.NoError(t, err)
	assert.Contains(t, string(markdown), "![curves](bench.svg)")
	assert.Contains(t, string(markdown), "## Every entrant")
	picture, err := os.ReadFile(o.picture)
	require.NoError(t, err)
	for _, title := range []string{"Group commit: rate", "Group commit: p50", "Number of logs", "A log that grows", "Open: ", "Memory of appends"} {
		assert.Contains(t, string(picture), title)
	}
	assert.Equal(t, 6, strings.Count(string(picture), "<g "))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// Goal: profiles are written when they are asked for.
func TestProfiles(t *testing.T) {
	o := smallest(t.TempDir(), `^growth/fresh$`)
	out := t.TempDir()
	o.profiles = profiles{cpu: filepath.Join(out, "cpu"), memory: filepath.Join(out, "memory")}
	require.NoError(t, bench(context.Background(), o, io.Discard, io.Discard))
	for _, name := range []string{o.profiles.cpu, o.profiles.memory} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		assert.Positive(t, info.Size())
	}
}

// Goal: arguments mean what the help says, and wrong ones are refused.
func TestArguments(t *testing.T) {
	o, err := parse([]string{"-quick", "-rounds", "5"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, 5, o.rounds)
	assert.Equal(t, quickTime, o.time)
	o, err = parse(nil, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, fullRounds, o.rounds)
	all := plan(o)
	assert.Len(t, o.choose(all), len(all))
	o.quick = true
	assert.Less(t, len(o.choose(all)), len(all)/2)

	for name, args := range map[string][]string{
		"an unknown flag":  {"-x"},
		"an argument":      {"append"},
		"a broken pattern": {"-run", "("},
		"negative rounds":  {"-rounds", "-1"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			_, err := parse(args, &stderr)
			require.ErrorIs(t, err, errUsage)
			assert.NotEmpty(t, stderr.String())
		})
	}
	require.ErrorContains(t, run(context.Background(), []string{"-run", "no such cell"}, io.Discard, io.Discard), "-list")
}

// Goal: cells have names of their own, and the first table of the plan has every
// number of logs, goroutines and every size.
func TestPlan(t *testing.T) {
	o, err := parse(nil, io.Discard)
	require.NoError(t, err)
	names := map[string]bool{}
	appends := 0
	for _, c := range plan(o) {
		assert.False(t, names[c.name], "%s is there twice", c.name)
		assert.Positive(t, c.space, c.name)
		names[c.name] = true
		if strings.HasPrefix(c.name, groupAppend+"/") {
			appends++
		}
	}
	assert.Equal(t, 27, appends)
	for _, name := range []string{"append/logs=1/writers=1/value=100", "append/logs=10000/writers=256/value=64K", "many/sustained/value=1K"} {
		assert.True(t, names[name], name)
	}
}

// Goal: a goal is reached or missed on the right side of its figure, and one
// that was not measured is not shown.
func TestGoals(t *testing.T) {
	latency := func(p50 ...time.Duration) (s measure.Series) {
		for _, d := range p50 {
			s = append(s, measure.Sample{P50: d, Records: 1, Elapsed: time.Second})
		}
		return s
	}
	r := &results{
		contests: []contest{{name: "one/batch=1/value=100", group: groupOne, outcomes: []measure.Outcome{
			{Label: "proglog", Series: latency(110, 130, 100)}, {Label: "bare", Series: latency(100, 100, 100)},
		}}},
		small: &growth.Small{Logs: 10, Bytes: 65 << 20},
	}
	rows := goalTable(r).Rows
	require.Len(t, rows, 2)
	assert.Equal(t, []string{"G2", "one writer, 100 B: p50 beside a bare loop", "≤ 1.15x", "1.10x", "1.30x", "yes", "1.10x 1.30x 1.00x"}, rows[0])
	assert.Equal(t, "G13", rows[1][0])
	assert.Equal(t, "65.0 MiB", rows[1][3])
	assert.Equal(t, "no", rows[1][5])
}

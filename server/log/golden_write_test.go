package log

import (
	"context"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// A goldenWriter fills a data directory with all that the format has.
type goldenWriter struct {
	t       *testing.T
	e       *Engine
	rng     *rand.Rand
	content goldenContent
	last    map[string]map[string]goldenID
	next    map[string]uint64 // sequences
}

// fill writes all that the format has: records with and without headers, empty
// and large, batches, producers, several segments and checkpoints, settings,
// trims, seals, deletes, and a log that took the name of a deleted one.
func (g *goldenWriter) fill() {
	ctx := context.Background()
	g.last, g.next = map[string]map[string]goldenID{}, map[string]uint64{}
	put := func(name string, change commitlog.Change) {
		_, _, err := g.e.Put(ctx, name, change)
		require.NoError(g.t, err)
	}
	yes := true
	put("orders/eu", commitlog.Change{Retention: &commitlog.Retention{MaxAge: 1 << 40 * time.Nanosecond * 1000, MaxBytes: 1 << 30}})
	put("trimmed", commitlog.Change{})
	put("sealed", commitlog.Change{})
	put("again", commitlog.Change{})
	put("empty", commitlog.Change{})
	put("gone", commitlog.Change{})
	for i := range 60 {
		g.add("", "", 1+i%4)
		g.add("orders/eu", []string{"p1", "p2"}[i%2], 1+i%3)
		for _, name := range []string{"trimmed", "sealed", "again", "gone"} {
			if g.rng.IntN(2) == 0 {
				g.add(name, "", 1)
			}
		}
		if i%25 == 24 {
			require.NoError(g.t, g.e.checkpoint())
		}
		if i == 40 {
			require.NoError(g.t, g.e.Delete(ctx, "again"))
			put("again", commitlog.Change{})
		}
	}
	trimmed := g.e.named("trimmed")
	_, err := trimmed.Trim(ctx, trimmed.Bounds().Next/2)
	require.NoError(g.t, err)
	put("sealed", commitlog.Change{Sealed: &yes})
	require.NoError(g.t, g.e.Delete(ctx, "gone"))
	g.add("", "", 3)
	g.add("orders/eu", "p1", 2)
}

// add appends a batch.
func (g *goldenWriter) add(name, producer string, records int) {
	b := commitlog.Batch{}
	for i := range records {
		r := commitlog.Record{Value: make([]byte, []int{0, 1, 30, 100, 500, 1500}[g.rng.IntN(6)])}
		for k := range r.Value {
			r.Value[k] = byte('a' + (k+i)%26)
		}
		for range g.rng.IntN(3) {
			r.Headers = append(r.Headers, commitlog.Header{Name: "trace", Value: []byte{0, 0xff, byte(i)}})
		}
		b.Records = append(b.Records, r)
	}
	if producer != "" {
		b.Producer = &commitlog.Producer{ID: producer, Epoch: 3, Sequence: g.next[producer]}
		g.next[producer]++
	}
	acks, err := g.e.named(name).Append(context.Background(), b)
	require.NoError(g.t, err)
	if producer != "" {
		ack := acks[0]
		ack.Duplicate = true
		if g.last[name] == nil {
			g.last[name] = map[string]goldenID{}
		}
		g.last[name][producer] = goldenID{Epoch: 3, Sequence: b.Producer.Sequence, Records: b.Records, Ack: ack}
	}
}

// expect is what the engine holds now.
func (g *goldenWriter) expect() goldenContent {
	want := goldenContent{Logs: map[string]goldenLog{}}
	for _, name := range g.e.sortedNames() {
		l := g.e.named(name)
		info, err := l.Info(context.Background())
		require.NoError(g.t, err)
		want.Logs[name] = goldenLog{
			First: info.First, Next: info.Next, Sealed: info.Sealed, MaxAge: info.Retention.MaxAge, MaxBytes: info.Retention.MaxBytes,
			Records: allRecords(g.t, l), Producers: maps.Clone(g.last[name]),
		}
	}
	return want
}

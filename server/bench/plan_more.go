package main

import (
	"context"
	"math"

	"github.com/proglog/proglog/server/bench/internal/growth"
	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/internal/vfs"
)

// A sustained run is so much longer than the others that the journal has to be
// freed, and segments to be synced, while it goes on.
const (
	sustainedTimes = 8
	sustainedBytes = 1 << 30
)

// many compares our engine with itself: one log, and many.
func (p *planner) many() {
	for _, value := range smallSizes() {
		load := peer.Load{Logs: 1, Writers: 256, Batch: 1, ValueBytes: value}
		one := label(measure.Entrant{Peer: peer.Engine{}, Load: load}, "%s", logsLabel(1))
		load.Logs = p.o.sizes.logs
		all := label(measure.Entrant{Peer: peer.Engine{}, Load: load}, "%s", logsLabel(load.Logs))
		p.contest(groupMany, "burst/value="+short(value), rows("G13").when(value == 100), p.effort(), one, all)
		long := p.effort()
		long.Time, long.Bytes = sustainedTimes*p.o.time, sustainedBytes
		p.contest(groupMany, "sustained/value="+short(value), rows("G13").slow(), long, one, all)
	}
}

// beside asks what a small writer suffers from a bulk writer on another log.
func (p *planner) beside() {
	small := peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: 100}
	bulk := peer.Load{Writers: 16, Batch: 1, ValueBytes: 64 << 10}
	var entrants []measure.Entrant
	for i, one := range []peer.Peer{peer.Engine{}, peer.Files{}} {
		entrants = append(entrants,
			label(measure.Entrant{Peer: one, Load: small, Against: 2 * i}, "alone"),
			label(measure.Entrant{Peer: one, Load: small, Against: 2 * i, Beside: bulk}, "beside bulk"))
	}
	p.contest(groupBeside, "value=100", rows("G13"), p.effort(), entrants...)
}

func (p *planner) reads() {
	ways := []measure.Way{
		{Name: "in order, runs of 256 KiB", Readers: 1},
		{Name: "by offset", Random: true, Readers: 1},
		{Name: "by offset", Random: true, Readers: 2},
		{Name: "by offset", Random: true, Readers: 4},
	}
	for _, value := range valueSizes() {
		reads := measure.Reading{
			Peers:      []peer.Peer{peer.Engine{}, peer.Files{}, peer.Book{}},
			ValueBytes: value, Bytes: p.o.sizes.read, Effort: p.effort(),
		}
		p.add("read/value="+short(value), rows("G11").when(value < 64<<10), 12*p.o.sizes.read, func(ctx context.Context, dir string, r *results) error {
			outcomes, err := reads.Run(ctx, dir, ways)
			for i := range outcomes {
				r.readings = append(r.readings, reading{way: ways[i], valueBytes: value, outcomes: outcomes[i]})
			}
			return err
		})
	}
}

func (p *planner) add(name string, of part, space int64, run func(ctx context.Context, dir string, r *results) error) {
	p.cells = append(p.cells, cell{name: name, rows: of.rows, quick: of.quick, space: space, run: run})
}

// growth is what does not take part in a contest.
func (p *planner) growth() {
	const space = 1 << 30
	p.add("growth/fresh", rows("G14"), space, func(_ context.Context, dir string, r *results) error {
		fresh, err := growth.MeasureFresh(dir, p.o.rounds)
		r.fresh = &fresh
		return err
	})
	p.add("growth/segments", rows("G12"), space, func(_ context.Context, dir string, r *results) error {
		for _, n := range p.o.sizes.segments {
			o, err := growth.MeasureOpening(dir, n, p.o.rounds)
			if err != nil {
				return err
			}
			r.openings = append(r.openings, o)
		}
		return nil
	})
	largest := min(p.o.sizes.growth, p.freeBytes()/2)
	p.add("growth/size", rows("G12").slow(), largest+largest/4+space, func(ctx context.Context, dir string, r *results) (err error) {
		r.grown, err = growth.MeasureSizes(ctx, dir, growth.Sizes(largest), p.o.rounds, p.o.time)
		return err
	})
	p.add("growth/small", rows("G13"), space, func(_ context.Context, dir string, r *results) error {
		small, err := growth.MeasureSmall(dir, p.o.sizes.logs)
		r.small = &small
		return err
	})
}

// freeBytes is how much can be written where the data goes; 0 if that is not known.
func (p *planner) freeBytes() int64 {
	free, err := vfs.OS(p.o.dir).Free()
	if err != nil {
		return 0
	}
	return int64(min(free, math.MaxInt64))
}

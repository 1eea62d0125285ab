package main

import (
	"context"
	"fmt"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/growth"
	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/wire"
)

// A cell is one thing that is measured.
type cell struct {
	name  string
	rows  []string // the goals that it is about; none: it is for the curves and tables alone
	quick bool     // part of -quick
	space int64    // what it takes of the disk, at most
	run   func(ctx context.Context, dir string, r *results) error
}

// results is what all cells found.
type results struct {
	contests []contest
	readings []reading
	fresh    *growth.Fresh
	openings []growth.Opening
	small    *growth.Small
	grown    []growth.Size
	beside   []growth.Beside
	memory   []growth.Memory

	following []wire.Following
	first     *wire.First
}

// A contest is the outcomes of one cell, the first of which is the one that the
// others are compared with.
type contest struct {
	name     string
	group    string
	outcomes []measure.Outcome
}

// A reading is the outcomes of one way to read values of one size.
type reading struct {
	way        measure.Way
	valueBytes int
	outcomes   []measure.Outcome
}

// find returns a contest by its name, nil if it was not run.
func (r *results) find(name string) []measure.Outcome {
	for _, c := range r.contests {
		if c.name == name {
			return c.outcomes
		}
	}
	return nil
}

// Groups of contests, the first part of their names.
const (
	groupStores = "stores"
	groupAppend = "append"
	groupOne    = "one"
	groupCurve  = "curve"
	groupLogs   = "logs"
	groupMany   = "many"
	groupBeside = "beside"
)

func (s sizes) logCounts() []int { return []int{1, 100, s.logs} }
func (s sizes) curveLogs() []int { return []int{1, 10, 100, 1000, s.logs} }
func writerCounts() []int        { return []int{1, 16, 256} }
func valueSizes() []int          { return []int{100, 1 << 10, 64 << 10} }
func smallSizes() []int          { return []int{100, 1 << 10} }
func curveWriters() []int        { return []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 1024} }
func batchSizes() []int          { return []int{1, 100, 1000} }

// plan is all cells, in the order in which they run.
func plan(o *options) []cell {
	p := &planner{o: o}
	p.stores()
	p.one()
	p.appends()
	p.curves()
	p.many()
	p.beside()
	p.checkpoints()
	p.memory()
	p.reads()
	p.growth()
	p.calls()
	p.parts()
	p.pumps()
	p.streams()
	p.idle()
	p.sdks()
	return p.cells
}

type planner struct {
	o     *options
	cells []cell
}

// part says what a cell belongs to: goals, and -quick or not.
type part struct {
	rows  []string
	quick bool
}

func rows(ids ...string) part { return part{rows: ids, quick: true} }

// slow leaves a cell out of -quick.
func (p part) slow() part { return part{rows: p.rows} }

// when leaves a cell out of -quick unless it is told otherwise.
func (p part) when(quick bool) part { return part{rows: p.rows, quick: quick} }

// contest adds a cell.
func (p *planner) contest(group, name string, of part, e measure.Effort, entrants ...measure.Entrant) {
	name = group + "/" + name
	e.Bytes = min(e.Bytes, plenty(entrants[0].Load, e))
	c := measure.Contest{Entrants: entrants, Effort: e}
	p.add(name, of, contestSpace(c), func(ctx context.Context, dir string, r *results) error {
		outcomes, err := c.Run(ctx, dir)
		r.contests = append(r.contests, contest{name: name, group: group, outcomes: outcomes})
		return err
	})
}

// effort is the usual one. A run ends early when it has written this much, so
// that fast disks do not overflow.
func (p *planner) effort() measure.Effort {
	e := measure.Effort{Rounds: p.o.rounds, Time: p.o.time, Bytes: 256 << 20}
	if p.o.quick {
		e.Bytes = 64 << 20
	}
	return e
}

// plenty is more than anybody writes in a run.
func plenty(load peer.Load, e measure.Effort) int64 {
	return int64(e.Time.Seconds()*1e6*float64(load.BatchBytes())) + 1<<20
}

// contestSpace is what a contest takes of the disk, at most: all that its
// entrants may write, with what surrounds each value, and their prepared space.
func contestSpace(c measure.Contest) (n int64) {
	for _, e := range c.Entrants {
		perByte := 1 + 150/float64(e.Load.ValueBytes)
		if e.Beside.Writers > 0 {
			perByte += measure.BesideBytes
		}
		written := float64(c.Effort.Bytes) * float64(c.Effort.Rounds+1) * perByte
		n += int64(written) + preparedBytes
	}
	return n
}

// preparedBytes bounds what an entrant prepares: our engine's journal.
const preparedBytes = 256 << 20

// entrants gives one load to several peers. Bare loops have no logs.
func entrants(load peer.Load, peers ...peer.Peer) []measure.Entrant {
	list := make([]measure.Entrant, len(peers))
	for i, one := range peers {
		list[i] = measure.Entrant{Peer: one, Load: load}
		if _, bare := one.(peer.Bare); bare {
			list[i].Load.Logs = 1
		}
	}
	return list
}

// stores compares our engine with others, each as it is used in a program.
func (p *planner) stores() {
	load := peer.Load{Logs: 1, Writers: 256, Batch: 1, ValueBytes: 100}
	p.contest(groupStores, "writers=256/value=100", rows("G1"), p.effort(), entrants(load, peer.Engine{},
		peer.Pebble{Version: child.Version("github.com/cockroachdb/pebble/v2")},
		peer.Tidwall{Version: child.Version("github.com/tidwall/wal")},
		peer.EtcdWAL{Version: child.Version("go.etcd.io/etcd/server/v3")}, peer.Bare{})...)
}

// one compares a single writer, whose latency is the disk's, with bare loops.
func (p *planner) one() {
	for _, value := range smallSizes() {
		for _, batch := range batchSizes() {
			load := peer.Load{Logs: 1, Writers: 1, Batch: batch, ValueBytes: value}
			p.contest(groupOne, fmt.Sprintf("batch=%d/value=%s", batch, short(value)), rows("G2").when(batch <= 100), p.effort(),
				entrants(load, peer.Engine{}, peer.Bare{}, peer.Bare{Space: peer.Growing}, peer.Bare{Space: peer.Direct})...)
		}
	}
}

func (p *planner) appends() {
	for _, logs := range p.o.sizes.logCounts() {
		for _, writers := range writerCounts() {
			for _, value := range valueSizes() {
				name := fmt.Sprintf("logs=%d/writers=%d/value=%s", logs, writers, short(value))
				quick := value == 100 && logs <= 100 || value == 64<<10 && logs == 1 && writers == 16
				load := peer.Load{Logs: logs, Writers: writers, Batch: 1, ValueBytes: value}
				p.contest(groupAppend, name, rows().when(quick), p.effort(),
					entrants(load, peer.Engine{}, peer.Files{}, peer.Bare{}, peer.Bare{Space: peer.Growing})...)
			}
		}
	}
}

// curves are for the picture: one figure over many sizes.
func (p *planner) curves() {
	for _, writers := range curveWriters() {
		load := peer.Load{Logs: 1, Writers: writers, Batch: 1, ValueBytes: 100}
		p.contest(groupCurve, fmt.Sprintf("writers=%d", writers), rows().slow(), p.effort(), entrants(load, peer.Engine{}, peer.Files{}, peer.Bare{})...)
	}
	for _, logs := range p.o.sizes.curveLogs() {
		load := peer.Load{Logs: logs, Writers: 256, Batch: 1, ValueBytes: 100}
		p.contest(groupLogs, fmt.Sprintf("logs=%d", logs), rows().slow(), p.effort(), entrants(load, peer.Engine{}, peer.Files{})...)
	}
}

// short is a size for a name.
func short(n int) string {
	if n%(1<<10) == 0 {
		return fmt.Sprintf("%dK", n>>10)
	}
	return fmt.Sprint(n)
}

// label is an entrant's label when its peer is not what tells it apart.
func label(e measure.Entrant, format string, a ...any) measure.Entrant {
	e.Label = e.Peer.Name() + ", " + fmt.Sprintf(format, a...)
	return e
}

// logsLabel says how many logs there are.
func logsLabel(n int) string {
	if n == 1 {
		return "1 log"
	}
	return fmt.Sprintf("%d logs", n)
}

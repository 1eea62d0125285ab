package main

import (
	"fmt"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/report"
	"github.com/proglog/proglog/server/bench/internal/wire"
)

// A rivalry is one goal: a figure of one entrant beside that of another, in one
// cell.
type rivalry struct {
	id, what, cell string
	a, b           string
	want           float64
	atMost         bool
	figure         func(measure.Sample) float64
}

func (v rivalry) judge(r *results) goal {
	g := goal{id: v.id, what: v.what, want: v.want, atMost: v.atMost}
	g.beside(r.find(v.cell), v.a, v.b, v.figure)
	return g
}

// judgeEngine is G1: our engine beside other stores in one process.
func judgeEngine(r *results) []goal {
	const cell, what = groupStores + "/writers=256/value=100", "engine, 256 goroutines, 100 B: rate beside "
	return judgeAll(r, []rivalry{
		{id: "G1", what: what + "pebble", cell: cell, a: peer.Engine{}.Name(), b: peer.Pebble{}.Name(), want: 1.4, figure: measure.Rate},
		{id: "G1", what: what + "tidwall/wal", cell: cell, a: peer.Engine{}.Name(), b: peer.Tidwall{}.Name(), want: 50, figure: measure.Rate},
	})
}

// judgeCalls is G3 and G3s: one record to a call.
func judgeCalls(r *results) []goal {
	const cell, stock, sdk = groupCall + "/writers=256/value=100", "256 callers, 100 B, grpc-go client: rate beside ", "256 goroutines, 100 B, sdk/go: rate beside "
	return judgeAll(r, []rivalry{
		{id: "G3", what: stock + wire.NameJetAlways, cell: cell, a: wire.NameProglog, b: wire.NameJetAlways, want: 3, figure: measure.Rate},
		{id: "G3", what: stock + "the same engine on a grpc-go server", cell: cell, a: wire.NameProglog, b: wire.NameGRPC, want: 0.5, figure: measure.Rate},
		{id: "G3s", what: sdk + wire.NameJetAlways, cell: cell, a: wire.NameSDK, b: wire.NameJetAlways, want: 10, figure: measure.Rate},
		{id: "G3s", what: sdk + wire.NameRedisAlways, cell: cell, a: wire.NameSDK, b: wire.NameRedisAlways, want: 1.5, figure: measure.Rate},
		{id: "G3s", what: sdk + wire.NameRedisAuto, cell: cell, a: wire.NameSDK, b: wire.NameRedisAuto, want: 1.5, figure: measure.Rate},
	})
}

// judgePumps is G4 and G5: one producer that does not wait.
func judgePumps(r *results) []goal {
	var all []rivalry
	for i, value := range smallSizes() {
		all = append(all, rivalry{
			id: "G4", what: "one pipelined producer, " + report.Size(value) + ": rate beside " + wire.NameJetAlways,
			cell: groupPump + "/value=" + short(value), a: wire.NameProglog, b: wire.NameJetAlways, want: []float64{24, 13}[i], figure: measure.Rate,
		})
	}
	return judgeAll(r, append(all, rivalry{
		id: "G5", what: "one pipelined producer of batches, 100 B: rate beside " + wire.NameRedisAlways + ", pipelined",
		cell: groupPump + "/value=100", a: wire.NameBatches, b: wire.NameRedisAlways, want: 2, figure: measure.Rate,
	}))
}

// judgeStreams is G6 to G9: one consumer that reads all.
func judgeStreams(r *results) []goal {
	var all []rivalry
	one := func(id, what string, value int, a, b string, want float64) rivalry {
		return rivalry{
			id: id, what: fmt.Sprintf("%s, %s: rate beside %s", what, report.Size(value), b),
			cell: groupStream + "/value=" + short(value), a: a, b: b, want: want, figure: measure.Rate,
		}
	}
	for i, value := range smallSizes() {
		rate := one("G6", "ConsumeStream, a record to a message", value, wire.NameProglog, wire.NameGRPCMemory, []float64{2.5, 1.2}[i])
		cpu := rate
		cpu.what = fmt.Sprintf("the same, %s: server CPU per record", report.Size(value))
		cpu.want, cpu.atMost, cpu.figure = []float64{0.2, 0.65}[i], true, measure.ServerCPU
		all = append(all, rate, cpu)
	}
	for i, value := range smallSizes() {
		all = append(all, one("G7", "ConsumeStream in batches", value, wire.NameBatches, wire.NameGRPCMemory, []float64{4, 2}[i]))
	}
	all = append(all, one("G8", "sdk/go", 100, wire.NameSDK, wire.NameConnectMemory, 10))
	for _, value := range smallSizes() {
		all = append(all,
			one("G9", "catch-up", value, wire.NameProglog, wire.NameJetDefault, 1.7),
			one("G9", "catch-up", value, wire.NameProglog, wire.NameRedisEverysec, 1.2))
	}
	return judgeAll(r, all)
}

func judgeAll(r *results, all []rivalry) []goal {
	goals := make([]goal, len(all))
	for i, v := range all {
		goals[i] = v.judge(r)
	}
	return goals
}

package main

import (
	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/report"
	"github.com/proglog/proglog/server/bench/internal/wire"
)

// Labels of entrants over the wire, which are their peers' names.
var (
	ours        = wire.Proglog{}.Name()
	sameEngine  = wire.Front{Store: child.Engine}.Name()
	inMemory    = wire.Front{Store: child.Memory}.Name()
	jetAlways   = wire.JetStream{Always: true}.Name()
	jetDefaults = wire.JetStream{}.Name()
)

// judgeCalls is G3: one record to a call.
func judgeCalls(r *results) []goal {
	outcomes := r.find(groupCall + "/unary/value=100")
	jet := goal{id: "G3", what: "256 callers, 100 B: rate beside JetStream always", want: 3}
	jet.beside(outcomes, ours, jetAlways, measure.Rate)
	same := goal{id: "G3", what: "256 callers, 100 B: rate beside the same engine on a grpc-go server", want: 0.5}
	same.beside(outcomes, ours, sameEngine, measure.Rate)
	return []goal{jet, same}
}

// judgePumps is G4: one producer that does not wait.
func judgePumps(r *results) []goal {
	var goals []goal
	for i, value := range smallSizes() {
		g := goal{id: "G4", what: "one pipelined producer, " + report.Size(value) + ": rate beside JetStream always", want: []float64{24, 13}[i]}
		g.beside(r.find(groupPump+"/value="+short(value)), ours, jetAlways, measure.Rate)
		goals = append(goals, g)
	}
	return goals
}

// judgeStreams is G6: one consumer that reads all.
func judgeStreams(r *results) []goal {
	var goals []goal
	for i, value := range smallSizes() {
		outcomes := r.find(groupStream + "/value=" + short(value))
		rate := goal{id: "G6", what: "ConsumeStream, " + report.Size(value) + ", a record to a message: rate beside a grpc-go server", want: []float64{2.5, 1.2}[i]}
		rate.beside(outcomes, ours, inMemory, measure.Rate)
		cpu := goal{id: "G6", what: "the same: server CPU per record", want: []float64{0.2, 0.65}[i], atMost: true}
		cpu.beside(outcomes, ours, inMemory, measure.ServerCPU)
		goals = append(goals, rate, cpu)
	}
	return goals
}

package main

import (
	"fmt"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/report"
	"github.com/proglog/proglog/server/bench/internal/wire"
)

// groupParts is the cell that takes our server apart.
const groupParts = "parts"

// parts asks what a unary call's time in our server is made of, beside the same engine
// on a grpc-go server.
func (p *planner) parts() {
	load := peer.Load{Logs: 1, Batch: 1, ValueBytes: 100, Writers: 256}
	p.contest(groupParts, "writers=256/value=100", rows("G3"), p.wireEffort(), entrants(load,
		p.proglog(), wire.Front{Store: child.Engine}, wire.Front{Store: child.Memory},
		wire.Layer{Kind: child.HTTP, Store: child.Memory},
		wire.Layer{Kind: child.Connect, Store: child.Memory}, wire.Layer{Kind: child.Connect, Store: child.Engine})...)
}

// partsTable has a row for each part: the difference of two servers that have all else
// in common.
func partsTable(r *results) report.Section {
	s := report.Section{
		Title: "What a call costs our server, part by part",
		Notes: []string{
			"256 callers of a stock grpc-go client, 100 B. Processor time of the server per call; a part is the median of the rounds' differences of two servers, which stand behind it. A store in memory answers at once, so that calls share less: a part below zero is in the spread.",
		},
		Head: []string{"part", "server CPU µs/call", "from", "rounds"},
	}
	outcomes := r.find(groupParts + "/writers=256/value=100")
	of := func(name string) []float64 {
		for _, o := range outcomes {
			if o.Label == name && o.Unavailable == "" {
				return o.Series.Each(measure.ServerCPU)
			}
		}
		return nil
	}
	row := func(what, from string, a, b []float64) {
		if a == nil {
			return
		}
		each := make([]float64, len(a))
		for i := range a {
			if each[i] = a[i]; i < len(b) {
				each[i] -= b[i]
			}
		}
		rounds := ""
		for _, e := range each {
			rounds += fmt.Sprintf("%.1f ", e)
		}
		s.Rows = append(s.Rows, []string{what, fmt.Sprintf("%.1f", measure.Median(each)), from, rounds})
	}
	if outcomes == nil || of(wire.NameProglog) == nil {
		return s
	}
	grpc, grpcMemory, http := of(wire.NameGRPC), of(wire.NameGRPCMemory), of(wire.NameLayerHTTP)
	connect, connectMemory := of(wire.NameLayerConnect), of(wire.NameLayerConnectMemory)
	row("grpc-go's transport and gRPC", wire.NameGRPCMemory, grpcMemory, nil)
	row("+ the engine", wire.NameGRPC+" - "+wire.NameGRPCMemory, grpc, grpcMemory)
	row("= the engine on a grpc-go server", wire.NameGRPC, grpc, nil)
	row("net/http's HTTP/2 and a bare handler", wire.NameLayerHTTP, http, nil)
	row("+ Connect's handler", wire.NameLayerConnectMemory+" - "+wire.NameLayerHTTP, connectMemory, http)
	row("+ the engine", wire.NameLayerConnect+" - "+wire.NameLayerConnectMemory, connect, connectMemory)
	row("+ ours: limits, checks, logs by name", wire.NameProglog+" - "+wire.NameLayerConnect, of(wire.NameProglog), connect)
	row("= our server", wire.NameProglog, of(wire.NameProglog), nil)
	return s
}

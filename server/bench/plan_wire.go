package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/wire"
)

// Groups of cells over the wire.
const (
	groupCall   = "call"
	groupPump   = "pump"
	groupStream = "stream"
)

// wireTimes is how much longer than a run of the engine one over the wire is:
// processes wake up more slowly than goroutines.
const wireTimes = 3

func (p *planner) wireEffort() measure.Effort {
	e := p.effort()
	e.Time *= wireTimes
	return e
}

func (p *planner) proglog() wire.Proglog { return wire.Proglog{Bin: p.o.bin} }
func (p *planner) sdk() wire.SDK         { return wire.SDK{Bin: p.o.bin} }

// batches is our server with messages of about 16 KiB: a power of two of records,
// which divides a window.
func (p *planner) batches(value int) wire.Proglog {
	return wire.Proglog{Bin: p.o.bin, Batch: map[int]int{100: 128, 1 << 10: 16}[value]}
}

// calls is one record to a call, many callers, each of which waits for its ack.
func (p *planner) calls() {
	load := peer.Load{Logs: 1, Batch: 1, ValueBytes: 100}
	for _, writers := range []int{1, 4, 16, 64} {
		load.Writers = writers
		p.contest(groupCall, fmt.Sprintf("writers=%d/value=100", writers), rows("G3").slow(), p.wireEffort(), entrants(load,
			p.proglog(), p.sdk(), wire.Front{Store: child.Engine}, wire.JetStream{Always: true}, wire.Redis{Always: true})...)
	}
	load.Writers = 256
	p.contest(groupCall, "writers=256/value=100", rows("G3", "G3s"), p.wireEffort(), entrants(load,
		p.proglog(), p.sdk(), wire.Front{Store: child.Engine}, wire.Connect{Store: child.Engine}, wire.TCP{},
		wire.JetStream{Always: true}, wire.JetStream{},
		wire.Redis{Always: true}, wire.Redis{Always: true, Auto: true}, wire.Redis{}, wire.Kafka{})...)
}

// pumps is one producer that does not wait for its acks.
func (p *planner) pumps() {
	for _, value := range smallSizes() {
		p.pump("value="+short(value), rows("G4", "G5"), value,
			p.proglog(), p.batches(value), p.sdk(), wire.Front{Store: child.Engine}, wire.Connect{Store: child.Engine}, wire.TCP{},
			wire.JetStream{Always: true}, wire.JetStream{}, wire.Redis{Always: true}, wire.Redis{}, wire.Kafka{})
	}
}

func (p *planner) pump(name string, of part, value int, peers ...peer.Peer) {
	name = groupPump + "/" + name
	e := p.wireEffort()
	e.Bytes = min(e.Bytes, plenty(peer.Load{Batch: 1, ValueBytes: value}, e))
	c := measure.Pumping{Peers: peers, ValueBytes: value, Window: p.o.sizes.window, Effort: e}
	space := wireSpace(len(peers), value, e.Bytes*int64(e.Rounds+1))
	p.add(name, of, space, func(ctx context.Context, dir string, r *results) error {
		outcomes, err := c.Run(ctx, dir)
		r.contests = append(r.contests, contest{name: name, group: groupPump, outcomes: outcomes})
		return err
	})
}

// streams is one consumer that reads a whole log.
func (p *planner) streams() {
	for _, value := range smallSizes() {
		p.stream("value="+short(value), rows("G6", "G7", "G8", "G9"), value,
			p.proglog(), p.batches(value), p.sdk(), wire.Front{Store: child.Memory}, wire.Connect{Store: child.Memory}, wire.TCP{},
			wire.JetStream{}, wire.Redis{Ordered: true}, wire.Kafka{Every: true})
	}
}

func (p *planner) stream(name string, of part, value int, peers ...peer.Peer) {
	name = groupStream + "/" + name
	records := p.o.sizes.stream
	if p.o.quick {
		records /= 4
	}
	c := measure.Streaming{Peers: peers, ValueBytes: value, Records: records, Window: p.o.sizes.window, Effort: p.wireEffort()}
	space := wireSpace(len(peers), value, int64(records)*int64(value))
	p.add(name, of, space, func(ctx context.Context, dir string, r *results) error {
		outcomes, err := c.Run(ctx, dir)
		r.contests = append(r.contests, contest{name: name, group: groupStream, outcomes: outcomes})
		return err
	})
}

// wireSpace is what servers take of the disk, at most, when each gets so many
// bytes of values.
func wireSpace(servers, value int, bytes int64) int64 {
	return int64(servers) * (int64(float64(bytes)*(1+150/float64(value))) + preparedBytes)
}

// idle is what servers take when there is little to do: many followers, and none.
func (p *planner) idle() {
	const space = 2 * preparedBytes
	p.add("idle/followers", rows("G10"), space, func(ctx context.Context, dir string, r *results) error {
		for i, followers := range p.o.sizes.followers {
			rest := time.Duration(0)
			if i == len(p.o.sizes.followers)-1 {
				rest = p.o.sizes.rest
			}
			for _, server := range []string{wire.FollowProglog, wire.FollowGRPC} {
				if err := p.follow(ctx, dir, r, server, followers, rest); err != nil {
					return err
				}
			}
		}
		return nil
	})
	p.add("idle/first", rows("G14"), space, func(_ context.Context, dir string, r *results) error {
		if _, err := os.Stat(p.o.bin); err != nil {
			return nil // other cells say that it is not there
		}
		first, err := wire.MeasureFirst(dir, p.o.bin, p.o.rounds)
		r.first = &first
		return err
	})
}

func (p *planner) follow(ctx context.Context, dir string, r *results, server string, followers int, rest time.Duration) error {
	own, err := os.MkdirTemp(dir, "follow-*")
	if err != nil {
		return err
	}
	f, err := wire.MeasureFollowing(ctx, own, server, p.o.bin, followers, p.o.rounds, idleTimes*p.o.time, rest)
	if errors.Is(err, peer.ErrUnavailable) {
		f.Unavailable, err = err.Error(), nil
	}
	r.following = append(r.following, f)
	return errors.Join(err, os.RemoveAll(own))
}

// idleTimes is how much longer than a run of the engine idle servers are watched.
const idleTimes = 8

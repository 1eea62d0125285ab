// Package sdks measures each SDK beside what its users would take without it: the
// stock clients of their language, which speak to the same server.
package sdks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/talk"
)

// A Contest lets the clients of one language do the same in turns, A B C A B C, all
// in one process of that language, against one server.
type Contest struct {
	Language   Language
	Path       string // of package talk
	ValueBytes int
	Callers    int
	Bin        string // our server
	Effort     measure.Effort
}

// Run runs the contest below dir, in fresh directories that are gone when it returns.
// Where the server or the language is not there, the only outcome says so.
func (c Contest) Run(ctx context.Context, dir string) (outcomes []measure.Outcome, err error) {
	own, err := os.MkdirTemp(dir, "sdks-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(own)) }()
	ring, err := c.open(ctx, own)
	if errors.Is(err, peer.ErrUnavailable) {
		return []measure.Outcome{{Label: c.Language.Name, Peer: c.Language.Name, About: "not measured", Load: c.load(), Unavailable: err.Error()}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ring.close()) }()
	return ring.rounds(ctx)
}

func (c Contest) load() peer.Load {
	return peer.Load{Logs: 1, Writers: c.Callers, Batch: 1, ValueBytes: c.ValueBytes}
}

// takesPart tells whether a client is asked for the contest's path.
func (c Contest) takesPart(client string) bool {
	return c.Path == talk.Follow || !strings.HasSuffix(client, talk.Batch)
}

// reads tells whether the path reads what is there.
func (c Contest) reads() bool { return c.Path == talk.Consume || c.Path == talk.Follow }

// mostCalls bounds the records of a run that takes a call for each.
const mostCalls = 200_000

// most is how many records a run has at most, and how many a log that is read holds.
func (c Contest) most() int {
	n := int(max(1, c.Effort.Bytes/int64(max(1, c.ValueBytes))))
	if c.Path == talk.Consume || c.Path == talk.Unary {
		n = min(n, mostCalls)
	}
	return n
}

// Space is what a contest takes of the disk, at most, in bytes of values: a log is
// deleted after its run, but its space may come back later.
func (c Contest) Space() int64 { return 8 * int64(c.most()) * int64(c.ValueBytes) }

// A Language is one that has an SDK.
type Language struct {
	Name string
	// Start starts its program. The error is [peer.ErrUnavailable] if this machine
	// lacks what the program needs.
	Start func(ctx context.Context) (*Program, error)
}

// entrant is a client at work.
type entrant struct {
	name  string
	count int // records of a run
}

// learn finds how many records a run of the wanted time has. These runs are also what
// compilers at run time need before they are measured.
func (r *ring) learn(ctx context.Context, e *entrant) error {
	const first, growth, enough = 100, 10, 0.5
	want := r.contest.Effort.Time.Seconds()
	for n := min(first, r.contest.most()); ; {
		answer, err := r.ask(ctx, e.name, n)
		if err != nil {
			return err
		}
		fit := float64(n) * min(growth, want/max(answer.Seconds, 1e-6))
		e.count = min(max(1, int(fit)), r.contest.most())
		if answer.Seconds >= enough*want || e.count <= n {
			return nil
		}
		n = e.count
	}
}

// rounds lets all clients find their number, and then take turns.
func (r *ring) rounds(ctx context.Context) ([]measure.Outcome, error) {
	var entrants []*entrant
	for _, name := range r.program.Ready.Clients {
		if r.contest.takesPart(name) {
			entrants = append(entrants, &entrant{name: name})
		}
	}
	if !slices.ContainsFunc(entrants, func(e *entrant) bool { return talk.IsSDK(e.name) }) {
		return nil, fmt.Errorf("%s: its program has no SDK among its clients, %q", r.contest.Language.Name, r.program.Ready.Clients)
	}
	outcomes := make([]measure.Outcome, len(entrants))
	for i, e := range entrants {
		if err := r.learn(ctx, e); err != nil {
			return nil, err
		}
		label := r.contest.Language.Name + " " + e.name
		outcomes[i] = measure.Outcome{Label: label, Peer: r.contest.Language.Name, About: r.program.Versions(), Load: r.contest.load()}
	}
	for range r.contest.Effort.Rounds {
		for i, e := range entrants {
			if err := measure.Settle(r.dir); err != nil {
				return nil, err
			}
			sample, err := r.sample(ctx, e)
			if err != nil {
				return nil, err
			}
			outcomes[i].Series = append(outcomes[i].Series, sample)
		}
	}
	return outcomes, nil
}

// sample is one run that counts.
func (r *ring) sample(ctx context.Context, e *entrant) (measure.Sample, error) {
	before, err := r.server.CPU()
	if err != nil {
		return measure.Sample{}, err
	}
	answer, err := r.ask(ctx, e.name, e.count)
	if err != nil {
		return measure.Sample{}, err
	}
	after, err := r.server.CPU()
	n := time.Duration(answer.Records)
	return measure.Sample{
		Records: uint64(answer.Records), Bytes: uint64(answer.Records) * uint64(r.contest.ValueBytes),
		Elapsed:         time.Duration(answer.Seconds * float64(time.Second)),
		CPUPerRecord:    time.Duration(answer.CPU*float64(time.Second)) / n,
		ServerPerRecord: (after - before) / n,
	}, err
}

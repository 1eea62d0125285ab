package measure

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/proglog/proglog/server/bench/internal/peer"
)

// Effort says how much of everything is done.
type Effort struct {
	Rounds int
	Time   time.Duration // of one run
	Bytes  int64         // of values that one run appends at most
}

// A Contest lets entrants do their work in turns, A B C A B C, so that whatever
// else happens on the machine meets all of them.
type Contest struct {
	Entrants []Entrant
	Effort   Effort
}

// An Entrant is a peer with the load that it gets.
type Entrant struct {
	Label string // by default the peer's name
	Peer  peer.Peer
	Load  peer.Load
	// Beside is another load on the same subject, on one more log, of which only
	// the bytes are counted; no writers: none.
	Beside peer.Load
	// Against is the index of the entrant that this one is compared with.
	Against int
}

// An Outcome is what an entrant reached.
type Outcome struct {
	Label       string
	Peer, About string // what the peer says of itself
	Load        peer.Load
	Against     int           // as in its entrant
	Setup       time.Duration // to open the subject, make its logs and put a record into each
	Series      Series
	Unavailable string // why there are no figures
}

// Run runs the contest below dir, in fresh directories that are gone when it
// returns. Beside failures of peers, its error may be [ErrLost].
func (c Contest) Run(ctx context.Context, dir string) (_ []Outcome, err error) {
	outcomes := make([]Outcome, len(c.Entrants))
	stands := make([]*stand, len(c.Entrants))
	defer func() {
		for _, s := range stands {
			if s != nil {
				err = errors.Join(err, s.close())
			}
		}
	}()
	for i, e := range c.Entrants {
		outcomes[i] = Outcome{Label: e.label(), Peer: e.Peer.Name(), About: e.Peer.About(), Load: e.Load, Against: e.Against}
		began := time.Now()
		stands[i], err = newStand(e, dir)
		if errors.Is(err, peer.ErrUnavailable) {
			outcomes[i].Unavailable, err = err.Error(), nil
			continue
		}
		if err == nil {
			outcomes[i].Setup = time.Since(began)
			_, err = stands[i].run(Effort{Time: min(c.Effort.Time/4, warmUp), Bytes: c.Effort.Bytes})
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.label(), err)
		}
	}
	if err := c.rounds(ctx, dir, stands, outcomes); err != nil {
		return nil, err
	}
	for i, s := range stands {
		if s == nil {
			continue
		}
		if err := s.verify(); err != nil {
			return nil, fmt.Errorf("%s: %w", outcomes[i].Label, err)
		}
	}
	return outcomes, nil
}

// warmUp is how long an entrant works before it counts: first goroutines, first
// buffers, first files are not what is measured.
const warmUp = 50 * time.Millisecond

func (c Contest) rounds(ctx context.Context, dir string, stands []*stand, outcomes []Outcome) error {
	for range c.Effort.Rounds {
		for i, s := range stands {
			if s == nil {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := Settle(dir); err != nil {
				return err
			}
			sample, err := s.run(c.Effort)
			if err != nil {
				return fmt.Errorf("%s: %w", outcomes[i].Label, err)
			}
			outcomes[i].Series = append(outcomes[i].Series, sample)
		}
	}
	return nil
}

// Settle lets the disk and the heap come to rest, so that nobody pays for what
// another left behind.
func Settle(dir string) error {
	runtime.GC()
	return syncFileSystem(dir)
}

func (e Entrant) label() string {
	if e.Label != "" {
		return e.Label
	}
	return e.Peer.Name()
}

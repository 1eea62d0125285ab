package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
}

// An Outcome is what an entrant reached.
type Outcome struct {
	Label       string
	Load        peer.Load
	Setup       time.Duration // to open the subject and make its logs
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
		outcomes[i] = Outcome{Label: e.label(), Load: e.Load}
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
		if err := verify(s.subject, s.crews...); err != nil {
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
			if err := settle(dir); err != nil {
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

// settle lets the disk and the heap come to rest, so that nobody pays for what
// another left behind.
func settle(dir string) error {
	runtime.GC()
	return syncFileSystem(dir)
}

func (e Entrant) label() string {
	if e.Label != "" {
		return e.Label
	}
	return e.Peer.Name()
}

// A stand is an entrant at work.
type stand struct {
	dir     string
	subject peer.Subject
	crews   []*crew // the measured one, and perhaps the one beside
}

func newStand(e Entrant, dir string) (*stand, error) {
	own, err := os.MkdirTemp(dir, "stand-*")
	if err != nil {
		return nil, err
	}
	load := e.Load
	if e.Beside.Writers > 0 {
		load.Logs++
		load.Writers += e.Beside.Writers
	}
	subject, err := e.Peer.Open(filepath.Clean(own), load)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(own))
	}
	s := &stand{dir: own, subject: subject, crews: []*crew{newCrew(subject, e.Load, 0, 0)}}
	if e.Beside.Writers > 0 {
		beside := e.Beside
		beside.Logs = 1
		s.crews = append(s.crews, newCrew(subject, beside, e.Load.Writers, e.Load.Logs))
	}
	return s, nil
}

// run is one run of one entrant.
func (s *stand) run(e Effort) (Sample, error) {
	main := s.crews[0]
	limits := bounds{time: e.Time, bytes: e.Bytes}
	other, finish := s.startBeside(e)
	records := main.acked()
	before := usageNow()
	latencies, err := main.run(&limits)
	after := usageNow()
	bytes, besideErr := finish()
	if err := errors.Join(err, besideErr); err != nil {
		return Sample{}, err
	}
	records = main.acked() - records
	sample := newSample(before, after, latencies, records, records*uint64(main.load.ValueBytes))
	if other {
		sample.BesideBytes = bytes
	}
	return sample, nil
}

// BesideBytes is how many times more than the measured load the one beside may write.
const BesideBytes = 4

// startBeside starts the load beside, if there is one. finish ends it and tells
// how many bytes it wrote.
func (s *stand) startBeside(e Effort) (started bool, finish func() (uint64, error)) {
	if len(s.crews) < 2 {
		return false, func() (uint64, error) { return 0, nil }
	}
	beside := s.crews[1]
	had := beside.acked()
	// It has to outlast the measured one, which ends a little after its time.
	limits := bounds{time: 4 * e.Time, bytes: BesideBytes * e.Bytes}
	done := make(chan error, 1)
	go func() {
		_, err := beside.run(&limits)
		done <- err
	}()
	return true, func() (uint64, error) {
		limits.stop.Store(true)
		err := <-done
		return (beside.acked() - had) * uint64(beside.load.ValueBytes), err
	}
}

func (s *stand) close() error {
	return errors.Join(s.subject.Close(), os.RemoveAll(s.dir))
}

package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/proglog/proglog/server/bench/internal/peer"
)

// A Pumping lets servers take, in turns, the records of one pipelined producer.
type Pumping struct {
	Peers      []peer.Peer // their subjects are [peer.Pipelined] and [peer.Streaming]
	ValueBytes int
	Window     int // records in flight at most
	Effort     Effort
}

// Run runs the pumping below dir, in fresh directories that are gone when it
// returns. Every acked record is then read back; the error may be [ErrLost].
func (p Pumping) Run(ctx context.Context, dir string) (_ []Outcome, err error) {
	load := peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: p.ValueBytes}
	hall := &hall{dir: dir}
	defer func() { err = errors.Join(err, hall.close()) }()
	if err := hall.open(ctx, p.Peers, load); err != nil {
		return nil, err
	}
	warm := p.Effort
	warm.Time = min(p.Effort.Time/4, warmUp)
	err = hall.each(ctx, func(b *booth) error {
		_, err := b.pump(ctx, p.Window, warm)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = hall.rounds(ctx, p.Effort.Rounds, func(b *booth) (Sample, error) { return b.pump(ctx, p.Window, p.Effort) })
	if err != nil {
		return nil, err
	}
	if err := hall.each(ctx, func(b *booth) error { return b.readBack(ctx) }); err != nil {
		return nil, err
	}
	return hall.outcomes, nil
}

// A hall is the servers of one cell.
type hall struct {
	dir      string
	booths   []*booth // nil where a peer is not available
	outcomes []Outcome
}

// A booth is one server with what it holds: the records of a flow, from 0 on.
type booth struct {
	dir     string
	subject peer.Subject
	load    peer.Load
	records uint64 // that are acked
}

// open starts the servers of peers.
func (h *hall) open(ctx context.Context, peers []peer.Peer, load peer.Load) error {
	for _, p := range peers {
		if err := ctx.Err(); err != nil {
			return err
		}
		outcome := Outcome{Label: p.Name(), Peer: p.Name(), About: p.About(), Load: load}
		began := time.Now()
		b, err := newBooth(p, h.dir, load)
		if errors.Is(err, peer.ErrUnavailable) {
			outcome.Unavailable, err, b = err.Error(), nil, nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name(), err)
		}
		outcome.Setup = time.Since(began)
		h.booths, h.outcomes = append(h.booths, b), append(h.outcomes, outcome)
	}
	return nil
}

func newBooth(p peer.Peer, dir string, load peer.Load) (*booth, error) {
	own, err := os.MkdirTemp(dir, "stand-*")
	if err != nil {
		return nil, err
	}
	subject, err := p.Open(own, load)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(own))
	}
	return &booth{dir: own, subject: subject, load: load}, nil
}

// each does something with every server that is there.
func (h *hall) each(ctx context.Context, do func(*booth) error) error {
	for i, b := range h.booths {
		if err := ctx.Err(); err != nil {
			return err
		}
		if b == nil {
			continue
		}
		if err := do(b); err != nil {
			return fmt.Errorf("%s: %w", h.outcomes[i].Label, err)
		}
	}
	return nil
}

// rounds lets the servers work in turns and keeps the samples.
func (h *hall) rounds(ctx context.Context, rounds int, run func(*booth) (Sample, error)) error {
	for range rounds {
		for i, b := range h.booths {
			if b == nil {
				continue
			}
			if err := errors.Join(ctx.Err(), Settle(h.dir)); err != nil {
				return err
			}
			sample, err := run(b)
			if err != nil {
				return fmt.Errorf("%s: %w", h.outcomes[i].Label, err)
			}
			h.outcomes[i].Series = append(h.outcomes[i].Series, sample)
		}
	}
	return nil
}

func (h *hall) close() (err error) {
	for _, b := range h.booths {
		if b != nil {
			err = errors.Join(err, b.subject.Close(), os.RemoveAll(b.dir))
		}
	}
	return err
}

// patience is how much longer than its time a run may take before it is given up.
const patience = time.Minute

// pump lets the server take records until the effort is made.
func (b *booth) pump(ctx context.Context, window int, e Effort) (Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Time+patience)
	defer cancel()
	pump, err := begin(b.subject)
	if err != nil {
		return Sample{}, err
	}
	flow := peer.NewFlow(window, b.load.ValueBytes, b.records, pump.before.at.Add(e.Time), e.Bytes)
	defer flow.StopWith(ctx)()
	err = b.subject.(peer.Pipelined).Pump(ctx, flow)
	taken, acked, delays := flow.Results()
	b.records += acked
	if err == nil && taken != acked {
		err = fmt.Errorf("%d records were sent and %d acked", taken, acked)
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		return Sample{}, err
	}
	return pump.end(delays, acked, acked*uint64(b.load.ValueBytes))
}

// readBack reads all that the server holds: every acked record once, with its own
// bytes, and nothing else.
func (b *booth) readBack(ctx context.Context) error {
	have, err := b.subject.Count()
	if err != nil {
		return err
	}
	if have != b.records {
		return fmt.Errorf("%w: %d were acked, %d are there", ErrLost, b.records, have)
	}
	if have == 0 {
		return fmt.Errorf("%w: nothing was acked", ErrLost)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	seen := make([]bool, have)
	batch := peer.NewBatch(0, 1, b.load.ValueBytes)
	return b.subject.(peer.Streaming).Stream(ctx, have, func(value []byte) error {
		_, n := peer.StampOf(value)
		if n >= have || seen[n] {
			return fmt.Errorf("%w: record %d came twice, or was never sent", ErrLost, n)
		}
		seen[n] = true
		if err := batch.Check(value, n); err != nil {
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
		return nil
	})
}

// A span is a run from its beginning on.
type span struct {
	subject any
	before  usage
	server  time.Duration
}

// begin notes what was used up before a run.
func begin(subject any) (s span, err error) {
	s.subject = subject
	s.server, err = serverTime(subject)
	s.before = usageNow()
	return s, err
}

// end makes the run's sample.
func (s span) end(latencies []uint32, records, bytes uint64) (Sample, error) {
	after := usageNow()
	server, err := serverTime(s.subject)
	sample := newSample(s.before, after, latencies, records, bytes)
	if records > 0 {
		sample.ServerPerRecord = (server - s.server) / time.Duration(records)
	}
	return sample, err
}

// serverTime is the processor time of a subject that is a process, otherwise 0.
func serverTime(subject any) (time.Duration, error) {
	if s, ok := subject.(peer.Served); ok {
		return s.CPU()
	}
	return 0, nil
}

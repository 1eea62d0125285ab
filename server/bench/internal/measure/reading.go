package measure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/proglog/proglog/server/bench/internal/peer"
)

// A Reading lets entrants read, in turns, what they hold: the same records,
// filled in before, in the page cache as far as it goes.
type Reading struct {
	Peers      []peer.Peer // their subjects are [peer.Readable]
	ValueBytes int
	Bytes      int64 // of values to fill in
	Effort     Effort
}

// A Way is how readers go through a log.
type Way struct {
	Name    string
	Random  bool // records by offset; otherwise runs, from the first on
	Readers int
}

// fillBytes is the size of the batches that fill a subject.
const fillBytes = 1 << 20

// maxBatch is the largest batch that our engine takes by default.
const maxBatch = 1000

// load is what fills a subject.
func (r Reading) load() peer.Load {
	return peer.Load{Logs: 1, Writers: 1, Batch: min(maxBatch, max(1, fillBytes/r.ValueBytes)), ValueBytes: r.ValueBytes}
}

// Run runs all ways and returns, for each, the outcomes of all entrants.
func (r Reading) Run(ctx context.Context, dir string, ways []Way) (_ [][]Outcome, err error) {
	var stands []*stand
	defer func() {
		for _, s := range stands {
			err = errors.Join(err, s.close())
		}
	}()
	for _, p := range r.Peers {
		s, err := newStand(Entrant{Peer: p, Load: r.load()}, dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name(), err)
		}
		stands = append(stands, s)
		if _, err := s.run(Effort{Time: time.Hour, Bytes: r.Bytes}); err != nil {
			return nil, fmt.Errorf("fill %s: %w", p.Name(), err)
		}
		if err := s.verify(); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name(), err)
		}
	}
	outcomes := make([][]Outcome, len(ways))
	for i, way := range ways {
		outcomes[i] = make([]Outcome, len(r.Peers))
		for j, p := range r.Peers {
			outcomes[i][j] = Outcome{Label: p.Name(), Peer: p.Name(), About: p.About(), Load: r.load()}
		}
		if err := r.rounds(ctx, dir, way, stands, outcomes[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", way.Name, err)
		}
	}
	return outcomes, nil
}

func (r Reading) rounds(ctx context.Context, dir string, way Way, stands []*stand, outcomes []Outcome) error {
	for range r.Effort.Rounds {
		for i, s := range stands {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := Settle(dir); err != nil {
				return err
			}
			sample, err := r.sample(way, s)
			if err != nil {
				return fmt.Errorf("%s: %w", outcomes[i].Label, err)
			}
			outcomes[i].Series = append(outcomes[i].Series, sample)
		}
	}
	return nil
}

// sample is one run of one entrant.
func (r Reading) sample(way Way, s *stand) (Sample, error) {
	readers := make([]*reader, way.Readers)
	for i := range readers {
		readers[i] = &reader{
			Reader: s.subject.(peer.Readable).Reader(), batch: s.main.workers[0].batch,
			total: s.main.acked(), random: rand.New(rand.NewPCG(uint64(i), 2)),
		}
	}
	errs := make([]error, len(readers))
	before := usageNow()
	end := before.at.Add(r.Effort.Time)
	var wg sync.WaitGroup
	for i, one := range readers {
		wg.Go(func() {
			if way.Random {
				errs[i] = one.pick(end)
			} else {
				errs[i] = one.sweep(end)
			}
		})
	}
	wg.Wait()
	after := usageNow()
	var latencies []uint32
	var records, bytes uint64
	for _, one := range readers {
		latencies = append(latencies, one.latencies...)
		records, bytes = records+one.records, bytes+one.bytes
	}
	return newSample(before, after, latencies, records, bytes), errors.Join(errs...)
}

// A reader reads for one goroutine.
type reader struct {
	peer.Reader
	batch  *peer.Batch // of the writer who filled the subject
	total  uint64      // records that it holds
	random *rand.Rand

	latencies      []uint32
	records, bytes uint64
}

// checkEvery is how many random reads are done for one whose bytes are compared.
const checkEvery = 64

// pick reads records at random until the end, one at least.
func (r *reader) pick(end time.Time) error {
	for began := time.Now(); r.records == 0 || began.Before(end); {
		offset := r.random.Uint64N(r.total)
		value, err := r.At(offset)
		if err != nil {
			return err
		}
		now := time.Now()
		r.latencies = append(r.latencies, latency(now.Sub(began)))
		r.records++
		r.bytes += uint64(len(value))
		if began = now; r.records%checkEvery == 1 {
			if err := r.batch.Check(value, offset); err != nil {
				return fmt.Errorf("%w: offset %d: %w", ErrLost, offset, err)
			}
			began = time.Now()
		}
	}
	return nil
}

// sweep reads all records in order, again and again until the end, one run at least.
func (r *reader) sweep(end time.Time) error {
	offset := uint64(0)
	for began := time.Now(); r.records == 0 || began.Before(end); {
		n, size, err := r.Run(offset)
		if err != nil {
			return err
		}
		now := time.Now()
		r.latencies = append(r.latencies, latency(now.Sub(began)))
		r.records += uint64(n)
		r.bytes += uint64(size)
		began = now
		switch offset += uint64(n); {
		case n == 0 || offset > r.total:
			return fmt.Errorf("%w: a run of %d records ends at offset %d of %d", ErrLost, n, offset, r.total)
		case offset == r.total:
			offset = 0
		}
	}
	return nil
}

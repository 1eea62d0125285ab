package growth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	plog "github.com/proglog/proglog/server/log"
)

// Beside is how long appends take while a checkpoint is made, and between
// checkpoints, in each round.
type Beside struct {
	Logs, ValueBytes int
	Rounds           []BesideRound
}

// A BesideRound is one round of [Beside].
type BesideRound struct {
	First  Waits // of logs that are new, until the end of the first checkpoint, which makes their files
	During Waits // while later checkpoints were made
	Calm   Waits // between those
	Share  float64
}

// Waits are how long appends took.
type Waits struct {
	Calls             int
	P50, P99, Longest time.Duration
}

const (
	besideWriters     = 256
	besideCheckpoints = 5                // after the first
	besideLongest     = 60 * time.Second // of a round
)

// MeasureBeside has 256 goroutines append records one at a time, each to a log
// chosen at random, until several checkpoints were made; with a new data directory
// in each round.
func MeasureBeside(ctx context.Context, dir string, logs, valueBytes, rounds int) (Beside, error) {
	b := Beside{Logs: logs, ValueBytes: valueBytes}
	for range rounds {
		err := within(dir, func(own string) error {
			r, err := besideRound(ctx, own, peer.Load{Logs: logs, Writers: besideWriters, Batch: 1, ValueBytes: valueBytes}, plog.Options{})
			b.Rounds = append(b.Rounds, r)
			return err
		})
		if err != nil {
			return Beside{}, fmt.Errorf("appends beside checkpoints: %w", err)
		}
	}
	return b, nil
}

// A call is one append.
type call struct {
	from, to time.Duration // since the round began
}

func besideRound(ctx context.Context, dir string, load peer.Load, options plog.Options) (r BesideRound, err error) {
	w := &watching{all: make(chan struct{})}
	options.Logger = slog.New(w)
	subject, err := peer.Engine{Options: options}.Open(dir, load)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, subject.Close()) }()
	calls := make([][]call, load.Writers)
	err = w.appending(ctx, subject, load, besideCheckpoints+1, func(writer int, c call) { calls[writer] = append(calls[writer], c) })
	if err != nil {
		return r, err
	}
	return sortOut(slices.Concat(calls...), w.made()), nil
}

// appending appends from all the load's writers until so many checkpoints were made.
// Each call is noted by its writer's goroutine.
func (w *watching) appending(ctx context.Context, subject peer.Subject, load peer.Load, checkpoints int, note func(writer int, c call)) (err error) {
	ctx, cancel := context.WithTimeout(ctx, besideLongest)
	defer cancel()
	w.begin(checkpoints)
	errs := make([]error, load.Writers)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range load.Writers {
		wg.Go(func() { errs[i] = w.append(subject, load, i, &stop, note) })
	}
	select {
	case <-w.all:
	case <-ctx.Done():
		err = fmt.Errorf("%d checkpoints: %w", len(w.made()), context.Cause(ctx))
	}
	stop.Store(true)
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

// append appends until it is told to stop.
func (w *watching) append(s peer.Subject, load peer.Load, i int, stop *atomic.Bool, note func(int, call)) error {
	batch := peer.NewBatch(i, load.Batch, load.ValueBytes)
	writer := s.Writer(i, batch)
	random := rand.New(rand.NewPCG(uint64(i), 1))
	for n := uint64(0); !stop.Load(); n++ {
		batch.Stamp(n)
		from := w.since()
		if _, err := writer.Append(random.IntN(load.Logs)); err != nil {
			return err
		}
		note(i, call{from, w.since()})
	}
	return nil
}

// sortOut tells calls that were made beside checkpoints, the first or others, from
// those between.
func sortOut(calls []call, made []call) (r BesideRound) {
	var first, during, calm []uint32
	for _, c := range calls {
		took := uint32(min(c.to-c.from, 1<<32-1))
		beside := func(k call) bool { return c.from < k.to && c.to > k.from }
		switch {
		case c.from < made[0].to:
			first = append(first, took)
		case slices.ContainsFunc(made[1:], beside):
			during = append(during, took)
		default:
			calm = append(calm, took)
		}
	}
	for _, k := range made[1:] {
		r.Share += float64(k.to - k.from)
	}
	r.Share /= float64(made[len(made)-1].to - made[0].to)
	r.First, r.During, r.Calm = waits(first), waits(during), waits(calm)
	return r
}

func waits(list []uint32) Waits {
	slices.Sort(list)
	return Waits{Calls: len(list), P50: measure.Percentile(list, 0.5), P99: measure.Percentile(list, 0.99), Longest: measure.Percentile(list, 1)}
}

// watching is a log handler that knows when checkpoints were made.
type watching struct {
	mu          sync.Mutex
	began       time.Time
	want        int
	checkpoints []call
	all         chan struct{} // closed when as many were made as are wanted
}

func (w *watching) begin(want int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began, w.want = time.Now(), want
}

// since is the time since the round began. Only what begin happened before calls it.
func (w *watching) since() time.Duration { return time.Since(w.began) }

func (w *watching) made() []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.checkpoints)
}

// Handle implements [slog.Handler].
func (w *watching) Handle(_ context.Context, record slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if record.Message != plog.CheckpointMade || len(w.checkpoints) >= w.want {
		return nil
	}
	to := time.Since(w.began)
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "took" {
			w.checkpoints = append(w.checkpoints, call{to - a.Value.Duration(), to})
		}
		return true
	})
	if len(w.checkpoints) == w.want {
		close(w.all)
	}
	return nil
}

// Enabled implements [slog.Handler].
func (w *watching) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements [slog.Handler].
func (w *watching) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup implements [slog.Handler].
func (w *watching) WithGroup(string) slog.Handler { return w }

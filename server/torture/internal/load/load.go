// Package load keeps a server busy with writers of every kind and with tails, and
// notes in a history what each was told.
package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proglog/proglog/server/torture/internal/audit"
	"github.com/proglog/proglog/server/torture/internal/wire"

	proglog "github.com/proglog/proglog/sdk/go"
)

const (
	// progressLimit is how long every writer may take to get an ack, and every tail
	// to get to the end, once the server is up.
	progressLimit = 20 * time.Second
	// failurePause is how long a writer waits after a failure.
	failurePause = 10 * time.Millisecond
)

// A Kind is a way to write.
type Kind string

// The kinds of writers.
const (
	Stream     Kind = "producer"               // a Producer of the SDK; it goes on by itself
	OnceStream Kind = "producer, no identity"  // one that sends nothing twice
	Unary      Kind = "produce"                // Produce of the SDK, whose calls share a stream
	Batches    Kind = "batches"                // ProduceBatch of the SDK
	Bare       Kind = "unary, no identity"     // a request of its own, sent once
	Repeated   Kind = "unary, own identity"    // a request of its own, sent until it is answered
	Expecting  Kind = "unary, expected offset" // one that names the offset it has to get
)

// Mix returns the kinds of so many writers, at least one of each from seven on.
func Mix(writers int) []Kind {
	kinds := []Kind{Stream, Unary, Bare, Repeated, Batches, OnceStream, Stream, Expecting, Unary, Repeated, Stream, Bare}
	var mix []Kind
	for i := range writers {
		mix = append(mix, kinds[i%len(kinds)])
	}
	return mix
}

// Log is a log under load.
type Log struct {
	Name    string
	History *audit.History
	Writers []Kind
	Tails   int
}

// Load is writers and tails at work.
type Load struct {
	url    string
	run    context.Context
	cancel context.CancelFunc
	quit   chan struct{} // closed: writers end after what they do
	logger *slog.Logger

	clients []*proglog.Client
	bare    []*wire.Client

	writing, reading sync.WaitGroup
	writers          []*writer
	tails            []*tail

	forgiving atomic.Bool

	mu     sync.Mutex
	broken []error
	failed chan struct{} // closed with the first error in broken
}

// Start starts the load on a server, which may be killed and started again at the
// same address meanwhile. The seed decides where tails begin and how large batches
// are.
func Start(ctx context.Context, url string, seed uint64, logs []Log) (*Load, error) {
	l := &Load{url: url, quit: make(chan struct{}), failed: make(chan struct{}), logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	l.run, l.cancel = context.WithCancel(ctx)
	for _, protocol := range []proglog.Protocol{proglog.ProtocolConnect, proglog.ProtocolGRPC} {
		client, err := proglog.New(url, proglog.WithProtocol(protocol), proglog.WithRetry(proglog.Retry{
			Attempts: 8, MinDelay: 5 * time.Millisecond, MaxDelay: 100 * time.Millisecond,
		}))
		if err != nil {
			l.cancel()
			return nil, err
		}
		l.clients = append(l.clients, client)
	}
	for _, protocol := range wire.Protocols() {
		l.bare = append(l.bare, wire.New(url, protocol))
	}
	random := rand.New(rand.NewPCG(seed, 1))
	for _, log := range logs {
		for range log.Tails {
			l.follow(log, random)
		}
		for _, kind := range log.Writers {
			l.write(log, kind, random)
		}
	}
	return l, nil
}

// Forgive says whether a tail may meet DATA_LOSS, and tries again: on a disk that
// is being broken under the server that is what a read finds. What is still damaged
// when it no longer holds counts.
func (l *Load) Forgive(on bool) { l.forgiving.Store(on) }

// fail notes what a writer or a tail must not meet.
func (l *Load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken = append(l.broken, err); len(l.broken) == 1 {
		close(l.failed)
	}
}

// err returns what fail noted.
func (l *Load) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.broken[:min(len(l.broken), 8)]...)
}

// AwaitAcks waits until the writers have so many acks, together.
func (l *Load) AwaitAcks(ctx context.Context, acks uint64) error {
	return l.await(ctx, fmt.Sprintf("%d acks", acks), func() bool {
		var sum uint64
		for _, w := range l.writers {
			sum += w.acks.Load()
		}
		return sum >= acks
	})
}

// AwaitEach waits until each writer has an ack more than now.
func (l *Load) AwaitEach(ctx context.Context) error {
	var now []uint64
	for _, w := range l.writers {
		now = append(now, w.acks.Load())
	}
	return l.await(ctx, "an ack of each writer", func() bool {
		for i, w := range l.writers {
			if w.acks.Load() <= now[i] {
				return false
			}
		}
		return true
	})
}

// await looks again and again, since what it waits for is made of many counters.
func (l *Load) await(ctx context.Context, what string, there func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, progressLimit)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !there() {
		select {
		case <-tick.C:
		case <-l.failed:
			return l.err()
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; %s", what, ctx.Err(), l.laggards())
		}
	}
	return nil
}

// laggards names the writers with the fewest acks.
func (l *Load) laggards() string {
	sorted := slices.SortedFunc(slices.Values(l.writers), func(a, b *writer) int { return int(a.acks.Load()) - int(b.acks.Load()) })
	text := "fewest acks:"
	for _, w := range sorted[:min(3, len(sorted))] {
		text += fmt.Sprintf(" %s on %q %d (last error: %v);", w.kind, w.log.Name, w.acks.Load(), w.lastError())
	}
	return text
}

// Finish ends the writers, waits until every tail has seen all, and ends the tails.
func (l *Load) Finish(ctx context.Context) error {
	defer l.Abort()
	close(l.quit)
	if err := l.joined(ctx, &l.writing, "the writers to end"); err != nil {
		return err
	}
	ends := map[string]uint64{}
	for _, t := range l.tails {
		if _, asked := ends[t.log.Name]; asked {
			continue
		}
		info, err := l.clients[0].DescribeLog(ctx, t.log.Name)
		if err != nil {
			return err
		}
		ends[t.log.Name] = info.NextOffset
	}
	err := l.await(ctx, "the tails to get to the end", func() bool {
		for _, t := range l.tails {
			if t.next.Load() < ends[t.log.Name] {
				return false
			}
		}
		return true
	})
	if err != nil {
		for i, t := range l.tails {
			if end := ends[t.log.Name]; t.next.Load() < end {
				err = fmt.Errorf("%w; tail %d of %q is at %d of %d", err, i, t.log.Name, t.next.Load(), end)
			}
		}
		return err
	}
	l.cancel()
	l.reading.Wait()
	return l.err()
}

// joined waits for goroutines, for as long as an ack may take.
func (l *Load) joined(ctx context.Context, group *sync.WaitGroup, what string) error {
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	timer := time.NewTimer(progressLimit)
	defer timer.Stop()
	select {
	case <-done:
		return l.err()
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("waited %v for %s; %s", progressLimit, what, l.laggards())
	}
}

// Abort ends everything at once, and returns when nothing runs any more. What is
// in flight stays unknown. After Finish it does nothing.
func (l *Load) Abort() {
	l.cancel()
	l.writing.Wait()
	l.reading.Wait()
	for _, c := range l.clients {
		_ = c.Close()
	}
	for _, c := range l.bare {
		c.Close()
	}
}

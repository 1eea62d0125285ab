package measure_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
)

// A faulty peer keeps records in memory and does one thing wrong.
type faulty struct {
	forget  bool // it acks a record that it does not keep
	twice   bool // it gives two records one offset
	change  bool // it changes a byte
	swap    bool // it gives back another record
	phantom bool // it has a record that nobody wrote
}

func (faulty) Name() string  { return "faulty" }
func (faulty) About() string { return "" }

func (f faulty) Open(string, peer.Load) (peer.Subject, error) { return &faultySubject{faulty: f}, nil }

type faultySubject struct {
	faulty
	mu     sync.Mutex
	values [][]byte
}

func (s *faultySubject) Writer(_ int, b *peer.Batch) peer.Writer { return &faultyWriter{s, b} }

func (s *faultySubject) Count() (uint64, error) {
	n := uint64(len(s.values))
	if s.phantom {
		n++
	}
	return n, nil
}

func (s *faultySubject) Value(at peer.Place, _ []byte) ([]byte, error) {
	return s.values[at.Offset], nil
}

func (s *faultySubject) Close() error { return nil }

type faultyWriter struct {
	s *faultySubject
	b *peer.Batch
}

func (w *faultyWriter) Append(int) (uint64, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	n := len(w.s.values)
	value := slices.Clone(w.b.Raw)
	switch {
	case n != 5:
	case w.s.forget:
		w.s.forget = false
		return uint64(n), nil
	case w.s.change:
		value[len(value)-1] ^= 1
	case w.s.swap:
		value = slices.Clone(w.s.values[n-1])
	}
	w.s.values = append(w.s.values, value)
	if w.s.twice && n == 5 {
		n--
	}
	return uint64(n), nil
}

// Goal: a peer that loses, doubles, changes or invents a record fails the bench;
// one that does not passes.
func TestLossIsFound(t *testing.T) {
	load := peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: 100}
	for name, row := range map[string]struct {
		peer faulty
		want string
	}{
		"forgets":  {faulty{forget: true}, "are there"},
		"doubles":  {faulty{twice: true}, "two acks"},
		"changes":  {faulty{change: true}, "other bytes"},
		"swaps":    {faulty{swap: true}, "came back as"},
		"invents":  {faulty{phantom: true}, "are there"},
		"is sound": {faulty{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			// Few enough records that all of them are read back.
			effort := measure.Effort{Rounds: 1, Time: tiny().Time, Bytes: 20 * 100}
			_, err := measure.Contest{Effort: effort, Entrants: []measure.Entrant{{Peer: row.peer, Load: load}}}.Run(context.Background(), t.TempDir())
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, measure.ErrLost)
			require.ErrorContains(t, err, row.want)
		})
	}
}

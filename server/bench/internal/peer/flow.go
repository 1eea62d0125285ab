package peer

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A Flow is the records of one pipelined producer: so many in flight at most,
// until time or bytes are used up, but for what is taken first, however late that is.
// It is safe for concurrent use, for clients that send over several connections.
type Flow struct {
	Window int // a multiple of what is taken at a time

	batch *Batch // as many values as the window
	begin uint64 // number of the first record

	mu      sync.Mutex
	room    sync.Cond
	next    uint64 // all below were taken
	freed   uint64 // all below are acked
	acked   []bool // of the window
	sent    []time.Time
	delays  []uint32
	budget  int64 // bytes of values that are left
	end     time.Time
	begun   atomic.Bool // something was taken
	stopped atomic.Bool
}

// NewFlow makes a flow that goes on with the record of a number.
func NewFlow(window, valueBytes int, first uint64, end time.Time, bytes int64) *Flow {
	f := &Flow{
		Window: window, batch: NewBatch(0, window, valueBytes), begin: first, next: first, freed: first,
		acked: make([]bool, window), sent: make([]time.Time, window), budget: bytes, end: end,
	}
	f.room.L = &f.mu
	return f
}

// Take returns the next n records, whose values stay as they are until they are
// acked. It waits while the window is full. It returns nil when the flow is over.
func (f *Flow) Take(n int) (first uint64, values [][]byte) {
	if first, values = f.take(n); values != nil {
		f.batch.stamp(values, first)
	}
	return first, values
}

func (f *Flow) take(n int) (first uint64, values [][]byte) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.next+uint64(n)-f.freed > uint64(f.Window) && !f.stopped.Load() {
		f.room.Wait()
		now = time.Now()
	}
	size := int64(n * len(f.batch.Values[0]))
	if f.stopped.Load() || f.begun.Load() && now.After(f.end) || f.budget < size {
		f.stopped.Store(true)
		return 0, nil
	}
	f.begun.Store(true)
	f.budget -= size
	first = f.next
	f.next += uint64(n)
	at := int((first - f.begin) % uint64(f.Window))
	values = f.batch.Values[at : at+n]
	for i := range values {
		f.acked[at+i] = false
		f.sent[at+i] = now
	}
	return first, values
}

// Over tells whether Take would return nil now.
func (f *Flow) Over() bool {
	return f.stopped.Load() || f.begun.Load() && time.Now().After(f.end)
}

// Ack notes that records are acked: n from first on.
func (f *Flow) Ack(first uint64, n int) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range n {
		at := (first + uint64(i) - f.begin) % uint64(f.Window)
		f.acked[at] = true
		f.delays = append(f.delays, uint32(min(max(now.Sub(f.sent[at]), 0), math.MaxUint32)))
	}
	for f.freed < f.next && f.acked[(f.freed-f.begin)%uint64(f.Window)] {
		f.freed++
	}
	f.room.Broadcast()
}

// StopWith ends the flow when the context ends. release gives up the link.
func (f *Flow) StopWith(ctx context.Context) (release func() bool) {
	return context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.stopped.Store(true)
		f.room.Broadcast()
	})
}

// Results returns how many records were taken and how many are acked, and the
// delay of each ack in nanoseconds.
func (f *Flow) Results() (taken, acked uint64, delays []uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next - f.begin, f.freed - f.begin, f.delays
}

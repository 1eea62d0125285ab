// Package audit remembers what writers were told and tails have seen, and holds
// it against what a log has.
package audit

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	proglog "github.com/proglog/proglog/sdk/go"
)

// A History is what is known of one log: the records that an earlier check has
// found, the requests since then with their outcomes, and what tails have seen.
// It is safe for concurrent use.
type History struct {
	run   uint64
	began time.Time

	mu      sync.Mutex
	writers map[uint32]*Writer // since the last check
	next    uint32             // number of the next writer
	tails   []*Tail            // since the last check

	known      []Key  // what earlier checks found, from knownFirst on
	knownFirst uint64 // offset of the first of them

	trimmed  uint64 // a trim to here was answered
	mayTrim  uint64 // a trim to here was asked for
	maxBytes uint64 // retention; 0: none
}

// NewHistory returns the history of an empty log. The run is a number that no
// other run on the same machine has.
func NewHistory(run uint64) *History {
	return &History{run: run, began: time.Now(), writers: map[uint32]*Writer{}}
}

// Mark returns bytes that are in every record of the log, and nowhere else.
func (h *History) Mark() []byte { return binary.LittleEndian.AppendUint64(nil, h.run) }

// Identify returns the key of a record, or an error if no writer has made it as it is.
func (h *History) Identify(r *proglog.Record) (Key, error) {
	k, _, err := identify(h.run, r, nil)
	return k, err
}

// Retain notes that the log keeps no more than so many bytes.
func (h *History) Retain(maxBytes uint64) { h.maxBytes = maxBytes }

// Known returns the bounds of what the last check found.
func (h *History) Known() (first, next uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.knownFirst, h.knownFirst + uint64(len(h.known))
}

// Trim runs a trim to an offset, and notes that it was asked for, and whether it
// was answered.
func (h *History) Trim(to uint64, trim func() error) error {
	h.mu.Lock()
	h.mayTrim = max(h.mayTrim, to)
	h.mu.Unlock()
	if err := trim(); err != nil {
		return err
	}
	h.mu.Lock()
	h.trimmed = max(h.trimmed, to)
	h.mu.Unlock()
	return nil
}

type state uint8

const (
	pending state = iota // nobody told
	acked
	refused // certainly not in the log
)

// An op is a request: a batch of records, or one.
type op struct {
	sent, done int64 // since the history began, in ns; done is set with acked
	offset     uint64
	records    uint8
	state      state
	found      uint8  // by a check: how many of its records
	at         uint64 // by a check: where the first of them is
}

// A Writer makes requests. One goroutine begins them, any may end them.
type Writer struct {
	h       *History
	id      uint32
	ordered bool

	mu  sync.Mutex
	ops []op
}

// Writer adds a writer. Of an ordered one, the requests that are in the log have
// the order in which they were begun, acknowledged or not.
func (h *History) Writer(ordered bool) *Writer {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := &Writer{h: h, id: h.next, ordered: ordered}
	h.next++
	h.writers[w.id] = w
	return w
}

// Begin notes that a request of so many records, at most 255, is about to be sent,
// and returns its number and its records.
func (w *Writer) Begin(records int) (number uint32, batch []proglog.Record) {
	w.mu.Lock()
	number = uint32(len(w.ops))
	w.ops = append(w.ops, op{records: uint8(records)})
	w.mu.Unlock()
	for i := range records {
		batch = append(batch, record(w.h.run, makeKey(w.id, number, i)))
	}
	w.mu.Lock()
	w.ops[number].sent = int64(time.Since(w.h.began))
	w.mu.Unlock()
	return number, batch
}

// Acked notes an acknowledgement.
func (w *Writer) Acked(number uint32, offset uint64) {
	now := int64(time.Since(w.h.began))
	w.mu.Lock()
	defer w.mu.Unlock()
	o := &w.ops[number]
	o.state, o.offset, o.done = acked, offset, now
}

// Refused notes that nothing was appended, for certain. Without it and Acked, the
// outcome of a request is unknown.
func (w *Writer) Refused(number uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ops[number].state = refused
}

// Counts returns how many records the requests since the last check had, by what
// their writers were told.
func (h *History) Counts() (ackedRecords, unknown, refusedRecords uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.writers {
		w.mu.Lock()
		for i := range w.ops {
			switch n := uint64(w.ops[i].records); w.ops[i].state {
			case acked:
				ackedRecords += n
			case refused:
				refusedRecords += n
			default:
				unknown += n
			}
		}
		w.mu.Unlock()
	}
	return ackedRecords, unknown, refusedRecords
}

// Now returns the time of the history.
func (h *History) Now() time.Duration { return time.Since(h.began) }

// AckedOf returns how many requests were acknowledged of those sent after a time.
func (h *History) AckedOf(sentAfter time.Duration) (requests uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.writers {
		w.mu.Lock()
		for i := range w.ops {
			if w.ops[i].state == acked && w.ops[i].sent > int64(sentAfter) {
				requests++
			}
		}
		w.mu.Unlock()
	}
	return requests
}

// A Tail is a reader that follows the log. One goroutine uses it.
type Tail struct {
	h       *History
	name    string
	runs    []sighting
	scratch []byte
}

// A sighting is a run of records that a tail saw, one after the other.
type sighting struct {
	first uint64
	keys  []Key
}

// Tail adds a tail that begins at an offset.
func (h *History) Tail(name string, from uint64) *Tail {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := &Tail{h: h, name: name, runs: []sighting{{first: from}}}
	h.tails = append(h.tails, t)
	return t
}

// Next returns the offset that the tail has to see next.
func (t *Tail) Next() uint64 {
	run := &t.runs[len(t.runs)-1]
	return run.first + uint64(len(run.keys))
}

// Jump notes that the log told the tail to go on at an offset, because what comes
// before was removed.
func (t *Tail) Jump(to uint64) { t.runs = append(t.runs, sighting{first: to}) }

// Saw notes a record. It fails if the record is not the next one, or if no writer
// made it.
func (t *Tail) Saw(r *proglog.Record) error {
	if want := t.Next(); r.Offset != want {
		return &Violation{Kind: Gap, Text: fmt.Sprintf("tail %s got offset %d, not %d", t.name, r.Offset, want)}
	}
	k, scratch, err := identify(t.h.run, r, t.scratch)
	t.scratch = scratch
	if err != nil {
		return &Violation{Kind: Changed, Text: fmt.Sprintf("tail %s got a record at offset %d: %v", t.name, r.Offset, err)}
	}
	run := &t.runs[len(t.runs)-1]
	run.keys = append(run.keys, k)
	return nil
}

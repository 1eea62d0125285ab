// Package history says whether what concurrent clients of a log were told can be
// explained by some order of their calls, one at a time: linearizability, checked by
// porcupine.
package history

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// A Kind is a kind of call.
type Kind uint8

// The kinds of calls.
const (
	Append    Kind = iota // of Keys, if the log ends at Expected
	ReadToEnd             // told Next, and the Hash of all records below it
	ReadAt                // of the record at Offset: there, or told Next
	Describe              // told Next
)

// An Outcome is what the caller knows of a call.
type Outcome uint8

// The outcomes.
const (
	OK      Outcome = iota
	Refused         // nothing was appended; nothing is at the offset
	Unknown         // an append that may have happened, or may yet
)

// NoOffset is an Expected that expects nothing, and a Next that was not told.
const NoOffset = math.MaxUint64

// A Call is a call and its answer.
type Call struct {
	Client       int
	Began, Ended time.Duration // Ended counts for nothing if the outcome is unknown

	Kind     Kind
	Keys     []uint64 // of the records to append
	Expected uint64
	Offset   uint64 // to read at

	Outcome Outcome
	At      uint64 // the offset that an append got
	Next    uint64 // the log's next offset, as told
	Hash    uint64
}

// state is what a log is, as far as calls can tell it.
type state struct {
	next uint64
	hash uint64 // of all records, in order
}

// Empty is the hash of no records.
const Empty uint64 = 14695981039346656037

// Chain returns the hash of records whose last one has a key, given that of those
// before.
func Chain(hash, key uint64) uint64 {
	for range 8 {
		hash = (hash ^ key&0xff) * 1099511628211
		key >>= 8
	}
	return hash ^ hash>>29
}

func (s state) append(keys []uint64) state {
	for _, k := range keys {
		s = state{next: s.next + 1, hash: Chain(s.hash, k)}
	}
	return s
}

// step returns the states in which a call with its answer may leave the log; none if it
// cannot have been answered so.
func step(s state, c *Call) []any {
	same := []any{s}
	switch c.Kind {
	case Append:
		fits := c.Expected == NoOffset || c.Expected == s.next
		switch {
		case c.Outcome == OK && fits && c.At == s.next:
			return []any{s.append(c.Keys)}
		case c.Outcome == Refused && (c.Next == NoOffset || c.Next == s.next && !fits):
			return same
		case c.Outcome == Unknown && fits:
			return []any{s, s.append(c.Keys)}
		case c.Outcome == Unknown:
			return same
		}
	case ReadToEnd:
		if c.Next == s.next && c.Hash == s.hash {
			return same
		}
	case ReadAt:
		if c.Outcome == OK && c.Offset < s.next || c.Outcome == Refused && c.Offset >= s.next && c.Next == s.next {
			return same
		}
	case Describe:
		if c.Next == s.next {
			return same
		}
	}
	return nil
}

// Check says whether the calls on a log that was empty before can be explained. It
// fails also if it could not find out within the limit.
func Check(calls []Call, limit time.Duration) error {
	model := porcupine.NondeterministicModel{
		Init:  func() []any { return []any{state{hash: Empty}} },
		Step:  func(s, in, _ any) []any { return step(s.(state), in.(*Call)) },
		Equal: func(a, b any) bool { return a.(state) == b.(state) },
	}
	var operations []porcupine.Operation
	for i := range calls {
		c := &calls[i]
		end := int64(c.Ended)
		if c.Outcome == Unknown {
			end = math.MaxInt64 // it may happen at any time
		}
		operations = append(operations, porcupine.Operation{ClientId: i, Input: c, Call: int64(c.Began), Return: end})
	}
	switch result := porcupine.CheckOperationsTimeout(model.ToModel(), operations, limit); result {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return fmt.Errorf("illegal: no order of the %d calls explains their answers", len(calls))
	default:
		return fmt.Errorf("%s: no verdict on %d calls within %v", result, len(calls), limit)
	}
}

// Settle decides unknown appends by what the log has in the end, key by key: those
// that are there happened, at that offset, and may have at any time; the others did
// not, and are left out. It spares the check to try both for each.
func Settle(calls []Call, offsets map[uint64]uint64) []Call {
	var settled []Call
	for _, c := range calls {
		if c.Kind == Append && c.Outcome == Unknown {
			at, there := offsets[c.Keys[0]]
			if !there {
				continue
			}
			c.Outcome, c.At, c.Ended = OK, at, math.MaxInt64
		}
		settled = append(settled, c)
	}
	return settled
}

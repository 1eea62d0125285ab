package measure

import (
	"errors"
	"fmt"
	"slices"

	"github.com/proglog/proglog/server/bench/internal/peer"
)

// ErrLost reports acked records that are not there as they were written. It
// ends the whole bench: its other figures would be worth nothing.
var ErrLost = errors.New("acked records do not read back")

// samples is how many acks of each subject are read back, beside the last of
// each writer.
const samples = 2000

// verify says whether a subject has all records that its crews have acks for:
// as many as it has, no two at one offset, and for a sample of the acks, the
// last of each writer among them, the very bytes.
func verify(s peer.Subject, crews ...*crew) error {
	var want uint64
	appends := 0
	for _, c := range crews {
		want += c.acked()
		for _, w := range c.workers {
			appends += len(w.acks)
		}
	}
	have, err := s.Count()
	if err != nil {
		return err
	}
	if have != want {
		return fmt.Errorf("%w: %d were acked, %d are there", ErrLost, want, have)
	}
	if err := distinct(appends, crews); err != nil {
		return err
	}
	step := appends/samples + 1
	var buf []byte
	for _, c := range crews {
		for _, w := range c.workers {
			for i := len(w.acks) - 1; i >= 0; i -= step {
				if buf, err = w.readBack(s, i, buf); err != nil {
					return fmt.Errorf("%w: %w", ErrLost, err)
				}
			}
		}
	}
	return nil
}

// distinct says whether all appends got places of their own.
func distinct(appends int, crews []*crew) error {
	places := make([]uint64, 0, appends)
	for _, c := range crews {
		for _, w := range c.workers {
			for _, a := range w.acks {
				places = append(places, uint64(a.log)<<44|a.offset)
			}
		}
	}
	slices.Sort(places)
	for i := 1; i < len(places); i++ {
		if places[i] == places[i-1] {
			return fmt.Errorf("%w: two acks have offset %d of log %d", ErrLost, places[i]&(1<<44-1), places[i]>>44)
		}
	}
	return nil
}

// readBack reads the first and the last record of the worker's n-th append.
func (w *worker) readBack(s peer.Subject, n int, buf []byte) ([]byte, error) {
	a := w.acks[n]
	for _, i := range []int{0, len(w.batch.Values) - 1} {
		at := peer.Place{Log: int(a.log), Offset: a.offset + uint64(i)}
		value, err := s.Value(at, buf)
		if errors.Is(err, peer.ErrReused) && n < len(w.acks)-1 {
			return buf, nil
		}
		if err == nil {
			err = w.batch.Check(value, w.seq(n)+uint64(i))
		}
		if err != nil {
			return buf, fmt.Errorf("log %d, offset %d: %w", at.Log, at.Offset, err)
		}
	}
	return buf, nil
}

package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/proglog/proglog/server/bench/internal/peer"
)

// A Streaming lets servers send, in turns, all that they hold to one consumer, from
// the first record on, again and again until the time is over.
type Streaming struct {
	Peers      []peer.Peer // their subjects are [peer.Pipelined] and [peer.Streaming]
	ValueBytes int
	Records    int // that each holds
	Window     int // for the producer that fills it
	Effort     Effort
}

// Run runs the streaming below dir, in fresh directories that are gone when it
// returns. All records are compared before the first round; in the rounds each is
// counted, and is the next in order.
func (s Streaming) Run(ctx context.Context, dir string) (_ []Outcome, err error) {
	load := peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: s.ValueBytes}
	hall := &hall{dir: dir}
	defer func() { err = errors.Join(err, hall.close()) }()
	if err := hall.open(ctx, s.Peers, load); err != nil {
		return nil, err
	}
	fill := Effort{Time: 10 * time.Minute, Bytes: int64(s.Records) * int64(s.ValueBytes)}
	err = hall.each(ctx, func(b *booth) error {
		if _, err := b.pump(ctx, s.Window, fill); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		return b.readBack(ctx)
	})
	if err != nil {
		return nil, err
	}
	err = hall.rounds(ctx, s.Effort.Rounds, func(b *booth) (Sample, error) { return b.stream(ctx, s.Effort) })
	return hall.outcomes, err
}

// errEnough ends a stream when the time is over.
var errEnough = errors.New("enough")

// timeEvery is how many records come between two looks at the clock.
const timeEvery = 256

// stream lets the server send until the time is over, one record at least.
func (b *booth) stream(ctx context.Context, e Effort) (Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Time+patience)
	defer cancel()
	run, err := begin(b.subject)
	if err != nil {
		return Sample{}, err
	}
	end := run.before.at.Add(e.Time)
	var records uint64
	for err == nil && (records == 0 || time.Now().Before(end)) {
		next := uint64(0)
		err = b.subject.(peer.Streaming).Stream(ctx, b.records, func(value []byte) error {
			if _, n := peer.StampOf(value); n != next || len(value) != b.load.ValueBytes {
				return fmt.Errorf("%w: record %d came in place of %d, with %d bytes", ErrLost, n, next, len(value))
			}
			next++
			if next%timeEvery == 0 && time.Now().After(end) {
				return errEnough
			}
			return nil
		})
		records += next
	}
	if err != nil && !errors.Is(err, errEnough) {
		return Sample{}, err
	}
	return run.end(nil, records, records*uint64(b.load.ValueBytes))
}

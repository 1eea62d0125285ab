package commitlogtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func concurrentTests() []subtest {
	return []subtest{
		{"ProducersGetTheirOwnOffsets", onDefault(testProducers)},
		{"FollowersSeeWholeBatchesInOrder", onDefault(testFollowers)},
		{"AckedIsReadableAtOnce", onDefault(testReadYourWrites)},
		{"CancelledAppendsTellTheTruth", onDefault(testCancelRace)},
		{"LogsShareTheEngine", testConcurrentLogs},
	}
}

// Goal: 16 goroutines append batches of one to three records at once. Every
// offset is acked once, each goroutine's acks increase, and at every acked
// offset are the bytes and the time of that ack.
func testProducers(t *testing.T, log commitlog.CommitLog) {
	const producers, each = 16, 20
	ctx := patient(t)
	want := make([][]commitlog.Record, producers)
	together(t, producers, func(p int) error {
		var last commitlog.Ack
		for i := range each {
			var b commitlog.Batch
			for n := range i%3 + 1 {
				b.Records = append(b.Records, commitlog.Record{
					Value:   fmt.Appendf(nil, "%d of %d by %d", n, i, p),
					Headers: []commitlog.Header{{Name: "p", Value: []byte{byte(p)}}},
				})
			}
			acks, err := log.Append(ctx, b)
			if err == nil {
				err = checkAcks(log, acks, []commitlog.Batch{b})
			}
			if err == nil && (acks[0].First < last.Next || acks[0].Time.Before(last.Time)) {
				err = fmt.Errorf("ack %+v after %+v", acks[0], last)
			}
			if err != nil {
				return fmt.Errorf("producer %d: %w", p, err)
			}
			last = acks[0]
			for n, r := range b.Records {
				r.Offset, r.Time = last.First+uint64(n), last.Time
				want[p] = append(want[p], r)
			}
		}
		return nil
	})
	records := mustReadAll(t, log)
	acked := make([]bool, len(records))
	for _, mine := range want {
		for _, r := range mine {
			require.Less(t, r.Offset, uint64(len(records)))
			require.False(t, acked[r.Offset], "offset %d is acked twice", r.Offset)
			acked[r.Offset] = true
			require.NoError(t, same(r, records[r.Offset]))
		}
	}
	require.NotContains(t, acked, false, "a record that nobody appended")
}

// Goal: while writers append batches, those who follow see every record once,
// in order, with the bytes that stay; the end of the log is never inside a
// batch, and bounds never go back.
func testFollowers(t *testing.T, log commitlog.CommitLog) {
	const writers, followers, batches, size = 4, 4, 25, 4
	const total = writers * batches * size
	ctx := patient(t)
	seen := make([][]commitlog.Record, followers)
	together(t, writers+followers, func(i int) error {
		if i >= followers {
			for n := range batches {
				b := batch()
				for k := range size {
					b.Records = append(b.Records, commitlog.Record{Value: fmt.Appendf(nil, "%d of %d by %d", k, n, i)})
				}
				if _, err := log.Append(ctx, b); err != nil {
					return err
				}
			}
			return nil
		}
		limit := []commitlog.ReadLimit{{}, {Records: 3}, {Bytes: 100}, {Records: 1}}[i]
		var err error
		seen[i], err = follow(ctx, log, total, size, limit)
		return err
	})
	final := mustReadAll(t, log)
	require.Len(t, final, total)
	for _, records := range seen {
		for n, r := range records {
			require.NoError(t, same(final[n], r))
		}
	}
}

// follow reads and waits until it has seen total records of batches of a size.
func follow(ctx context.Context, log commitlog.CommitLog, total, size uint64, limit commitlog.ReadLimit) ([]commitlog.Record, error) {
	var seen []commitlog.Record
	var bounds commitlog.Bounds
	for next := uint64(0); next < total; {
		b, err := log.Wait(ctx, next)
		switch {
		case err != nil:
			return nil, err
		case b.Next < bounds.Next || b.First != 0:
			return nil, fmt.Errorf("bounds %+v after %+v", b, bounds)
		case b.Next%size != 0:
			return nil, fmt.Errorf("the log ends inside a batch, at %d", b.Next)
		}
		bounds = b
		records, run, err := read(log, next, limit)
		switch {
		case err != nil:
			return nil, err
		case run.Tail && run.Next < bounds.Next:
			return nil, fmt.Errorf("a run to %d is at the tail, but the log's next offset was %d before", run.Next, bounds.Next)
		case run.Tail && run.Next%size != 0:
			return nil, fmt.Errorf("the tail is inside a batch, at %d", run.Next)
		}
		seen, next = append(seen, records...), run.Next
	}
	return seen, nil
}

// Goal: from the moment of its ack, a batch is within the bounds, is not waited
// for, and reads back, also while others append.
func testReadYourWrites(t *testing.T, log commitlog.CommitLog) {
	ctx := patient(t)
	together(t, 8, func(p int) error {
		for i := range 20 {
			b := batch(fmt.Sprint(p, i), "second")
			acks, err := log.Append(ctx, b)
			if err != nil {
				return err
			}
			if err := checkAcks(log, acks, []commitlog.Batch{b}); err != nil {
				return err
			}
			if err := waitAndRead(ctx, log, acks[0].Next-1); err != nil {
				return err
			}
			got, _, err := read(log, acks[0].First, commitlog.ReadLimit{Records: 2})
			if err != nil || len(got) != 2 || string(got[0].Value) != fmt.Sprint(p, i) {
				return fmt.Errorf("after ack %+v: %d records, error %w", acks[0], len(got), err)
			}
		}
		return nil
	})
}

// Goal: appends whose context is cancelled at any moment tell the truth about
// their outcome, and leave the log contiguous and the engine working.
func testCancelRace(t *testing.T, log commitlog.CommitLog) {
	const callers, each = 8, 15
	outcomes := make([]map[string]error, callers)
	together(t, callers, func(c int) error {
		outcomes[c] = map[string]error{}
		for i := range each {
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				cancel()
				close(done)
			}()
			value := fmt.Sprint(c, i)
			_, err := log.Append(ctx, batch(value))
			<-done
			if err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			outcomes[c][value] = err
		}
		return nil
	})
	mustAppend(t, log, batch("after"))
	found := map[string]int{}
	for _, r := range mustReadAll(t, log) {
		found[string(r.Value)]++
	}
	require.Equal(t, 1, found["after"])
	for _, mine := range outcomes {
		for value, err := range mine {
			require.NoError(t, checkOutcome(err, found[value]), value)
		}
	}
}

// Goal: producers of several logs, at once, each count up in their own.
func testConcurrentLogs(t *testing.T, open Open) {
	e := open(t)
	name := func(i int) string { return fmt.Sprintf("log-%d", i%4) }
	if !e.Capabilities().NamedLogs {
		name = func(int) string { return "" }
	}
	ctx := patient(t)
	const producers, each = 8, 20
	together(t, producers, func(p int) error {
		log, _, err := e.Put(ctx, name(p), commitlog.Change{})
		for i := 0; i < each && err == nil; i++ {
			_, err = log.Append(ctx, batch(fmt.Sprint(p)))
		}
		return err
	})
	count := map[string]int{}
	checked := map[string]bool{}
	for p := range producers {
		if checked[name(p)] {
			continue
		}
		checked[name(p)] = true
		for _, r := range mustReadAll(t, mustLog(t, e, name(p))) {
			count[name(p)+" "+string(r.Value)]++
		}
	}
	for p := range producers {
		require.Equal(t, each, count[fmt.Sprint(name(p), " ", p)])
	}
	require.Len(t, count, producers)
}

package commitlogtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func waitTests() []subtest {
	return []subtest{
		{"ReturnsAtOnce", onDefault(testWaitAtOnce)},
		{"WakesForAnAppend", onDefault(testWaitWakes)},
		{"EndsWithTheContext", onDefault(testWaitContext)},
		{"WakesEveryWaiter", onDefault(testWaitMany)},
		{"BeyondTheEnd", onDefault(testWaitBeyond)},
		{"LosesNoWakeUp", onDefault(testWaitPingPong)},
		{"WakesForItsOwnLogOnly", testWaitOwnLog},
	}
}

// Goal: a wait for what is there returns at once with the bounds of now.
func testWaitAtOnce(t *testing.T, log commitlog.CommitLog) {
	mustAppend(t, log, batch("a", "b", "c"))
	for offset := range uint64(3) {
		b, err := log.Wait(patient(t), offset)
		require.NoError(t, err)
		require.Equal(t, commitlog.Bounds{Next: 3}, b)
	}
}

// Goal: a wait at the end returns when a record comes, which can be read then.
// Method: many rounds, so that the append falls before, into and behind the
// beginning of the wait.
func testWaitWakes(t *testing.T, log commitlog.CommitLog) {
	ctx := patient(t)
	for next := range uint64(50) {
		together(t, 2, func(i int) error {
			if i == 0 {
				_, err := log.Append(ctx, batch("a"))
				return err
			}
			return waitAndRead(ctx, log, next)
		})
	}
}

// waitAndRead waits until the record at offset is there and reads it.
func waitAndRead(ctx context.Context, log commitlog.CommitLog, offset uint64) error {
	b, err := log.Wait(ctx, offset)
	if err != nil {
		return fmt.Errorf("wait at %d: %w", offset, err)
	}
	if b.Next <= offset {
		return fmt.Errorf("a wait at %d returns at next offset %d", offset, b.Next)
	}
	_, _, err = read(log, offset, commitlog.ReadLimit{Records: 1})
	return err
}

// Goal: a wait ends with its context's error when that is cancelled, before or
// during the wait, or passes its deadline; others go on waiting.
func testWaitContext(t *testing.T, log commitlog.CommitLog) {
	mustAppend(t, log, batch("a"))

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, offset := range []uint64{1, 2, math.MaxUint64} {
		_, err := log.Wait(cancelled, offset)
		require.ErrorIs(t, err, context.Canceled)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(5*time.Millisecond))
	defer cancel()
	_, err := log.Wait(late, 1)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	ctx, cancel := context.WithCancel(t.Context())
	stays := make(chan error, 1)
	go func() { stays <- waitAndRead(patient(t), log, 1) }()
	together(t, 5, func(i int) error {
		if i == 0 {
			cancel()
			return nil
		}
		if _, err := log.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
			return fmt.Errorf("a cancelled wait ends with %w", err)
		}
		return nil
	})
	select {
	case err := <-stays:
		require.Fail(t, "a wait ended with another's context", "%v", err)
	default:
	}
	mustAppend(t, log, batch("b"))
	require.NoError(t, <-stays)
}

// Goal: one append wakes everyone who waits for it, at whichever offset it
// covers.
func testWaitMany(t *testing.T, log commitlog.CommitLog) {
	ctx := patient(t)
	const waiters = 100
	together(t, waiters+1, func(i int) error {
		if i == waiters/2 {
			_, err := log.Append(ctx, batch("a", "b", "c"))
			return err
		}
		return waitAndRead(ctx, log, uint64(i%3))
	})
}

// Goal: a wait beyond the end sleeps through the records before its offset and
// ends with the one at it. Method: many waiters, of which nearly all stand when
// the first record comes; none may end until the context of half of them does,
// which leaves the rest to the last record.
func testWaitBeyond(t *testing.T, log commitlog.CommitLog) {
	const waiters, offset = 40, 3
	ctx, cancel := context.WithCancel(patient(t))
	var begun sync.WaitGroup
	begun.Add(waiters)
	together(t, waiters+1, func(i int) error {
		switch {
		case i == waiters:
			begun.Wait()
			for n := range offset + 1 {
				if n == offset {
					cancel()
				}
				if _, err := log.Append(context.Background(), batch("a")); err != nil {
					return err
				}
			}
			return nil
		case i%2 == 0:
			begun.Done()
			return waitAndRead(patient(t), log, offset)
		}
		begun.Done()
		b, err := log.Wait(ctx, offset+1) // one more than ever comes
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("a wait at %d ends at %+v with %w", offset+1, b, err)
		}
		return nil
	})
}

// Goal: no wake-up is ever lost. Method: two goroutines take turns, each waits
// for the other's record before it appends its own; one lost, and both stand.
func testWaitPingPong(t *testing.T, log commitlog.CommitLog) {
	ctx := patient(t)
	const turns = 100
	together(t, 2, func(i int) error {
		for turn := uint64(i); turn < turns; turn += 2 {
			if turn > 0 {
				if err := waitAndRead(ctx, log, turn-1); err != nil {
					return err
				}
			}
			acks, err := log.Append(ctx, batch("a"))
			if err != nil || acks[0].First != turn {
				return fmt.Errorf("turn %d: acks %+v, error %w", turn, acks, err)
			}
		}
		return nil
	})
}

// Goal: a wait on one log does not end for what another log gets.
func testWaitOwnLog(t *testing.T, open Open) {
	e := open(t)
	if !e.Capabilities().NamedLogs {
		testNamedUnsupported(t, e)
		return
	}
	quiet, busy := namedLog(t, e, "quiet"), namedLog(t, e, "")
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, err := quiet.Wait(ctx, 0)
		ended <- err
	}()
	for range 10 {
		mustAppend(t, busy, batch("a"))
	}
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Equal(t, commitlog.Bounds{}, quiet.Bounds())
}

package commitlogtest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// RunClose holds an engine to what the contract says of its end. The function
// open returns a new, empty engine, and a function that closes it. Both may be
// followed by a second close, which t.Cleanup does.
func RunClose(t *testing.T, open func(t *testing.T) (engine commitlog.Engine, close func() error)) {
	for _, sub := range []struct {
		name string
		run  func(*testing.T, commitlog.Engine, func() error)
	}{
		{"EndsWaits", testCloseWaits},
		{"RefusesAppends", testCloseRefuses},
		{"AmidAppends", testCloseAppends},
		{"AmidReads", testCloseReads},
	} {
		t.Run(sub.name, func(t *testing.T) {
			e, close := open(t)
			sub.run(t, e, close)
		})
	}
}

// Goal: closing ends every wait with ErrClosed, those that stand and those to
// come.
func testCloseWaits(t *testing.T, e commitlog.Engine, close func() error) {
	log := namedLog(t, e, "")
	mustAppend(t, log, batch("a"))
	ctx := patient(t)
	together(t, 21, func(i int) error {
		if i == 10 {
			return close()
		}
		if _, err := log.Wait(ctx, uint64(i+1)); !errors.Is(err, commitlog.ErrClosed) {
			return fmt.Errorf("a wait ends with %w", err)
		}
		return nil
	})
	_, err := log.Wait(ctx, 1)
	require.ErrorIs(t, err, commitlog.ErrClosed)
}

// Goal: a closed engine says so, appends nothing, makes no log and changes none.
func testCloseRefuses(t *testing.T, e commitlog.Engine, close func() error) {
	log := namedLog(t, e, "")
	mustAppend(t, log, batch("a"))
	require.NoError(t, close())
	require.ErrorIs(t, e.Check(), commitlog.ErrClosed)
	acks, err := log.Append(patient(t), batch("b"))
	require.ErrorIs(t, err, commitlog.ErrClosed)
	require.NotErrorIs(t, err, commitlog.ErrOutcomeUnknown)
	require.Empty(t, acks)
	if e.Capabilities().NamedLogs {
		_, _, err = e.Put(patient(t), "late", commitlog.Change{})
		require.ErrorIs(t, err, commitlog.ErrClosed)
	}
	if e.Capabilities().Trim {
		_, err = log.Trim(patient(t), 1)
		require.ErrorIs(t, err, commitlog.ErrClosed)
	}
	if e.Capabilities().Seal {
		_, _, err = e.Put(patient(t), "", sealed(true))
		require.ErrorIs(t, err, commitlog.ErrClosed)
	}
}

// Goal: appends that a close overtakes are acked or fail with ErrClosed, and
// none hangs.
func testCloseAppends(t *testing.T, e commitlog.Engine, close func() error) {
	log := namedLog(t, e, "")
	ctx := patient(t)
	together(t, 9, func(i int) error {
		if i == 8 {
			if err := waitAndRead(ctx, log, 20); err != nil {
				return err
			}
			return close()
		}
		for {
			if _, err := log.Append(ctx, batch("a")); err != nil {
				return onlyClosed(err)
			}
		}
	})
}

// onlyClosed returns nil for ErrClosed and everything else as it is.
func onlyClosed(err error) error {
	if errors.Is(err, commitlog.ErrClosed) {
		return nil
	}
	return err
}

// Goal: reads that a close overtakes return what is in the log or fail with
// ErrClosed, and never anything else.
func testCloseReads(t *testing.T, e commitlog.Engine, close func() error) {
	log := namedLog(t, e, "")
	const size = 500
	mustAppend(t, log, numbered(size))
	started := make(chan struct{}, 4)
	together(t, 5, func(i int) error {
		if i == 4 {
			for range cap(started) {
				<-started
			}
			return close()
		}
		for n := range 2000 {
			records, _, err := read(log, uint64(n*37%size), commitlog.ReadLimit{Records: 10})
			if n == 0 {
				started <- struct{}{}
			}
			if err != nil {
				return onlyClosed(err)
			}
			if err := checkNumbers(records, size); err != nil {
				return err
			}
		}
		return nil
	})
}

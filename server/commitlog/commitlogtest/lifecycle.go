package commitlogtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func settingsTests() []subtest {
	return []subtest{
		{"RetentionIsStored", onTrim(testPutRetention)},
		{"SealEndsTheLog", onSeal(testSeal)},
		{"SealIsForEver", onSeal(testUnseal)},
		{"MadeSealed", onSeal(testMadeSealed)},
		{"SealEndsWaits", onSeal(testSealWaits)},
		{"SealAmidAppends", onSeal(testSealRace)},
	}
}

// onSeal makes a subtest of a new engine that seals; of one that does not, that
// it refuses to.
func onSeal(run func(*testing.T, commitlog.Engine)) func(*testing.T, Open) {
	return func(t *testing.T, open Open) {
		e := open(t)
		if e.Capabilities().Seal {
			run(t, e)
			return
		}
		_, _, err := e.Put(patient(t), "", sealed(true))
		requireUnsupported(t, err)
		mustAppend(t, namedLog(t, e, ""), batch("a"))
	}
}

func requireUnsupported(t *testing.T, err error) {
	t.Helper()
	var unsupported *commitlog.UnsupportedError
	require.ErrorAs(t, err, &unsupported)
	require.NotEmpty(t, unsupported.Capability)
}

func sealed(s bool) commitlog.Change { return commitlog.Change{Sealed: &s} }

func keeping(r commitlog.Retention) commitlog.Change { return commitlog.Change{Retention: &r} }

// mustPut makes or changes a log.
func mustPut(t *testing.T, e commitlog.Engine, name string, change commitlog.Change) commitlog.CommitLog {
	t.Helper()
	log, _, err := e.Put(patient(t), name, change)
	require.NoError(t, err)
	return log
}

func mustInfo(t *testing.T, log commitlog.CommitLog) commitlog.Info {
	t.Helper()
	info, err := log.Info(patient(t))
	require.NoError(t, err)
	return info
}

// aName returns a name that a log other than the default may have, or the
// default's.
func aName(e commitlog.Engine) string {
	if e.Capabilities().NamedLogs {
		return "orders"
	}
	return ""
}

// Goal: a log has the retention that it was made with or given later; what a
// change does not name stays; no retention is one too.
func testPutRetention(t *testing.T, e commitlog.Engine) {
	for _, name := range []string{"", aName(e)} {
		both := commitlog.Retention{MaxAge: time.Hour, MaxBytes: 1 << 30}
		log := mustPut(t, e, name, keeping(both))
		require.Equal(t, commitlog.Settings{Retention: both}, mustInfo(t, log).Settings)
		mustPut(t, e, name, commitlog.Change{})
		require.Equal(t, both, mustInfo(t, log).Retention)
		for _, r := range []commitlog.Retention{{MaxAge: 1500 * time.Millisecond}, {MaxBytes: 1<<64 - 1}, {MaxAge: 1<<63 - 1}, {}, both} {
			for range 2 {
				mustPut(t, e, name, keeping(r))
				require.Equal(t, r, mustInfo(t, log).Retention)
			}
		}
		if e.Capabilities().Seal {
			mustPut(t, e, name, sealed(true))
			require.Equal(t, commitlog.Settings{Retention: both, Sealed: true}, mustInfo(t, log).Settings)
			mustPut(t, e, name, keeping(commitlog.Retention{}))
			require.Equal(t, commitlog.Settings{Sealed: true}, mustInfo(t, log).Settings)
		}
	}
}

// Goal: a sealed log takes no records and says where it ends; all else of it
// works on.
func testSeal(t *testing.T, e commitlog.Engine) {
	log := mustPut(t, e, aName(e), commitlog.Change{})
	mustAppend(t, log, batch("a", "b"))
	require.False(t, mustInfo(t, log).Sealed)
	for range 2 {
		mustPut(t, e, aName(e), sealed(true))
		require.True(t, mustInfo(t, log).Sealed)
		require.EqualValues(t, 2, refused[*commitlog.LogSealedError](t, log, batch("never")).Next)
	}
	refused[*commitlog.TooLargeError](t, log, commitlog.Batch{Records: make([]commitlog.Record, commitlog.DefaultLimits().BatchRecords+1)})
	requireValues(t, log, "a", "b")
	require.True(t, mustRead(t, log, 0).Tail)
	if e.Capabilities().Trim {
		mustTrim(t, log, 1)
		requireValues(t, log, "b")
		mustTrim(t, log, 2)
		require.EqualValues(t, 2, refused[*commitlog.LogSealedError](t, log, batch("never")).Next)
	}
	if e.Capabilities().NamedLogs {
		mustAppend(t, mustLog(t, e, ""), batch("the default goes on"))
	}
}

// Goal: a change that would unseal is refused as a whole; one that does not seal
// what is not sealed is fine.
func testUnseal(t *testing.T, e commitlog.Engine) {
	log := mustPut(t, e, "", sealed(false))
	require.False(t, mustInfo(t, log).Sealed)
	mustAppend(t, log, batch("a"))
	mustPut(t, e, "", sealed(true))
	no := false
	_, created, err := e.Put(patient(t), "", commitlog.Change{Sealed: &no, Retention: &commitlog.Retention{MaxBytes: 1}})
	require.ErrorIs(t, err, commitlog.ErrUnseal)
	require.False(t, created)
	require.Equal(t, commitlog.Settings{Sealed: true}, mustInfo(t, log).Settings)
	refused[*commitlog.LogSealedError](t, log, batch("never"))
	requireValues(t, log, "a")
}

// Goal: a log may be made sealed: an empty one for ever.
func testMadeSealed(t *testing.T, e commitlog.Engine) {
	if !e.Capabilities().NamedLogs {
		return
	}
	log, created, err := e.Put(patient(t), "sealed", sealed(true))
	require.NoError(t, err)
	require.True(t, created)
	require.Zero(t, refused[*commitlog.LogSealedError](t, log, batch("never")).Next)
	_, err = log.Wait(patient(t), 0)
	requireSealed(t, err, 0)
}

func requireSealed(t *testing.T, err error, next uint64) {
	t.Helper()
	require.NoError(t, checkSealed(err, next))
}

// checkSealed says whether an error is not that of a log sealed at next.
func checkSealed(err error, next uint64) error {
	var end *commitlog.LogSealedError
	if !errors.As(err, &end) || end.Next != next {
		return fmt.Errorf("the log is sealed at %d, but: %v", next, err)
	}
	return nil
}

// Goal: sealing ends every wait for what never comes, those that stand and those
// to come, at the end and beyond; what is there is not waited for.
func testSealWaits(t *testing.T, e commitlog.Engine) {
	log := mustPut(t, e, aName(e), commitlog.Change{})
	mustAppend(t, log, batch("a", "b"))
	ctx := patient(t)
	together(t, 21, func(i int) error {
		if i == 10 {
			_, _, err := e.Put(ctx, aName(e), sealed(true))
			return err
		}
		_, err := log.Wait(ctx, uint64(2+i%3))
		return checkSealed(err, 2)
	})
	for offset := range uint64(2) {
		b, err := log.Wait(ctx, offset)
		require.NoError(t, err)
		require.EqualValues(t, 2, b.Next)
	}
	_, err := log.Wait(ctx, 1<<64-1)
	requireSealed(t, err, 2)
}

// Goal: appends that a seal overtakes are in the log or refused; nothing comes
// behind the seal, every refusal tells the same end, and those who follow get
// all before they are told of it.
func testSealRace(t *testing.T, e commitlog.Engine) {
	log := mustPut(t, e, aName(e), commitlog.Change{})
	ctx := patient(t)
	var acked [8]int
	var ends [8]uint64
	together(t, 10, func(i int) error {
		if i == 9 {
			for next := uint64(0); ; {
				b, err := log.Wait(ctx, next)
				if err != nil {
					return checkSealed(err, max(next, log.Bounds().Next))
				}
				next = b.Next
			}
		}
		if i == 8 {
			if err := waitAndRead(ctx, log, 20); err != nil {
				return err
			}
			_, _, err := e.Put(context.Background(), aName(e), sealed(true))
			if err == nil {
				var end *commitlog.LogSealedError
				if _, err := log.Append(ctx, batch("late")); !errors.As(err, &end) {
					return fmt.Errorf("an append after the seal: %v", err)
				}
			}
			return err
		}
		for {
			_, err := log.Append(ctx, batch("a"))
			var end *commitlog.LogSealedError
			if errors.As(err, &end) {
				ends[i] = end.Next
				return nil
			}
			if err != nil {
				return err
			}
			acked[i]++
		}
	})
	total := 0
	for i := range acked {
		total += acked[i]
		require.Equal(t, log.Bounds().Next, ends[i])
	}
	require.Len(t, mustReadAll(t, log), total)
}

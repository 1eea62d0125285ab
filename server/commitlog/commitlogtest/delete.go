package commitlogtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func deleteTests() []subtest {
	return []subtest{
		{"EndsTheHandles", onDelete(testDelete)},
		{"UnknownAndDefault", onTrim(testDeleteRefused)},
		{"NameGoesOnBehind", onDelete(testRecreate)},
		{"EndsWaits", onDelete(testDeleteWaits)},
		{"AmidReadsAndAppends", onDelete(testDeleteRace)},
	}
}

// onDelete makes a subtest of a new engine with named logs that can be deleted;
// others are held to what they refuse.
func onDelete(run func(*testing.T, commitlog.Engine)) func(*testing.T, Open) {
	return onTrim(func(t *testing.T, e commitlog.Engine) {
		if e.Capabilities().NamedLogs {
			run(t, e)
			return
		}
		testNamedUnsupported(t, e)
	})
}

// checkDeleted says whether any call on a handle does not end as it has to when
// its log is deleted.
func checkDeleted(ctx context.Context, log commitlog.CommitLog, name string) error {
	_, appended := log.Append(ctx, batch("never"))
	_, read := log.Read(ctx, 0, commitlog.ReadLimit{}, nil)
	_, waited := log.Wait(ctx, 0)
	_, found := log.FindTime(ctx, someTime)
	_, described := log.Info(ctx)
	_, trimmed := log.Trim(ctx, 1)
	for i, err := range []error{appended, read, waited, found, described, trimmed} {
		if err := checkNotFound(err, name); err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
	}
	return nil
}

// checkNotFound says whether an error is not that of the missing log.
func checkNotFound(err error, name string) error {
	var notFound *commitlog.LogNotFoundError
	if !errors.As(err, &notFound) || notFound.Name != name {
		return fmt.Errorf("log %q is deleted, but: %v", name, err)
	}
	return nil
}

// Goal: a deleted log is not found, by its name or any of its handles, and all
// others stay.
func testDelete(t *testing.T, e commitlog.Engine) {
	for _, name := range []string{"a", "a/b", "A"} {
		mustAppend(t, namedLog(t, e, name), batch(name))
	}
	first, second := mustLog(t, e, "a"), namedLog(t, e, "a")
	id := first.ID()
	require.NoError(t, e.Delete(patient(t), "a"))
	requireNotFound(t, e, "a")
	for _, handle := range []commitlog.CommitLog{first, second} {
		require.NoError(t, checkDeleted(patient(t), handle, "a"))
		require.Equal(t, id, handle.ID())
		b := handle.Bounds()
		require.LessOrEqual(t, b.First, b.Next)
	}
	require.NoError(t, checkNotFound(e.Delete(patient(t), "a"), "a"))
	requireValues(t, mustLog(t, e, "a/b"), "a/b")
	requireValues(t, mustLog(t, e, "A"), "A")
	requireValues(t, mustLog(t, e, ""))
}

// Goal: what does not exist cannot be deleted, and the default log neither.
func testDeleteRefused(t *testing.T, e commitlog.Engine) {
	mustAppend(t, namedLog(t, e, ""), batch("a"))
	require.ErrorIs(t, e.Delete(patient(t), ""), commitlog.ErrDeleteDefault)
	requireValues(t, mustLog(t, e, ""), "a")
	for _, name := range []string{"unknown", "..", "_proglog/x", "\x00"} {
		require.NoError(t, checkNotFound(e.Delete(patient(t), name), name))
	}
}

// Goal: a log that takes the name of a deleted one is another log: new identity,
// no settings, no records, no producers; but its offsets go on behind the old
// ones, however often, and the old handles stay void.
func testRecreate(t *testing.T, e commitlog.Engine) {
	var next uint64
	var old []commitlog.CommitLog
	seen := map[string]bool{}
	for i := range 4 {
		log, created, err := e.Put(patient(t), "a", commitlog.Change{})
		require.NoError(t, err)
		require.True(t, created)
		require.NotContains(t, seen, log.ID())
		seen[log.ID()] = true
		require.Equal(t, commitlog.Bounds{First: next, Next: next}, log.Bounds())
		require.Equal(t, commitlog.Settings{}, mustInfo(t, log).Settings)
		require.Equal(t, log.Bounds(), mustInfo(t, log).Bounds)
		for _, handle := range old {
			require.NoError(t, checkDeleted(patient(t), handle, "a"))
		}
		if i == 2 { // also without a record of its own
			require.NoError(t, e.Delete(patient(t), "a"))
			old = append(old, log)
			continue
		}
		b := batch("x", fmt.Sprint(i), "y")
		if e.Capabilities().Producers {
			b = by("p", 1, 0, "x", fmt.Sprint(i), "y")
		}
		ack := mustAppend(t, log, b)[0]
		require.Equal(t, next, ack.First)
		next = ack.Next
		requireValues(t, log, "x", fmt.Sprint(i), "y")
		mustTrim(t, log, ack.First+1)
		mustPut(t, e, "a", keeping(commitlog.Retention{MaxBytes: 1 << 40}))
		if e.Capabilities().Seal {
			mustPut(t, e, "a", sealed(true))
		}
		require.NoError(t, e.Delete(patient(t), "a"))
		old = append(old, log)
	}
}

// Goal: a delete ends every wait on the log, those that stand and those to come.
func testDeleteWaits(t *testing.T, e commitlog.Engine) {
	log := namedLog(t, e, "a")
	mustAppend(t, log, batch("a"))
	ctx := patient(t)
	together(t, 21, func(i int) error {
		if i == 10 {
			return e.Delete(ctx, "a")
		}
		_, err := log.Wait(ctx, uint64(1+i%3))
		return checkNotFound(err, "a")
	})
}

// Goal: reads that a delete overtakes return the right bytes or that there is no
// such log; so do appends, and none of them shows up in the log's successor.
func testDeleteRace(t *testing.T, e commitlog.Engine) {
	const size = 100
	ctx := patient(t)
	log := namedLog(t, e, "a")
	mustAppend(t, log, numbered(size))
	together(t, 6, func(i int) error {
		switch {
		case i == 5:
			if err := waitAndRead(ctx, log, 5*size); err != nil {
				return err
			}
			return e.Delete(ctx, "a")
		case i == 4:
			for {
				if _, err := log.Append(ctx, numbered(size)); err != nil {
					return checkNotFound(err, "a")
				}
			}
		}
		for n := uint64(0); ; n = (n + 7) % size {
			run, err := log.Read(ctx, n, commitlog.ReadLimit{Records: 30}, nil)
			if err != nil {
				return checkNotFound(err, "a")
			}
			records, err := decode(run)
			if err == nil {
				err = checkNumbers(records, size)
			}
			if err != nil {
				return err
			}
		}
	})
	again := namedLog(t, e, "a")
	require.Equal(t, again.Bounds().First, again.Bounds().Next)
	require.GreaterOrEqual(t, again.Bounds().Next, uint64(6*size))
}

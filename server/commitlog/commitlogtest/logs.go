package commitlogtest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func logTests() []subtest {
	return []subtest{
		{"DefaultAlwaysExists", testDefaultLog},
		{"UnknownIsNotFound", testUnknownLog},
		{"TakesAppends", testCheck},
		{"PutIsIdempotent", onNamed(testPut)},
		{"CreatedOnceByMany", onNamed(testPutRace)},
		{"IDsDiffer", testIDs},
		{"InvalidNamesAreRefused", onNamed(testInvalidNames)},
		{"NamesAreDistinct", onNamed(testDistinctNames)},
		{"AreIsolated", onNamed(testIsolated)},
		{"TwoHundredInterleaved", onNamed(testManyLogs)},
	}
}

// onNamed makes a subtest of a new engine with named logs; of an engine
// without, that it refuses them.
func onNamed(run func(*testing.T, commitlog.Engine)) func(*testing.T, Open) {
	return func(t *testing.T, open Open) {
		e := open(t)
		if !e.Capabilities().NamedLogs {
			testNamedUnsupported(t, e)
			return
		}
		run(t, e)
	}
}

// Goal: an engine without named logs refuses to make one, and has just the
// default log.
func testNamedUnsupported(t *testing.T, e commitlog.Engine) {
	_, created, err := e.Put(patient(t), "orders", commitlog.Change{})
	var unsupported *commitlog.UnsupportedError
	require.ErrorAs(t, err, &unsupported)
	require.NotEmpty(t, unsupported.Capability)
	require.False(t, created)
	requireNotFound(t, e, "orders")
	requireValues(t, namedLog(t, e, ""))
}

func requireNotFound(t *testing.T, e commitlog.Engine, name string) {
	t.Helper()
	_, err := e.Log(patient(t), name)
	var notFound *commitlog.LogNotFoundError
	require.ErrorAs(t, err, &notFound)
	require.Equal(t, name, notFound.Name)
}

// mustLog returns the log of that name, which has to exist.
func mustLog(t *testing.T, e commitlog.Engine, name string) commitlog.CommitLog {
	t.Helper()
	log, err := e.Log(patient(t), name)
	require.NoError(t, err)
	return log
}

// Goal: the default log is there before anyone made it, and making it finds it.
func testDefaultLog(t *testing.T, open Open) {
	e := open(t)
	first := mustLog(t, e, "")
	require.Equal(t, commitlog.Bounds{}, first.Bounds())
	again, created, err := e.Put(patient(t), "", commitlog.Change{})
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, first.ID(), again.ID())
	mustAppend(t, first, batch("a"))
	requireValues(t, again, "a")
}

// Goal: a name without a log is a typed error that tells the name, whatever
// the name; asking makes nothing.
func testUnknownLog(t *testing.T, open Open) {
	e := open(t)
	for range 2 {
		for _, name := range []string{"orders", "a/b", "..", "_proglog/x", "\x00", strings.Repeat("x", 1000)} {
			requireNotFound(t, e, name)
		}
	}
}

// Goal: a new engine says that it takes appends.
func testCheck(t *testing.T, open Open) {
	require.NoError(t, open(t).Check())
}

// Goal: the first Put makes the log, every later one and Log find it; all
// handles are the same log with the same identity.
func testPut(t *testing.T, e commitlog.Engine) {
	first, created, err := e.Put(patient(t), "orders", commitlog.Change{})
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, commitlog.Bounds{}, first.Bounds())
	mustAppend(t, first, batch("a"))

	again, created, err := e.Put(patient(t), "orders", commitlog.Change{})
	require.NoError(t, err)
	require.False(t, created)
	found := mustLog(t, e, "orders")
	for _, log := range []commitlog.CommitLog{again, found} {
		require.Equal(t, first.ID(), log.ID())
		mustAppend(t, log, batch("b"))
	}
	requireValues(t, first, "a", "b", "b")
}

// Goal: of many callers that create the same log at once, one made it, and all
// have the same.
func testPutRace(t *testing.T, e commitlog.Engine) {
	ctx := patient(t)
	var made atomic.Int32
	together(t, 16, func(int) error {
		log, created, err := e.Put(ctx, "orders", commitlog.Change{})
		if err != nil {
			return err
		}
		if created {
			made.Add(1)
		}
		_, err = log.Append(ctx, batch(log.ID()))
		return err
	})
	require.EqualValues(t, 1, made.Load())
	log := mustLog(t, e, "orders")
	for _, r := range mustReadAll(t, log) {
		require.Equal(t, log.ID(), string(r.Value))
	}
	require.EqualValues(t, 16, log.Bounds().Next)
}

// Goal: a log's identity is not empty, stays, and is no other log's, in this
// engine or another.
func testIDs(t *testing.T, open Open) {
	seen := map[string]string{}
	for i := range 2 {
		e := open(t)
		names := []string{""}
		if e.Capabilities().NamedLogs {
			names = append(names, "a", "b", "c")
		}
		for _, name := range names {
			id := namedLog(t, e, name).ID()
			require.NotEmpty(t, id)
			require.Equal(t, id, mustLog(t, e, name).ID())
			who := fmt.Sprintf("log %q of engine %d", name, i)
			require.NotContains(t, seen, id, who)
			seen[id] = who
		}
	}
}

// Goal: a name against the rules is a typed error, and makes nothing.
func testInvalidNames(t *testing.T, e commitlog.Engine) {
	for _, name := range []string{
		"_proglog/x", ".", "..", "/a", "a/", "a//b", "a/../b", "a/./b", "-a", " a", "a b", "a\x00", "é", "a\\b",
		strings.Repeat("x", commitlog.MaxLogNameBytes+1),
	} {
		_, created, err := e.Put(patient(t), name, commitlog.Change{})
		var invalid *commitlog.InvalidLogNameError
		require.ErrorAs(t, err, &invalid, "%q", name)
		require.False(t, created)
		requireNotFound(t, e, name)
	}
}

// Goal: every valid name is a log of its own, also those that a file system or
// an encoding might take for one another.
func testDistinctNames(t *testing.T, e commitlog.Engine) {
	names := []string{
		"a", "A", "a/b", "a.b", "a-b", "a_b", "a/B", "a/b/c", "a..b", "a.", "aux", "con", "default", "0", "00",
		strings.Repeat("x", commitlog.MaxLogNameBytes), strings.Repeat("x", commitlog.MaxLogNameBytes-1),
	}
	for _, name := range names {
		log, created, err := e.Put(patient(t), name, commitlog.Change{})
		require.NoError(t, err)
		require.True(t, created, "%q", name)
		mustAppend(t, log, batch(name))
	}
	for _, name := range names {
		requireValues(t, mustLog(t, e, name), name)
	}
	requireValues(t, mustLog(t, e, ""))
}

// Goal: each log has its own offsets, which other logs' appends do not move.
func testIsolated(t *testing.T, e commitlog.Engine) {
	a, b, d := namedLog(t, e, "a"), namedLog(t, e, "b"), namedLog(t, e, "")
	mustAppend(t, a, batch("a0", "a1"))
	mustAppend(t, d, batch("d0"))
	mustAppend(t, b, batch("b0"))
	mustAppend(t, a, batch("a2"))
	mustAppend(t, b, batch("b1"))
	requireValues(t, a, "a0", "a1", "a2")
	requireValues(t, b, "b0", "b1")
	requireValues(t, d, "d0")
	_, err := b.Read(patient(t), 2, commitlog.ReadLimit{}, nil)
	var outside *commitlog.OffsetError
	require.ErrorAs(t, err, &outside)
	require.Equal(t, commitlog.Bounds{Next: 2}, outside.Bounds)
}

// Goal: two hundred logs that are written at once by several callers each hold
// their own records, in order.
func testManyLogs(t *testing.T, e commitlog.Engine) {
	const logs, rounds, callers = 200, 3, 8
	ctx := patient(t)
	name := func(i int) string { return fmt.Sprintf("many/%d", i) }
	together(t, callers, func(c int) error {
		for round := range rounds {
			for i := c; i < logs; i += callers {
				log, created, err := e.Put(ctx, name(i), commitlog.Change{})
				if err != nil || created != (round == 0) {
					return fmt.Errorf("create %s in round %d: created %v, error %w", name(i), round, created, err)
				}
				acks, err := log.Append(ctx, batch(fmt.Sprint(i, round), fmt.Sprint(i, round)))
				if err != nil || acks[0].First != uint64(2*round) {
					return fmt.Errorf("append to %s in round %d: acks %+v, error %w", name(i), round, acks, err)
				}
			}
		}
		return nil
	})
	for i := range logs {
		var want []string
		for round := range rounds {
			want = append(want, fmt.Sprint(i, round), fmt.Sprint(i, round))
		}
		requireValues(t, mustLog(t, e, name(i)), want...)
	}
}

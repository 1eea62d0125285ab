package commitlogtest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func timeTests() []subtest {
	return []subtest{
		{"FindTime", onFindTime(testFindTime)},
		{"FindTimeOfAnEmptyLog", onFindTime(testFindTimeEmpty)},
		{"FindTimeInALongLog", onFindTime(testFindTimeLong)},
		{"FindTimeAfterATrim", onFindTime(testFindTimeTrimmed)},
	}
}

func infoTests() []subtest {
	return []subtest{
		{"DescribesTheLog", testInfo},
		{"FollowsTheLog", testInfoFollows},
	}
}

// someTime is a time before all records.
var someTime = time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)

// onFindTime makes a subtest of the default log of a new engine that finds
// times; of one that does not, that it refuses to.
func onFindTime(run func(*testing.T, commitlog.Engine, commitlog.CommitLog)) func(*testing.T, Open) {
	return func(t *testing.T, open Open) {
		e := open(t)
		log := namedLog(t, e, "")
		if e.Capabilities().FindTime {
			run(t, e, log)
			return
		}
		_, err := log.FindTime(patient(t), someTime)
		requireUnsupported(t, err)
	}
}

// requireTimes fails the test unless every time at which something changes
// finds the first record that has it or a later one.
func requireTimes(t *testing.T, log commitlog.CommitLog, records []commitlog.Record) {
	t.Helper()
	times := []time.Time{
		{}, someTime, time.Unix(0, 0), time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
		time.Unix(0, -1<<63), time.Unix(0, 1<<63-1),
	}
	step := max(1, len(records)/100)
	for i := 0; i < len(records); i += step {
		times = append(times, records[i].Time.Add(-1), records[i].Time, records[i].Time.Add(1).In(time.FixedZone("", 3600)))
	}
	next := log.Bounds().Next
	for _, at := range times {
		want := next
		if i := slices.IndexFunc(records, func(r commitlog.Record) bool { return !r.Time.Before(at) }); i >= 0 {
			want = records[i].Offset
		}
		got, err := log.FindTime(patient(t), at)
		require.NoError(t, err)
		require.Equal(t, want, got, "at %v", at)
	}
}

// Goal: a time before, at, between and after the records finds the first record
// with it or a later one, also where several records share a time.
func testFindTime(t *testing.T, _ commitlog.Engine, log commitlog.CommitLog) {
	for i := range 30 {
		mustAppend(t, log, numbered(i%3+1))
	}
	requireTimes(t, log, mustReadAll(t, log))
}

// Goal: in a log without records, every time finds the next offset.
func testFindTimeEmpty(t *testing.T, e commitlog.Engine, log commitlog.CommitLog) {
	requireTimes(t, log, nil)
	if e.Capabilities().Trim {
		mustAppend(t, log, batch("a", "b"))
		mustTrim(t, log, 2)
		requireTimes(t, log, nil)
	}
}

// Goal: times are found in a log of thousands of records, and go on being found
// as it grows.
func testFindTimeLong(t *testing.T, _ commitlog.Engine, log commitlog.CommitLog) {
	for range 3 {
		for range 25 {
			mustAppend(t, log, numbered(40))
		}
		requireTimes(t, log, mustReadAll(t, log))
	}
}

// Goal: no time finds what was trimmed.
func testFindTimeTrimmed(t *testing.T, e commitlog.Engine, log commitlog.CommitLog) {
	if !e.Capabilities().Trim {
		return
	}
	for range 20 {
		mustAppend(t, log, numbered(3))
	}
	for _, first := range []uint64{1, 2, 3, 29, 59} {
		mustTrim(t, log, first)
		requireTimes(t, log, mustReadAll(t, log))
	}
}

// Goal: a log is described by its name, identity and bounds; an empty one has no
// times and no settings.
func testInfo(t *testing.T, open Open) {
	e := open(t)
	for _, name := range []string{"", aName(e)} {
		log := namedLog(t, e, name)
		info := mustInfo(t, log)
		info.Bytes = 0
		require.Equal(t, commitlog.Info{Name: name, ID: log.ID()}, info)
	}
}

// Goal: bounds, bytes and times follow what is appended and, the last time
// apart, what is trimmed.
func testInfoFollows(t *testing.T, open Open) {
	e := open(t)
	log := namedLog(t, e, aName(e))
	first := mustAppend(t, log, batch("a"))[0]
	one := mustInfo(t, log)
	require.Positive(t, one.Bytes)
	require.True(t, one.FirstTime.Equal(first.Time) && one.LastTime.Equal(first.Time), "%+v", one)

	many := numbered(commitlog.DefaultLimits().BatchRecords)
	last := mustAppend(t, log, many)[0]
	all := mustInfo(t, log)
	require.Equal(t, log.Bounds(), all.Bounds)
	require.GreaterOrEqual(t, all.Bytes, one.Bytes+last.Next-last.First, "a byte for each value at least")
	require.True(t, all.FirstTime.Equal(first.Time) && all.LastTime.Equal(last.Time), "%+v", all)
	if !e.Capabilities().Trim {
		return
	}
	mustTrim(t, log, 1)
	rest := mustInfo(t, log)
	require.Equal(t, log.Bounds(), rest.Bounds)
	require.LessOrEqual(t, rest.Bytes, all.Bytes)
	require.True(t, rest.FirstTime.Equal(last.Time) && rest.LastTime.Equal(last.Time), "%+v", rest)
}

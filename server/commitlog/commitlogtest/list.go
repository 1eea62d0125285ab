package commitlogtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func listTests() []subtest {
	return []subtest{
		{"DefaultAlone", testListDefault},
		{"OrderPrefixAndPages", onNamed(testList)},
		{"TenThousand", onNamed(testListMany)},
	}
}

// list returns the names of one page.
func list(t *testing.T, e commitlog.Engine, prefix string, after *string, max int) ([]string, bool) {
	t.Helper()
	logs, more, err := e.List(patient(t), prefix, after, max)
	require.NoError(t, err)
	names := []string{}
	for _, l := range logs {
		names = append(names, l.Name)
	}
	return names, more
}

// Goal: a new engine lists the default log, and what Info says of it.
func testListDefault(t *testing.T, open Open) {
	e := open(t)
	log := namedLog(t, e, "")
	mustAppend(t, log, batch("a", "b"))
	logs, more, err := e.List(patient(t), "", nil, 10)
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, logs, 1)
	require.NoError(t, sameInfo(mustInfo(t, log), logs[0]))
	empty := ""
	for _, names := range [][]string{first(list(t, e, "", &empty, 10)), first(list(t, e, "a", nil, 10))} {
		require.Empty(t, names)
	}
}

func first(names []string, _ bool) []string { return names }

// sameInfo says how two descriptions of a log differ.
func sameInfo(want, got commitlog.Info) error {
	times := want.FirstTime.Equal(got.FirstTime) && want.LastTime.Equal(got.LastTime)
	got.FirstTime, got.LastTime = want.FirstTime, want.LastTime
	if !times || want != got {
		return fmt.Errorf("the log is %+v, not %+v", got, want)
	}
	return nil
}

// Goal: logs are listed in the byte order of their names, by prefix, in pages
// that say whether there are more; a deleted one is not, and listing makes none.
func testList(t *testing.T, e commitlog.Engine) {
	names := []string{"", "A", "a", "a-b", "a.b", "a/b", "a/b/c", "a/c", "aa", "b", "b/a", "c"}
	for i, name := range slices.Backward(names) {
		mustAppend(t, namedLog(t, e, name), numbered(i+1))
	}
	for _, prefix := range []string{"", "a", "a/", "a/b", "b", "d", "A", "_"} {
		var want []string
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				want = append(want, name)
			}
		}
		for size := 1; size <= len(names)+1; size++ {
			require.Equal(t, append([]string{}, want...), pages(t, e, prefix, size), "prefix %q, pages of %d", prefix, size)
		}
	}
	between := "a/bb"
	names, more := list(t, e, "a", &between, 2)
	require.Equal(t, []string{"a/c", "aa"}, names)
	require.False(t, more)

	logs, _, err := e.List(patient(t), "", nil, 100)
	require.NoError(t, err)
	for _, info := range logs {
		require.NoError(t, sameInfo(mustInfo(t, mustLog(t, e, info.Name)), info))
	}
	if e.Capabilities().Trim {
		require.NoError(t, e.Delete(patient(t), "a/b"))
		require.Equal(t, []string{"a/b/c", "a/c"}, pages(t, e, "a/", 1))
	}
}

// pages returns the names of all pages, of which each but the last is full.
func pages(t *testing.T, e commitlog.Engine, prefix string, size int) []string {
	t.Helper()
	all := []string{}
	var after *string
	for {
		names, more := list(t, e, prefix, after, size)
		require.LessOrEqual(t, len(names), size)
		if after != nil && len(names) > 0 {
			require.Greater(t, names[0], *after, "a page does not begin behind the one before")
		}
		all = append(all, names...)
		if !more {
			return all
		}
		require.Len(t, names, size)
		after = &names[size-1]
	}
}

// Goal: ten thousand logs are made, listed in pages and found again.
func testListMany(t *testing.T, e commitlog.Engine) {
	const logs, callers = 10_000, 100
	name := func(i int) string { return fmt.Sprintf("many/%05d", i) }
	ctx := patient(t)
	together(t, callers, func(c int) error {
		for i := c; i < logs; i += callers {
			if _, _, err := e.Put(ctx, name(i), commitlog.Change{}); err != nil {
				return err
			}
		}
		return nil
	})
	names := pages(t, e, "many/", 1000)
	require.Len(t, names, logs)
	for i, got := range names {
		require.Equal(t, name(i), got)
	}
	require.Len(t, pages(t, e, "many/0012", 3), 10)
	for i := 0; i < logs; i += logs / 20 {
		mustAppend(t, mustLog(t, e, name(i)), batch(name(i)))
		requireValues(t, mustLog(t, e, name(i)), name(i))
	}
}

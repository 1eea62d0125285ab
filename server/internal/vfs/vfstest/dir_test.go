package vfstest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
)

// whose returns the names in a Mem, each with the synced content of its file.
func whose(t *testing.T) func(m *Mem) string {
	return func(m *Mem) string {
		var all []string
		for _, name := range names(t, m) {
			all = append(all, name+"="+string(readFile(t, m, name, vfs.Buffered)))
		}
		return strings.Join(all, " ")
	}
}

// syncedFile is one whose content is durable, but not its name.
func syncedFile(t *testing.T, m *Mem, name, content string) {
	t.Helper()
	f := createFile(t, m, name, vfs.Buffered)
	write(t, f, []byte(content), 0)
	require.NoError(t, f.Sync())
}

// Goal: each rule about names after a crash. Method: a row starts with some
// durable files, named and filled with a letter, makes unsynced changes, and
// lists every state that a power cut may leave; all are seen, and no other.
func TestCrashDecidesForEachChange(t *testing.T) {
	rows := map[string]struct {
		durable string
		changes func(m *Mem)
		states  []string
	}{
		"a created file is there or not": {
			"", func(m *Mem) { syncedFile(t, m, "a", "1") },
			[]string{"", "a=1"},
		},
		"two changes do not wait for each other": {
			"", func(m *Mem) {
				syncedFile(t, m, "a", "1")
				syncedFile(t, m, "b", "2")
			},
			[]string{"", "a=1", "b=2", "a=1 b=2"},
		},
		"a removed file is there or not": {
			"a", func(m *Mem) { require.NoError(t, m.Remove("a")) },
			[]string{"", "a=a"},
		},
		"a rename replaces its target or not, and leaves the file a name": {
			"at", func(m *Mem) { require.NoError(t, m.Rename("t", "a")) },
			[]string{"a=a t=t", "a=t", "a=t t=t"},
		},
		"a file made and renamed": {
			"a", func(m *Mem) {
				syncedFile(t, m, "t", "1")
				require.NoError(t, m.Rename("t", "a"))
			},
			[]string{"a=a", "a=a t=1", "a=1", "a=1 t=1"},
		},
		"a name used again takes no file with it": {
			"t", func(m *Mem) {
				require.NoError(t, m.Rename("t", "a"))
				syncedFile(t, m, "t", "1")
			},
			[]string{"t=t", "a=t", "a=t t=t", "a=t t=1"},
		},
		"a chain of renames": {
			"ab", func(m *Mem) {
				require.NoError(t, m.Rename("b", "c"))
				require.NoError(t, m.Rename("a", "b"))
			},
			[]string{
				"a=a b=b", "a=a c=b", "a=a b=b c=b",
				"b=a c=b", "a=a b=a c=b",
			},
		},
		"a file replaced by a new one under its name": {
			"a", func(m *Mem) {
				require.NoError(t, m.Remove("a"))
				syncedFile(t, m, "a", "1")
			},
			[]string{"", "a=a", "a=1"},
		},
		"a rename away and a remove of the successor": {
			"a", func(m *Mem) {
				require.NoError(t, m.Rename("a", "b"))
				syncedFile(t, m, "a", "1")
				require.NoError(t, m.Remove("a"))
			},
			[]string{"a=a", "b=a", "a=a b=a", "a=1 b=a"},
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			m := NewMem()
			for _, letter := range strings.Split(row.durable, "") {
				durableFile(t, m, letter, []byte(letter))
			}
			before := whose(t)(m)
			row.changes(m)
			after := whose(t)(m)
			assertSeen(t, seen(m, whose(t)), row.states...)
			assert.Equal(t, before, whose(t)(m.CrashKeepNone()))
			assert.Equal(t, after, whose(t)(m.CrashKeepAll()))
			require.NoError(t, m.SyncDir("."))
			assertSeen(t, seen(m, whose(t)), after)
		})
	}
}

// Goal: a file under two names after a half rename is one file.
func TestHalfRenameIsOneFile(t *testing.T) {
	m := NewMem()
	f := durableFile(t, m, "t", fill('o', sectorSize))
	write(t, f, fill('n', sectorSize), 0)
	require.NoError(t, m.Rename("t", "a"))
	halves := 0
	for seed := range uint64(enough) {
		state := m.Crash(seeded(seed))
		if len(names(t, state)) == 2 {
			halves++
			require.Equal(t, readFile(t, state, "t", vfs.Buffered), readFile(t, state, "a", vfs.Buffered))
		}
	}
	assert.Positive(t, halves)
}

// Goal: syncing a file does not make its name durable, nor the reverse.
func TestFileAndNameAreSyncedApart(t *testing.T) {
	m := NewMem()
	syncedFile(t, m, "a", "1")
	assert.Empty(t, names(t, m.CrashKeepNone()))
	require.NoError(t, m.SyncDir("."))
	assert.Equal(t, "a=1", whose(t)(m.CrashKeepNone()))
	f := createFile(t, m, "b", vfs.Buffered)
	write(t, f, []byte("2"), 0)
	require.NoError(t, m.SyncDir("."))
	assert.Equal(t, "a=1 b=", whose(t)(m.CrashKeepNone()))
}

// Goal: MkdirAll makes its directories durable and nothing else; while it runs,
// a crash may leave any beginning of the path.
func TestCrashAroundMkdirAll(t *testing.T) {
	m := NewMem()
	syncedFile(t, m, "unsynced", "1")
	depth := func(state *Mem) string {
		for _, dir := range []string{"a/b/c", "a/b", "a"} {
			if _, err := state.ReadDir(dir); err == nil {
				return dir
			}
		}
		return ""
	}
	during := map[string]int{}
	m.SetHook(func(op Op) error {
		if op.Kind == OpMkdirAll {
			hook := m.hook.Swap(nil)
			for what, n := range seen(m, depth) {
				during[what] += n
			}
			m.hook.Store(hook)
		}
		return nil
	})
	require.NoError(t, m.MkdirAll("a/b/c"))
	m.SetHook(nil)
	assertSeen(t, during, "", "a", "a/b", "a/b/c")
	assertSeen(t, seen(m, depth), "a/b/c")
	assert.Equal(t, []string{"a"}, names(t, m.CrashKeepNone()))
}

// Goal: a crash in MkdirAll is made good by the next MkdirAll, even if only the
// process was killed and the directory is there.
func TestMkdirAllAgain(t *testing.T) {
	m := NewMem()
	faults := NewFaults(Fault{Kinds: []Kind{OpMkdirAll}, Phase: During})
	m.SetHook(faults.Hook)
	require.Error(t, m.MkdirAll("a"))
	killed := m.CrashKeepAll()
	assert.Equal(t, []string{"a"}, names(t, killed))
	assert.Empty(t, names(t, killed.CrashKeepNone()))
	require.NoError(t, killed.MkdirAll("a"))
	assert.Equal(t, []string{"a"}, names(t, killed.CrashKeepNone()))
}

// Goal: a lock file is a file like others to a crash, and its lock is gone.
func TestCrashFreesLocks(t *testing.T) {
	m := NewMem()
	for range 2 {
		lock, err := m.Lock("LOCK", "me")
		require.NoError(t, err)
		_, err = m.Lock("LOCK", "another")
		require.ErrorContains(t, err, "locked by me")
		require.NoError(t, m.SyncDir("."))
		m = m.Crash(seeded(1))
		assert.Equal(t, []string{"LOCK"}, names(t, m))
		require.NoError(t, lock.Close(), "of the Mem before the crash")
	}
}

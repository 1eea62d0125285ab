package log

import (
	"math/rand/v2"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// A bit that flips in a sealed segment is DATA_LOSS for the records of its frame
// and for nothing else, wherever it is; a missing or damaged index costs
// nothing.
func TestFlippedBitCostsItsRangeOnly(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	var want []string
	for i := range 60 {
		v := strings.Repeat(string(rune('a'+i%26)), 100+i*7)
		want = append(want, v)
		appendTo(t, e, v)
	}
	require.NoError(t, e.Close())
	name := path.Join(segmentsDir, segmentNames(t, fs)[1])
	size, err := fs.Size(name)
	require.NoError(t, err)
	whole := readable(t, openMem(t, fs.CrashKeepNone()))
	require.Equal(t, want, whole)
	for pos := int64(0); pos < size; pos += 13 {
		state := fs.CrashKeepNone()
		flip(t, state, name, pos)
		if pos%2 == 0 {
			removeIndexes(t, state)
		}
		e := openMem(t, state)
		got := readable(t, e)
		lost := len(want) - len(got) + countDamaged(got)
		require.LessOrEqual(t, countDamaged(got), 1, "position %d", pos)
		require.LessOrEqual(t, lost, 1, "position %d: a frame holds one record here", pos)
		k := 0
		for _, v := range got {
			if v == "!" {
				k++
				continue
			}
			require.Equal(t, want[k], v, "position %d", pos)
			k++
		}
		require.NoError(t, e.Close())
	}
}

// twoJournalFiles returns a crashed directory whose journal holds acked groups
// in two files behind its table, the last of them proven by an idle seal.
func twoJournalFiles(t *testing.T) (fs *vfstest.Mem, last string, records int) {
	t.Helper()
	fs = vfstest.NewMem()
	e := openMem(t, fs)
	first := e.committer.journal.Active()
	for e.committer.journal.Active() == first {
		appendTo(t, e, "a record for a group of its own")
	}
	last = e.committer.journal.Active()
	for range 6 {
		appendTo(t, e, "one more")
	}
	require.NoError(t, e.committer.journal.Seal(&e.committer.group))
	return fs.CrashKeepNone(), last, int(e.named("").Bounds().Next)
}

// With no file left to say in its header that the last group was synced, the idle
// seal asks for a checkpoint, which frees one that does.
func TestLossOfTheOnlyJournalFileInUse(t *testing.T) {
	fs := vfstest.NewMem()
	options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	options.JournalFiles = 2
	options.TailBytes = 1 << 20
	e, err := Open("mem", options)
	require.NoError(t, err)
	first := e.committer.journal.Active()
	for e.committer.journal.Active() == first {
		appendTo(t, e, "a record for a group of its own")
	}
	last := e.committer.journal.Active()
	require.Empty(t, e.committer.journal.Reusable())
	require.NoError(t, e.committer.journal.Seal(&e.committer.group))
	require.NotEmpty(t, e.wanted, "a checkpoint is asked for")
	require.NoError(t, e.checkpoint())
	state := fs.CrashKeepNone()
	require.NoError(t, state.Remove(last))
	assertRefused(t, state)
	appendTo(t, e, "and appends go on")
	require.NoError(t, e.Close())
}

// Whatever happens to the last file of the journal once its groups are proven,
// it is refused, or every record is there. A shorter log is never taken for
// what a crash left.
func TestDamageInTheLastJournalFile(t *testing.T) {
	fs, last, records := twoJournalFiles(t)
	require.Len(t, readable(t, openMem(t, fs.CrashKeepNone())), records)
	damages := map[string]func(*vfstest.Mem){
		"the file is gone": func(fs *vfstest.Mem) { require.NoError(t, fs.Remove(last)) },
		"header and first group are zeroed": func(fs *vfstest.Mem) {
			overwrite(t, fs, last, 0, make([]byte, 8192))
		},
		"the file is zeroed": func(fs *vfstest.Mem) { overwrite(t, fs, last, 0, make([]byte, 64<<10)) },
		"the file is empty": func(fs *vfstest.Mem) {
			f, err := fs.Open(last, vfs.Buffered)
			require.NoError(t, err)
			require.NoError(t, f.Truncate(0))
			require.NoError(t, f.Sync())
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			state := fs.CrashKeepNone()
			damage(state)
			assertRefused(t, state)
		})
	}
	for pos := int64(0); pos < 40<<10; pos += 61 {
		state := fs.CrashKeepNone()
		flip(t, state, last, pos)
		e, err := tryOpenMem(state)
		if err != nil {
			var corrupt *CorruptError
			require.ErrorAs(t, err, &corrupt, "position %d", pos)
			require.NotEmpty(t, verified(t, state).Problems, "position %d", pos)
			continue
		}
		require.Len(t, readable(t, e), records, "position %d", pos)
		require.NoError(t, e.Close())
	}
}

// A journal without a table was never opened to its end, or has lost the table;
// if it holds groups it is the latter.
func TestGroupsWithoutATableAreRefused(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one", "two", "three")
	state := fs.CrashKeepNone()
	require.NoError(t, state.Remove(checkpointName))
	assertRefused(t, state)
}

// A device that does not answer is no torn write: nothing is opened, removed or
// made anew.
func TestUnreadableJournalIsRefused(t *testing.T) {
	fs, last, _ := twoJournalFiles(t)
	for nth := 1; nth <= 3; nth++ {
		state := fs.CrashKeepNone()
		state.SetHook(func(op vfstest.Op) error {
			if op.Kind == vfstest.OpReadAt && op.Name == last {
				return syscall.EIO
			}
			if op.Kind == vfstest.OpRemove || op.Kind == vfstest.OpCreate && path.Dir(op.Name) == journalDir {
				assert.Fail(t, "the journal was changed", "%v", op)
			}
			return nil
		})
		_, err := tryOpenMem(state)
		require.ErrorIs(t, err, syscall.EIO)
	}
}

// A frame whose first bytes are zeros is damage like any other, and costs its
// own records, though zeros are also what lies before a block that a checkpoint
// began.
func TestZeroedFrameCostsItsRangeOnly(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	var want []string
	for i := range 30 {
		want = append(want, strings.Repeat(string(rune('a'+i%26)), 100))
		appendTo(t, e, want[i])
	}
	require.NoError(t, e.Close())
	name := path.Join(segmentsDir, segmentNames(t, fs)[0])
	size := int64(len(want[0])) + 64 + 44 // a frame
	for frameAt := int64(128); frameAt < 128+8*size; frameAt += 8 {
		state := fs.CrashKeepNone()
		overwrite(t, state, name, frameAt, make([]byte, 4))
		got := readable(t, openMem(t, state))
		require.LessOrEqual(t, countDamaged(got), 1)
		require.GreaterOrEqual(t, len(got), len(want), "position %d", frameAt)
	}
}

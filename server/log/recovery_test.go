package log

import (
	"context"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// Each case of recovery by name, from a crash state or a damage that the file
// system in memory makes. What is random anywhere comes from a fixed seed.

// A group that a crash cuts off in the middle is dropped as a whole, and the
// log goes on at the offset that it would have had.
func TestRecoveryDropsATornEnd(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one", "two")
	outcomes, appended := map[int]int{}, 0
	for seed := range uint64(60) {
		var torn *vfstest.Mem
		fs.SetHook(func(op vfstest.Op) error {
			if torn == nil && op.Kind == vfstest.OpWriteAt && op.Phase == vfstest.During {
				torn = fs.Crash(rand.New(rand.NewPCG(seed, 1)))
			}
			return nil
		})
		big := strings.Repeat("x", 3000)
		_, err := e.named("").Append(context.Background(), oneBatch("three", big, "five"))
		require.NoError(t, err)
		fs.SetHook(nil)
		require.NotNil(t, torn)
		after := openMem(t, torn)
		got := readable(t, after)
		whole := 2 + 3*appended
		outcomes[len(got)-whole]++
		appended++
		require.Contains(t, []int{whole, whole + 3}, len(got), "seed %d: a batch is all or nothing", seed)
		next := uint64(len(got))
		acks, err := after.named("").Append(context.Background(), oneBatch("next"))
		require.NoError(t, err)
		assert.Equal(t, next, acks[0].First)
		assert.Equal(t, []string{"one", "two"}, got[:2])
	}
	require.Len(t, outcomes, 2, "both outcomes were met: %v", outcomes)
}

// Damage in a group that a later group proves to have been synced keeps the
// directory closed, and the error names the place.
func TestRecoveryRefusesProvenDamage(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	name, pos := activeJournal(e)
	appendTo(t, e, "one", "two", "three")
	after := fs.CrashKeepNone()
	flip(t, after, name, pos+200)
	_, err := tryOpenMem(after)
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt)
	assert.ErrorContains(t, err, name)
	assert.ErrorContains(t, err, "position")
	_, again := tryOpenMem(after)
	assert.Equal(t, err.Error(), again.Error(), "nothing was changed")
}

// After a pause the last group is proven too: an idle seal follows it.
func TestIdleSealProvesTheLastGroup(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	name, pos := activeJournal(e)
	appendTo(t, e, "one")

	unsealed := fs.CrashKeepNone()
	flip(t, unsealed, name, pos+200)
	assert.Empty(t, readable(t, openMem(t, unsealed)), "nothing tells it from a torn write yet")

	require.NoError(t, e.committer.journal.Seal(&e.committer.group))
	sealed := fs.CrashKeepNone()
	flip(t, sealed, name, pos+200)
	_, err := tryOpenMem(sealed)
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt)
}

// Sectors of an unfinished group that reached the disk before its first ones
// are no proof of anything.
func TestRecoveryOfSectorsOutOfOrder(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one")
	name, pos := activeJournal(e)
	before := fs.CrashKeepNone()
	appendTo(t, e, strings.Repeat("y", 5000))
	for _, keepFrom := range []int64{512, 1024, 4096} {
		late := before.CrashKeepNone()
		copySectors(t, fs, late, name, pos+keepFrom, pos+8192)
		assert.Equal(t, []string{"one"}, readable(t, openMem(t, late)))
	}
}

// A missing journal file or table keeps the directory closed; a missing segment
// costs its own records and nothing else, and the log goes on behind it.
func TestRecoveryOfMissingFiles(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	journalName, _ := activeJournal(e)
	for range 12 {
		appendTo(t, e, strings.Repeat("z", 3000))
	}
	unsynced := fs.CrashKeepNone()
	require.NoError(t, e.checkpoint())
	synced := fs.CrashKeepNone()
	segments := segmentNames(t, synced)
	require.Greater(t, len(segments), 3)

	t.Run("journal file", func(t *testing.T) {
		require.NoError(t, unsynced.Remove(journalName))
		_, err := tryOpenMem(unsynced)
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt)
	})
	t.Run("table", func(t *testing.T) {
		state := synced.CrashKeepNone()
		require.NoError(t, state.Remove(checkpointName))
		_, err := tryOpenMem(state)
		require.ErrorContains(t, err, checkpointName)
	})
	t.Run("identity", func(t *testing.T) {
		state := synced.CrashKeepNone()
		require.NoError(t, state.Remove(identityName))
		_, err := tryOpenMem(state)
		require.ErrorIs(t, err, ErrNotDataDir)
	})
	for i, name := range segments {
		t.Run("segment "+name, func(t *testing.T) {
			state := synced.CrashKeepNone()
			require.NoError(t, state.Remove(path.Join(segmentsDir, name)))
			e := openMem(t, state)
			appendTo(t, e, "behind")
			got := readable(t, e)
			assert.Equal(t, 1, countDamaged(got), "one range is lost")
			assert.Equal(t, "behind", got[len(got)-1])
			require.NoError(t, e.Close())
			again := readable(t, openMem(t, state))
			assert.Equal(t, got, again, "segment %d of %d", i, len(segments))
		})
	}
}

// One directory, one engine; and only a directory that is ours.
func TestOpenRefusesWhatIsNotItsOwn(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	_, err := tryOpenMem(fs)
	var locked *vfs.LockedError
	require.ErrorAs(t, err, &locked)
	assert.ErrorContains(t, err, "process")
	require.NoError(t, e.Close())
	openMem(t, fs)

	foreign := vfstest.NewMem()
	f, err := foreign.Create("thesis.tex", vfs.Buffered)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = tryOpenMem(foreign)
	require.ErrorIs(t, err, ErrNotDataDir)
	names, err := foreign.ReadDir(".")
	require.NoError(t, err)
	assert.Equal(t, []string{"thesis.tex"}, names, "nothing was written")
}

// A table that a killed process left renamed, but whose directory was not yet
// synced, can still be undone by a power cut. The next start must not reuse
// journal files on its word before it has made it durable.
func TestRecoverySyncsTheTableThatItFinds(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	first, _ := activeJournal(e)
	var want []string
	for name := first; name == first; name, _ = activeJournal(e) {
		want = append(want, "a record for a group of its own")
		appendTo(t, e, want[0])
	}
	var killed *vfstest.Mem
	fs.SetHook(func(op vfstest.Op) error {
		if killed == nil && op.Kind == vfstest.OpSyncDir && op.Name == "." {
			killed = fs.CrashKeepAll()
		}
		return nil
	})
	require.NoError(t, e.checkpoint())
	fs.SetHook(nil)
	require.NotNil(t, killed)

	cut := vfstest.CrashAt(killed, 1, (*vfstest.Mem).CrashKeepNone)
	killed.SetHook(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpRename { // recovery is done but for its own table
			return cut.Hook(op)
		}
		return nil
	})
	_, err := tryOpenMem(killed)
	require.ErrorIs(t, err, vfstest.ErrCrashed)
	require.NotNil(t, cut.State())
	assert.Equal(t, want, readable(t, openMem(t, cut.State())))
}

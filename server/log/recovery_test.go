package log

import (
	"context"
	"errors"
	"math/rand/v2"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// Each case of recovery by name, from a crash state or a damage that the file
// system in memory makes. What is random anywhere comes from a fixed seed.

func openMem(t *testing.T, fs *vfstest.Mem) *Engine {
	t.Helper()
	e, err := tryOpenMem(fs)
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close() }) // a test that poisons it expects its error
	return e
}

func tryOpenMem(fs *vfstest.Mem) (*Engine, error) {
	return Open("mem", simOptions(fs, rand.New(rand.NewPCG(1, 2))))
}

func appendTo(t *testing.T, e *Engine, values ...string) {
	t.Helper()
	for _, v := range values {
		_, err := e.named("").Append(context.Background(), oneBatch(v))
		require.NoError(t, err)
	}
}

func oneBatch(values ...string) (b commitlog.Batch) {
	for _, v := range values {
		b.Records = append(b.Records, commitlog.Record{Value: []byte(v)})
	}
	return b
}

// readable returns all values that can be read, with "!" for a damaged range.
func readable(t *testing.T, e *Engine) (values []string) {
	t.Helper()
	l := e.named("")
	for at := l.Bounds().First; at < l.Bounds().Next; {
		run, err := l.Read(context.Background(), at, commitlog.ReadLimit{}, nil)
		if damage := (*commitlog.DamagedError)(nil); errors.As(err, &damage) {
			require.LessOrEqual(t, damage.First, at)
			require.Greater(t, damage.Next, at)
			values = append(values, "!")
			at = damage.Next
			continue
		}
		require.NoError(t, err)
		for rec, err := range run.All() {
			require.NoError(t, err)
			values = append(values, string(rec.Value))
		}
		at = run.Next
	}
	return values
}

// flip changes one bit of a file, durably.
func flip(t *testing.T, fs *vfstest.Mem, name string, pos int64) {
	t.Helper()
	f, err := fs.Open(name, vfs.Buffered)
	require.NoError(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, pos)
	require.NoError(t, err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b, pos)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

func activeJournal(e *Engine) (name string, pos int64) {
	cut := e.committer.journal.Cut()
	return e.committer.journal.Active(), cut.Position
}

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

func copySectors(t *testing.T, from, to *vfstest.Mem, name string, start, end int64) {
	t.Helper()
	src, err := from.Open(name, vfs.Buffered)
	require.NoError(t, err)
	dst, err := to.Open(name, vfs.Buffered)
	require.NoError(t, err)
	b := make([]byte, end-start)
	_, err = src.ReadAt(b, start)
	require.NoError(t, err)
	_, err = dst.WriteAt(b, start)
	require.NoError(t, err)
	require.NoError(t, dst.Sync())
	require.NoError(t, errors.Join(src.Close(), dst.Close()))
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

func countDamaged(values []string) (n int) {
	for _, v := range values {
		if v == "!" {
			n++
		}
	}
	return n
}

func segmentNames(t *testing.T, fs *vfstest.Mem) (segments []string) {
	t.Helper()
	names, err := fs.ReadDir(segmentsDir)
	require.NoError(t, err)
	for _, n := range names {
		if strings.HasSuffix(n, ".seg") {
			segments = append(segments, n)
		}
	}
	return segments
}

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

func removeIndexes(t *testing.T, fs *vfstest.Mem) {
	t.Helper()
	names, err := fs.ReadDir(segmentsDir)
	require.NoError(t, err)
	for _, n := range names {
		if strings.HasSuffix(n, ".idx") {
			require.NoError(t, fs.Remove(path.Join(segmentsDir, n)))
		}
	}
}

// A failed sync or journal write ends appends, with an open outcome for what
// was in flight; reads go on; a restart believes what the disk has and not what
// the page cache shows, and takes appends again.
func TestFailedSyncEndsAppendsUntilARestart(t *testing.T) {
	faults := map[string]vfstest.Fault{
		"journal write":     {Kinds: []vfstest.Kind{vfstest.OpWriteAt}, Name: journalDir + "/*"},
		"segment write":     {Kinds: []vfstest.Kind{vfstest.OpWriteAt}, Name: segmentsDir + "/*.seg"},
		"segment sync":      {Kinds: []vfstest.Kind{vfstest.OpSync}, Name: segmentsDir + "/*"},
		"sync of all files": {Kinds: []vfstest.Kind{vfstest.OpSyncAll}},
		"table sync":        {Kinds: []vfstest.Kind{vfstest.OpSync}, Name: checkpointName + ".tmp"},
		"directory sync":    {Kinds: []vfstest.Kind{vfstest.OpSyncDir}, Name: segmentsDir},
		"root sync":         {Kinds: []vfstest.Kind{vfstest.OpSyncDir}, Name: "."},
		"rename of a table": {Kinds: []vfstest.Kind{vfstest.OpRename}},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			fs := vfstest.NewMem()
			options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
			options.syncAllFrom = 1000
			if name == "sync of all files" {
				options.syncAllFrom = 1
			}
			e, err := Open("mem", options)
			require.NoError(t, err)
			fault.Err = syscall.EIO
			appendTo(t, e, "one")
			fs.SetHook(vfstest.NewFaults(fault).Hook)
			_, err = e.named("").Append(context.Background(), oneBatch("in flight"))
			if err == nil {
				err = e.checkpoint()
			}
			require.ErrorIs(t, err, commitlog.ErrStorageFailed)
			require.ErrorIs(t, err, commitlog.ErrOutcomeUnknown)
			require.ErrorIs(t, e.Check(), commitlog.ErrStorageFailed)
			fs.SetHook(nil) // the disk is well again, and still:
			_, err = e.named("").Append(context.Background(), oneBatch("later"))
			require.ErrorIs(t, err, commitlog.ErrStorageFailed)
			require.NotErrorIs(t, err, commitlog.ErrOutcomeUnknown)
			seen := readable(t, e)
			require.Equal(t, "one", seen[0])
			_ = e.Close()
			assert.Zero(t, fs.SyncsAfterFailure(), "a failed sync is never tried again")
			for state, fs := range map[string]*vfstest.Mem{"restart": fs, "power cut": fs.CrashKeepNone()} {
				after := openMem(t, fs)
				got := readable(t, after)
				require.Subset(t, []string{"one", "in flight"}, got, state)
				require.Equal(t, seen, got[:len(seen)], "what was read stays: %s", state)
				appendTo(t, after, "again")
				require.NoError(t, after.Close())
			}
		})
	}
}

// On a full disk appends are refused and nothing of them is kept; reads go on;
// and when there is room again, appends go on by themselves.
func TestFullDiskRefusesAndResumes(t *testing.T) {
	fs := vfstest.NewMem()
	options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	options.FreeBytes = 1 << 20
	now := time.Unix(1_700_000_000, 0)
	options.Now = func() time.Time { return now }
	e, err := Open("mem", options)
	require.NoError(t, err)
	defer e.Close()
	appendTo(t, e, "one")
	fs.SetCapacity(1 << 19)
	now = now.Add(time.Second)
	_, err = e.named("").Append(context.Background(), oneBatch("two"))
	require.ErrorIs(t, err, commitlog.ErrStorageFull)
	require.NoError(t, e.Check())
	assert.Equal(t, []string{"one"}, readable(t, e))
	fs.SetCapacity(1 << 30)
	now = now.Add(time.Second)
	appendTo(t, e, "two")
	assert.Equal(t, []string{"one", "two"}, readable(t, e))
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

// A call whose first batch is good and whose second is refused has an open
// outcome if the group fails: its acks were never true. A call of which nothing
// was in the group is refused for certain, and is not told of an end that may
// never be.
func TestRefusalsInAGroupThatFails(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one")
	wrong := uint64(7)
	bad := oneBatch("bad")
	bad.ExpectedOffset = &wrong
	c := &e.committer
	l := e.named("")
	mixed := &pending{log: l, batches: []commitlog.Batch{oneBatch("good"), bad}, done: make(chan struct{}, 1)}
	refused := &pending{log: l, batches: []commitlog.Batch{bad}, done: make(chan struct{}, 1)}
	fs.SetHook(vfstest.NewFaults(vfstest.Fault{Kinds: []vfstest.Kind{vfstest.OpWriteAt}, Name: journalDir + "/*"}).Hook)
	c.commit([]*pending{mixed, refused})
	assert.Empty(t, mixed.acks)
	require.ErrorIs(t, mixed.err, commitlog.ErrOutcomeUnknown)
	assert.Empty(t, refused.acks)
	require.ErrorIs(t, refused.err, commitlog.ErrStorageFailed)
	require.NotErrorIs(t, refused.err, commitlog.ErrOutcomeUnknown)
}

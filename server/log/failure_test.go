package log

import (
	"context"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
	"github.com/proglog/proglog/server/log/internal/segment"
)

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
				lasting := readable(t, openMem(t, fs.CrashKeepNone()))
				require.Equal(t, append(got, "again"), lasting, "the disk has it too: %s, then a power cut", state)
			}
		})
	}
}

// What a failed write-back took from a segment's file is not lost while the
// journal has it: readers are told to come back after a restart, not that the
// records are damaged. What was synced before is read, and is damaged if it is;
// but once storage has failed only a restart can tell.
func TestWhatTheJournalStillHasIsNotDamaged(t *testing.T) {
	for name, all := range map[string]int{"sync of each": 1000, "sync of all": 1} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			fs := vfstest.NewMem()
			options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
			options.syncAllFrom = all
			e, err := Open("mem", options)
			require.NoError(t, err)
			l := e.named("")
			appendTo(t, e, "one")
			fs.SetHook(func(op vfstest.Op) error {
				if op.Kind == vfstest.OpCreate && op.Name == checkpointName+".tmp" {
					appendTo(t, e, "two") // behind what the checkpoint saves
				}
				return nil
			})
			require.NoError(t, e.checkpoint())
			file := segmentsDir + "/" + l.view.Load().segments[0].Name()
			saved := readBytes(t, fs, file, segment.HeaderSize, 64)
			zeroed := make([]byte, len(saved))
			var failing bool
			fs.SetHook(func(op vfstest.Op) error {
				if failing || op.Kind != vfstest.OpSyncAll && (op.Kind != vfstest.OpSync || op.Name != file) {
					return nil
				}
				failing = true
				// The page that could not be written was dropped from the cache, and
				// nobody has been told yet.
				overwrite(t, fs, file, l.size.Load()-8, make([]byte, 8))
				run, err := l.Read(ctx, 0, commitlog.ReadLimit{}, nil)
				require.NoError(t, err)
				require.EqualValues(t, 1, run.Next)
				_, err = l.Read(ctx, 1, commitlog.ReadLimit{}, nil)
				require.ErrorIs(t, err, commitlog.ErrStorageFailed)
				overwrite(t, fs, file, segment.HeaderSize, zeroed)
				_, err = l.Read(ctx, 0, commitlog.ReadLimit{}, nil)
				var damaged *commitlog.DamagedError
				require.ErrorAs(t, err, &damaged)
				require.EqualValues(t, 1, damaged.Next)
				overwrite(t, fs, file, segment.HeaderSize, saved)
				return syscall.EIO
			})
			require.ErrorIs(t, e.checkpoint(), commitlog.ErrStorageFailed)
			require.True(t, failing)
			fs.SetHook(nil)
			run, err := l.Read(ctx, 0, commitlog.ReadLimit{}, nil)
			require.NoError(t, err, "reads go on")
			require.EqualValues(t, 1, run.Next)
			overwrite(t, fs, file, segment.HeaderSize, zeroed)
			_, err = l.Read(ctx, 0, commitlog.ReadLimit{}, nil)
			require.ErrorIs(t, err, commitlog.ErrStorageFailed)
			_ = e.Close() // it may say so again
			l = openMem(t, fs).named("")
			run, err = l.Read(ctx, 1, commitlog.ReadLimit{}, nil)
			require.NoError(t, err, "a restart has it from the journal")
			require.EqualValues(t, 2, run.Next)
			_, err = l.Read(ctx, 0, commitlog.ReadLimit{}, nil)
			var damaged *commitlog.DamagedError
			require.ErrorAs(t, err, &damaged, "and tells what is damaged")
			require.EqualValues(t, 1, damaged.Next)
		})
	}
}

// A file system that has shut down, or a device that is gone, gives no bytes of
// what it has: that is no damage, and a restart reads it.
func TestUnreadableOnceStorageFailedIsNotDamaged(t *testing.T) {
	ctx := context.Background()
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	l := e.named("")
	appendTo(t, e, "one")
	require.NoError(t, e.checkpoint())
	appendTo(t, e, "two")
	fs.SetHook(vfstest.NewFaults(
		vfstest.Fault{Kinds: []vfstest.Kind{vfstest.OpSync}, Name: segmentsDir + "/*"},
		vfstest.Fault{Kinds: []vfstest.Kind{vfstest.OpReadAt}, Name: segmentsDir + "/*", Sticky: true},
	).Hook)
	require.ErrorIs(t, e.checkpoint(), commitlog.ErrStorageFailed)
	_, err := l.Read(ctx, 0, commitlog.ReadLimit{}, nil)
	require.ErrorIs(t, err, commitlog.ErrStorageFailed)
	_, err = l.FindTime(ctx, time.Unix(0, l.view.Load().segments[0].Created+1))
	require.ErrorIs(t, err, commitlog.ErrStorageFailed)
	fs.SetHook(nil)
	_ = e.Close() // it may say so again
	require.Equal(t, []string{"one", "two"}, readable(t, openMem(t, fs)))
}

// What a failed sync has lost still shows in the page cache, and writing the same
// bytes there again brings them to no disk: a restart cuts the segment first.
func TestSegmentIsCutBeforeItIsWrittenAgain(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one")
	require.NoError(t, e.checkpoint())
	appendTo(t, e, "two")
	fs.SetHook(vfstest.NewFaults(vfstest.Fault{Kinds: []vfstest.Kind{vfstest.OpSync}, Name: segmentsDir + "/*"}).Hook)
	require.ErrorIs(t, e.checkpoint(), commitlog.ErrStorageFailed)
	_ = e.Close() // it may say so again
	e = openMem(t, fs)
	appendTo(t, e, "three")
	require.NoError(t, e.Close())
	assert.Equal(t, []string{"one", "two", "three"}, readable(t, openMem(t, fs.CrashKeepNone())))
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

// Too many open files is not damage: the read can be tried again.
func TestTooManyOpenFilesIsNoDamage(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one")
	require.NoError(t, e.Close())
	e = openMem(t, fs)
	fs.SetHook(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpOpen {
			return syscall.EMFILE
		}
		return nil
	})
	_, err := e.named("").Read(context.Background(), 0, commitlog.ReadLimit{}, nil)
	require.ErrorIs(t, err, commitlog.ErrOverloaded)
	fs.SetHook(nil)
	assert.Equal(t, []string{"one"}, readable(t, e))
}

// When no journal file and no table can be made, appends are refused and not
// stuck, Close ends, and once the fault is over appends go on by themselves.
func TestAppendsAreNotStuckWithoutJournalFiles(t *testing.T) {
	fs := vfstest.NewMem()
	options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	options.inline, options.JournalFiles = false, 2
	options.random, options.Now = nil, nil // the simulation's are for one goroutine
	e, err := Open("mem", options)
	require.NoError(t, err)
	defer e.Close()
	faults := vfstest.NewFaults(
		vfstest.Fault{Kinds: []vfstest.Kind{vfstest.OpCreate}, Name: journalDir + "/*", Err: syscall.EMFILE, Sticky: true},
		vfstest.Fault{Kinds: []vfstest.Kind{vfstest.OpCreate}, Name: checkpointName + ".tmp", Err: syscall.EMFILE, Sticky: true},
	)
	fs.SetHook(faults.Hook)
	ctx := context.Background()
	l := e.named("")
	acked := 0
	for err == nil {
		if _, err = l.Append(ctx, oneBatch(strings.Repeat("v", 4000))); err == nil {
			acked++
		}
		require.Less(t, acked, 1000, "the journal has an end")
	}
	require.ErrorIs(t, err, commitlog.ErrStorageFull)
	require.NotErrorIs(t, err, commitlog.ErrOutcomeUnknown)
	require.NoError(t, e.Check())
	require.Len(t, readable(t, e), acked)
	faults.Heal()
	require.Eventually(t, func() bool {
		_, err := l.Append(ctx, oneBatch("again"))
		return err == nil
	}, waitAtMost, waitStep)
}

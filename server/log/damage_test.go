package log

import (
	"context"
	"encoding/binary"
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
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/journal"
)

// How long a test waits for what comes by itself, and how often it looks.
const (
	waitAtMost = 20 * time.Second
	waitStep   = 20 * time.Millisecond
)

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
	require.True(t, e.committer.journal.Room(1<<15))
	require.NoError(t, e.committer.journal.Prepare())
	require.NoError(t, e.committer.journal.Seal(&e.committer.group))
	return fs.CrashKeepNone(), last, int(e.named("").Bounds().Next)
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

func assertRefused(t *testing.T, fs *vfstest.Mem) {
	t.Helper()
	_, err := tryOpenMem(fs)
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt)
	assert.NotEmpty(t, verified(t, fs).Problems)
}

func overwrite(t *testing.T, fs *vfstest.Mem, name string, pos int64, b []byte) {
	t.Helper()
	f, err := fs.Open(name, vfs.Buffered)
	require.NoError(t, err)
	_, err = f.WriteAt(b, pos)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
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

// More than the queue holds is refused at once, before it has an offset.
func TestFullQueueIsOverloaded(t *testing.T) {
	fs := vfstest.NewMem()
	options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	options.inline, options.random, options.Now, options.QueueBatches = false, nil, nil, 3
	e, err := Open("mem", options)
	require.NoError(t, err)
	defer e.Close()
	ctx := context.Background()
	l := e.named("")
	blocked, release := make(chan struct{}, 1), make(chan struct{})
	fs.SetHook(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpWriteAt && op.Phase == vfstest.Before && path.Dir(op.Name) == journalDir {
			select {
			case blocked <- struct{}{}:
			default:
			}
			<-release
		}
		return nil
	})
	results := make(chan error, 10)
	send := func() {
		_, err := l.Append(ctx, oneBatch("queued"))
		results <- err
	}
	go send()
	<-blocked
	for range 5 {
		go send()
	}
	for range 2 { // three queue, two are refused while the disk still hangs
		require.ErrorIs(t, <-results, commitlog.ErrOverloaded)
	}

	// A caller that leaves the queue is told for certain that nothing of it was
	// appended; one that leaves while it is written is not.
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = l.Append(gone, oneBatch("never"))
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, commitlog.ErrOutcomeUnknown)
	close(release)
	for range 4 {
		require.NoError(t, <-results)
	}
	assert.Len(t, readable(t, e), 4)
}

// A caller whose context ends while its batch is being written does not know.
func TestLeavingWhileItIsWrittenIsUnknown(t *testing.T) {
	c := &committer{}
	p := &pending{taken: true}
	require.ErrorIs(t, c.leave(p, context.Canceled), commitlog.ErrOutcomeUnknown)
	p = &pending{}
	err := c.leave(p, context.Canceled)
	require.NotErrorIs(t, err, commitlog.ErrOutcomeUnknown)
	require.True(t, p.withdrawn)
	require.True(t, errors.Is(err, context.Canceled))
}

// A group that was replaced by another whole one of the same number and place,
// as a disk does that lost a write and shows what was there before, is seen by
// the chain: everything else in it is right.
func TestReplacedGroupIsRefused(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one")
	name, pos := activeJournal(e)
	appendTo(t, e, "two")
	appendTo(t, e, "three", "four", "five")
	whole := fs.CrashKeepNone()
	require.Len(t, readable(t, openMem(t, whole.CrashKeepNone())), 5)

	// The same engine would have written this in the place of "two".
	group := readBlock(t, whole, name, pos)
	forged := append([]byte{}, group...)
	at := strings.Index(string(forged), "two")
	require.Positive(t, at)
	copy(forged[at:], "TWO")
	refit(forged, e.named("").active().Seed)
	overwrite(t, whole, name, pos, forged)
	assertRefused(t, whole)
}

func readBlock(t *testing.T, fs *vfstest.Mem, name string, pos int64) []byte {
	t.Helper()
	f, err := fs.Open(name, vfs.Buffered)
	require.NoError(t, err)
	b := make([]byte, 4096)
	_, err = f.ReadAt(b, pos)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return b
}

// refit makes the checksums of a group of one frame right again, but not the
// chains that others have already continued.
func refit(group []byte, seed uint32) {
	le := binary.LittleEndian
	f := group[journal.GroupHeaderSize:]
	length := le.Uint32(f[8:])
	le.PutUint32(f[12:], frame.Checksum(f[frame.HeaderSize:frame.HeaderSize+length]))
	le.PutUint32(f[4:], frame.Update(seed, f[8:frame.HeaderSize]))
	le.PutUint32(group[16:], frame.Checksum(f[:frame.HeaderSize]))
	le.PutUint32(group[4:], frame.Checksum(group[8:journal.GroupHeaderSize]))
}

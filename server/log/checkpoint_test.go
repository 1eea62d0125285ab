package log

import (
	"context"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// What a checkpoint has called durable is in blocks that are never written again,
// also if an append comes while the segment is being written: a power cut may ruin
// every sector of a write that is under way.
func TestBlocksOfACheckpointAreNotWrittenAgain(t *testing.T) {
	t.Parallel()
	fs := vfstest.NewMem()
	options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	options.eager, options.flushBytes = false, 64<<10 // only the checkpoint writes
	e, err := Open("sim", options)
	require.NoError(t, err)
	appendTo(t, e, "before the checkpoint")
	var writes []int64
	fs.SetHook(func(op vfstest.Op) error {
		if op.Kind != vfstest.OpWriteAt || path.Dir(op.Name) != segmentsDir {
			return nil
		}
		writes = append(writes, op.Off)
		if len(writes) == 1 {
			appendTo(t, e, "while it is made")
		}
		return nil
	})
	require.NoError(t, e.checkpoint())
	appendTo(t, e, "behind it")
	require.NoError(t, e.checkpoint())
	require.Equal(t, []int64{0, vfs.BlockSize}, writes)
	fs.SetHook(nil)
	require.Equal(t, []string{"before the checkpoint", "while it is made", "behind it"}, readable(t, e))
	require.NoError(t, e.Close())
}

// One large batch does not take memory for good.
func TestACheckpointLetsGoOfALargeGroup(t *testing.T) {
	t.Parallel()
	options := simOptions(vfstest.NewMem(), rand.New(rand.NewPCG(1, 2)))
	options.Limits, options.GroupBytes, options.JournalFileBytes = commitlog.Limits{}, 0, 0
	options.inline, options.TailBytes = false, 0
	e, err := Open("sim", options)
	require.NoError(t, err)
	appendTo(t, e, "small")
	small := cap(e.committer.group.Buf())
	appendTo(t, e, strings.Repeat("x", 4*small))
	require.Greater(t, cap(e.committer.group.Buf()), 4*small)
	require.NoError(t, e.checkpoint())
	appendTo(t, e, "small")
	require.Equal(t, small, cap(e.committer.group.Buf()))
	require.NoError(t, e.Close())
}

// What is written to a segment behind the sync of all files, and before the
// checkpoint goes on, is synced by the next checkpoint.
func TestWrittenBehindTheSyncOfAllFiles(t *testing.T) {
	t.Parallel()
	fs := vfstest.NewMem()
	options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	options.eager, options.syncAllFrom = true, 2 // what is appended is written at once
	e, err := Open("sim", options)
	require.NoError(t, err)
	_, _, err = e.Put(context.Background(), "other", commitlog.Change{})
	require.NoError(t, err)
	_, err = e.named("other").Append(context.Background(), oneBatch("the second segment"))
	require.NoError(t, err)
	appendTo(t, e, "before")
	e.watch = &watchThen{Watch: e.watch, then: func() { appendTo(t, e, "behind the sync") }}
	require.NoError(t, e.checkpoint())
	require.NoError(t, e.checkpoint(), "of one segment")
	after := openMem(t, fs.CrashKeepNone())
	require.Equal(t, []string{"before", "behind the sync"}, readable(t, after))
	require.NoError(t, after.Close())
	require.NoError(t, e.Close())
}

// A watchThen does something once behind a sync of all files.
type watchThen struct {
	vfs.Watch
	then func()
}

func (w *watchThen) Sync() error {
	err := w.Watch.Sync()
	if then := w.then; then != nil {
		w.then = nil
		then()
	}
	return err
}

// Goal: appends that wait for room in memory wait for some of it, not for the end
// of the checkpoint that makes it.
func TestAppendsGoOnWhileACheckpointMakesRoom(t *testing.T) {
	t.Parallel()
	options := simOptions(vfstest.NewMem(), rand.New(rand.NewPCG(1, 2)))
	options.inline, options.eager, options.syncAllFrom = false, false, 1
	options.TailBytes, options.flushBytes = 8<<10, 1<<20
	options.JournalFileBytes = 1 << 20
	e, err := Open("sim", options)
	require.NoError(t, err)
	appended := make(chan struct{})
	first := sync.OnceFunc(func() {
		select {
		case <-appended:
		case <-time.After(10 * time.Second):
			t.Error("the appends wait for the end of the checkpoint")
		}
	})
	e.watch = &watchEach{Watch: e.watch, before: first}
	// More than may be held, so that the last ones need a checkpoint.
	for range 8 {
		appendTo(t, e, strings.Repeat("x", 1000))
	}
	close(appended)
	require.NoError(t, e.Close())
}

// A watchEach does something before each sync of all files.
type watchEach struct {
	vfs.Watch
	before func()
}

func (w *watchEach) Sync() error {
	w.before()
	return w.Watch.Sync()
}

package log

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// A clocked is an engine in memory whose time stands still unless it is moved,
// and whose retention is applied when the test says so.
type clocked struct {
	*Engine
	t   *testing.T
	fs  *vfstest.Mem
	now time.Time
}

func openClocked(t *testing.T, change ...func(*Options)) *clocked {
	c := &clocked{t: t, fs: vfstest.NewMem(), now: time.Unix(1_700_000_000, 0)}
	options := simOptions(c.fs, rand.New(rand.NewPCG(1, 2)))
	options.Now = func() time.Time { return c.now }
	for _, f := range change {
		f(&options)
	}
	var err error
	c.Engine, err = Open("mem", options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (c *clocked) put(name string, r commitlog.Retention) *Log {
	c.t.Helper()
	_, _, err := c.Put(context.Background(), name, commitlog.Change{Retention: &r})
	require.NoError(c.t, err)
	return c.named(name)
}

func (c *clocked) append(l *Log, size, n int) {
	c.t.Helper()
	for range n {
		_, err := l.Append(context.Background(), oneBatch(strings.Repeat("r", size)))
		require.NoError(c.t, err)
	}
}

func (c *clocked) files(l *Log) (n int) {
	c.t.Helper()
	for _, name := range segmentNames(c.t, c.fs) {
		if strings.HasPrefix(name, fmt.Sprintf("%016x-", l.number)) {
			n++
		}
	}
	return n
}

// Retention by age moves the first offset exactly to the first record that is
// young enough, also in a log that is quiet, and gives the files back; what it
// removes, it removes once.
func TestRetentionByAge(t *testing.T) {
	c := openClocked(t)
	l := c.put("", commitlog.Retention{MaxAge: time.Hour})
	for range 6 {
		c.append(l, 1500, 4)
		c.now = c.now.Add(15 * time.Minute)
	}
	before := c.files(l)
	require.NoError(t, c.applyRetention())
	assert.Equal(t, commitlog.Bounds{First: 8, Next: 24}, l.Bounds(), "the records of the last hour")
	assert.Less(t, c.files(l), before)
	_, err := l.Read(context.Background(), 7, commitlog.ReadLimit{}, nil)
	var gone *commitlog.OffsetError
	require.ErrorAs(t, err, &gone)
	assert.True(t, gone.Trimmed())

	c.now = c.now.Add(24 * time.Hour) // nobody writes
	require.NoError(t, c.applyRetention())
	assert.Equal(t, commitlog.Bounds{First: 24, Next: 24}, l.Bounds())
	assert.Zero(t, c.files(l), "the idle active segment goes too")
	info, err := l.Info(context.Background())
	require.NoError(t, err)
	assert.Zero(t, info.Bytes)
	assert.False(t, info.LastTime.IsZero(), "an empty log knows when it was last written to")
	c.append(l, 10, 1)
	assert.Equal(t, uint64(25), l.Bounds().Next)
	require.NoError(t, c.Close())
	after := openMem(t, c.fs).named("")
	assert.Equal(t, commitlog.Bounds{First: 24, Next: 25}, after.Bounds())
	assert.Equal(t, time.Hour, time.Duration(after.view.Load().maxAge))
}

// A record that comes late does not keep the old ones of its segment: the
// segment is sealed once it is older than what is kept.
func TestRetentionByAgeRollsAQuietSegment(t *testing.T) {
	c := openClocked(t)
	l := c.put("", commitlog.Retention{MaxAge: time.Hour})
	c.append(l, 10, 1)
	c.now = c.now.Add(2 * time.Hour)
	c.append(l, 10, 1)
	require.NoError(t, c.checkpoint())
	require.Equal(t, 2, c.files(l))
	require.NoError(t, c.applyRetention())
	assert.Equal(t, commitlog.Bounds{First: 1, Next: 2}, l.Bounds())
	assert.Equal(t, 1, c.files(l))
}

// Retention by bytes keeps the latest records, never more than it may.
func TestRetentionByBytes(t *testing.T) {
	c := openClocked(t)
	l := c.put("", commitlog.Retention{MaxBytes: 20_000})
	c.append(l, 1000, 60)
	require.NoError(t, c.applyRetention())
	b := l.Bounds()
	assert.Equal(t, uint64(60), b.Next)
	kept := int(b.Next - b.First)
	assert.LessOrEqual(t, kept*1000, 20_000)
	assert.GreaterOrEqual(t, kept*1100, 20_000-2*4096, "and not much less")
	require.NoError(t, c.applyRetention())
	assert.Equal(t, b, l.Bounds(), "what is kept stays")
}

// Readers in the middle of what is removed get right bytes or the new first
// offset, whatever files are closed or gone.
func TestReadersCrossATrim(t *testing.T) {
	e, err := Open(t.TempDir(), Options{SegmentBytes: 4096, OpenFiles: 1, IndexCacheBytes: 1})
	require.NoError(t, err)
	defer e.Close()
	ctx := context.Background()
	l := e.named("")
	const records = 4000
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for at := uint64(0); at < records; {
				if _, err := l.Wait(ctx, at); !assert.NoError(t, err) {
					return
				}
				run, err := l.Read(ctx, at, commitlog.ReadLimit{Records: 7}, nil)
				if gone := (*commitlog.OffsetError)(nil); errors.As(err, &gone) && gone.Trimmed() {
					at = gone.Bounds.First
					continue
				}
				if !assert.NoError(t, err) {
					return
				}
				for rec, err := range run.All() {
					if !assert.NoError(t, err) || !assert.Equal(t, fmt.Sprint("record ", rec.Offset), string(rec.Value)) {
						return
					}
				}
				at = run.Next
			}
		})
	}
	for i := range uint64(records) {
		_, err := l.Append(ctx, oneBatch(fmt.Sprint("record ", i)))
		require.NoError(t, err)
		if i%50 == 49 {
			_, err := l.Trim(ctx, i-20)
			require.NoError(t, err)
		}
	}
	wg.Wait()
}

// Deleting a log gives its files back, now or, after a crash, at the next start.
func TestDeletedFilesAreRemoved(t *testing.T) {
	c := openClocked(t)
	ctx := context.Background()
	l := c.put("doomed", commitlog.Retention{})
	c.append(l, 2000, 20)
	other := c.put("kept", commitlog.Retention{})
	c.append(other, 2000, 20)
	require.NoError(t, c.checkpoint())

	var crashed *vfstest.Mem
	c.fs.SetHook(func(op vfstest.Op) error {
		if crashed == nil && op.Kind == vfstest.OpRemove {
			crashed = c.fs.CrashKeepNone()
		}
		return nil
	})
	require.NoError(t, c.Delete(ctx, "doomed"))
	c.fs.SetHook(nil)
	assert.Zero(t, c.files(l))
	assert.NotZero(t, c.files(other))

	require.NotNil(t, crashed, "the delete was durable before the first file went")
	after := openMem(t, crashed)
	assert.Nil(t, after.named("doomed"))
	for _, name := range segmentNames(t, crashed) {
		assert.False(t, strings.HasPrefix(name, fmt.Sprintf("%016x-", l.number)), name)
	}
	assert.Equal(t, uint64(20), after.named("kept").Bounds().Next)
	_, err := crashed.Size(path.Join(segmentsDir, segmentNames(t, crashed)[0]))
	require.NoError(t, err)

	made, created, err := after.Put(ctx, "doomed", commitlog.Change{})
	require.NoError(t, err)
	assert.True(t, created)
	assert.Equal(t, commitlog.Bounds{First: 20, Next: 20}, made.Bounds(), "no offset is given twice")
	assert.NotEqual(t, l.ID(), made.ID())
}

// Deleted logs whose name was taken over are forgotten, so that a name that
// comes and goes does not grow the table.
func TestSupersededGravesAreForgotten(t *testing.T) {
	c := openClocked(t)
	ctx := context.Background()
	for i := range 20 {
		l := c.put("phoenix", commitlog.Retention{})
		c.append(l, 10, 1)
		require.Equal(t, uint64(i+1), l.Bounds().Next)
		require.NoError(t, c.Delete(ctx, "phoenix"))
	}
	c.put("phoenix", commitlog.Retention{})
	require.NoError(t, c.checkpoint())
	require.Len(t, c.logs, 2)
	require.NoError(t, c.Close())
	assert.Equal(t, uint64(20), openMem(t, c.fs).named("phoenix").Bounds().First)
}

// The files of a log with a bound on its bytes are small enough for space to come
// back near that bound, and what is told of its bytes stays near it.
func TestRetentionByBytesGivesSpaceBack(t *testing.T) {
	c := openClocked(t, func(o *Options) { o.SegmentBytes = 1 << 20 })
	l := c.put("", commitlog.Retention{MaxBytes: 64 << 10})
	for range 20 {
		c.append(l, 1000, 20)
		require.NoError(t, c.applyRetention())
	}
	info, err := l.Info(context.Background())
	require.NoError(t, err)
	assert.LessOrEqual(t, info.Bytes, uint64(64<<10+2*minSegmentBytes))
}

// A data directory that is removed under a running engine takes no more appends:
// they would be gone with the process.
func TestRemovedDirectoryEndsAppends(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	e, err := Open(dir, Options{})
	require.NoError(t, err)
	appendTo(t, e, "one")
	require.NoError(t, os.RemoveAll(dir))
	e.committer.commitMu.Lock()
	e.committer.space.asked = time.Time{} // as if half a second had passed
	e.committer.commitMu.Unlock()
	_, err = e.named("").Append(context.Background(), oneBatch("two"))
	require.ErrorIs(t, err, commitlog.ErrStorageFailed)
	require.NotErrorIs(t, err, commitlog.ErrOutcomeUnknown)
	_ = e.Close()
}

package log

import (
	"context"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// Until the write of its group has returned, a record is in no bounds, cannot be
// read, and wakes nobody who follows the log.
func TestReadersSeeOnlyWhatIsDurable(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	l := e.named("")
	appendTo(t, e, "one")
	ctx := context.Background()
	for n := uint64(1); n <= 40; n++ {
		ready := l.waker()
		looked := 0
		fs.SetHook(func(op vfstest.Op) error {
			if op.Kind != vfstest.OpWriteAt || path.Dir(op.Name) != journalDir || op.Off == 0 {
				return nil
			}
			looked++
			assert.Equal(t, n, l.Bounds().Next)
			_, err := l.Read(ctx, n, commitlog.ReadLimit{}, nil)
			var beyond *commitlog.OffsetError
			assert.ErrorAs(t, err, &beyond)
			select {
			case <-ready:
				assert.Fail(t, "followers are woken before the group is durable")
			default:
			}
			return nil
		})
		appendTo(t, e, strings.Repeat("n", int(n)*50))
		fs.SetHook(nil)
		require.Positive(t, looked, "the journal is written")
		require.False(t, t.Failed())
		<-ready
		require.Equal(t, n+1, l.Bounds().Next)
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

// What the journal holds has still to go to segments: the space for that is
// nobody else's. With less than it and the floor, appends are refused.
func TestSpaceForTheJournalIsKeptFree(t *testing.T) {
	const capacity = 1 << 30
	fs := vfstest.NewMem()
	options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	options.FreeBytes = 1 << 10
	now := time.Unix(1_700_000_000, 0)
	options.Now = func() time.Time { return now }
	e, err := Open("mem", options)
	require.NoError(t, err)
	defer e.Close()
	for range 10 {
		appendTo(t, e, strings.Repeat("j", 3000))
	}
	fs.SetCapacity(capacity)
	free, err := fs.Free()
	require.NoError(t, err)
	used := capacity - int64(free)
	live := e.committer.journal.Live()
	require.Greater(t, live, int64(30_000))
	floor := used + options.FreeBytes + live
	for _, c := range []struct {
		name     string
		capacity int64
		full     bool
	}{
		{"the floor alone is free", used + options.FreeBytes, true},
		{"a byte is missing", floor - 1, true},
		{"there is just room", floor, false},
	} {
		fs.SetCapacity(c.capacity)
		now = now.Add(time.Second)
		_, err := e.named("").Append(context.Background(), oneBatch("."))
		if c.full {
			require.ErrorIs(t, err, commitlog.ErrStorageFull, c.name)
		} else {
			require.NoError(t, err, c.name)
		}
	}
}

// Whatever offset a log is trimmed to, at and beside the edges of its segments,
// every record from there on is kept, and none before, now and after a restart.
func TestTrimKeepsEveryRecordAtTheEdges(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	var want []string
	for i := range 24 {
		want = append(want, strings.Repeat(string(rune('a'+i)), 1500))
		appendTo(t, e, want[i])
	}
	require.Greater(t, len(segmentNames(t, fs)), 3)
	require.NoError(t, e.Close())
	for first := range len(want) + 1 {
		state := fs.CrashKeepNone()
		e := openMem(t, state)
		_, err := e.named("").Trim(context.Background(), uint64(first))
		require.NoError(t, err)
		for _, when := range []string{"now", "after a restart"} {
			require.Equal(t, append([]string{}, want[first:]...), append([]string{}, readable(t, e)...), "trimmed to %d, %s", first, when)
			require.NoError(t, e.Close())
			e = openMem(t, state)
		}
		require.NoError(t, e.Close())
	}
}

package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// On a disk that is full to the last byte a start serves all that was acked,
// trims can make room after a clean stop, and appends go on by themselves once
// there is some.
//
// Method: a workload is stopped at every one of its appends, by Close or by a
// kill, which leaves the page cache, and the disk is filled up before the next
// start; in every third case twice, so that the reserve was spent before.
func TestStartOnAFullDisk(t *testing.T) {
	t.Parallel()
	const appends = 120
	refused := 0
	for _, clean := range []bool{true, false} {
		for n := 1; n <= appends; n++ {
			t.Run(fmt.Sprintf("clean %v, after %d appends", clean, n), func(t *testing.T) {
				fs := vfstest.NewMem()
				e := openMem(t, fs)
				want := fill(t, e, n)
				if clean {
					require.NoError(t, e.Close())
				}
				for range 1 + n%3/2 {
					fs = fs.CrashKeepAll()
					fillUp(t, fs)
					e = openMem(t, fs)
					require.Equal(t, want, readable(t, e))
				}
				_, err := e.named("").Append(context.Background(), oneBatch("no room"))
				require.ErrorIs(t, err, commitlog.ErrStorageFull)
				_, err = e.named("").Trim(context.Background(), uint64(n/2))
				if !clean && errors.Is(err, commitlog.ErrStorageFull) {
					refused++ // what the journal holds does not fit the segments
				} else {
					require.NoError(t, err)
					want = want[n/2:]
				}
				require.Equal(t, want, readable(t, e))

				fs.SetCapacity(math.MaxInt64 / 2)
				e.committer.space.asked = e.committer.space.asked.Add(-spaceEvery)
				appendTo(t, e, "room")
				require.Equal(t, append(want, "room"), readable(t, e))
				require.NoError(t, e.Close())
			})
		}
	}
	require.NotZero(t, refused, "some starts had no room for what the journal held")
}

// A start on a full disk does well without what was trimmed since the last
// checkpoint: it needs no space for a segment whose file went with the trim, and what it
// read back of such segments counts no more as memory of tails. Otherwise appends would
// wait for ever.
//
// Method: a workload with a checkpoint somewhere is trimmed somewhere, and killed, at
// every one of its appends; in every second case it is started on the full disk twice.
func TestStartOnAFullDiskAfterTrims(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 90; n++ {
		t.Run(fmt.Sprintf("after %d appends", n), func(t *testing.T) {
			fs := vfstest.NewMem()
			e := openMem(t, fs)
			want := fill(t, e, n/3)
			require.NoError(t, e.checkpoint())
			want = append(want, fill(t, e, n-n/3)...)
			trimmed := n - n%4
			_, err := e.named("").Trim(context.Background(), uint64(trimmed))
			require.NoError(t, err)
			want = append([]string(nil), want[trimmed:]...)
			for range 1 + n%2 {
				fs = fs.CrashKeepAll()
				fillUp(t, fs)
				e = openMem(t, fs)
				require.Equal(t, want, readable(t, e))
			}
			fs.SetCapacity(math.MaxInt64 / 2)
			require.NoError(t, e.checkpoint())
			require.Zero(t, e.segments.Buffered(), "bytes of tails that no segment has")
			require.Zero(t, e.segments.Pinned(), "open files that no segment has")
			e.committer.space.asked = e.committer.space.asked.Add(-spaceEvery)
			appendTo(t, e, "room")
			require.Equal(t, append(want, "room"), readable(t, e))
			require.NoError(t, e.Close())
		})
	}
}

// A close on a disk that is full to the last byte is no failure, though it has no
// room for its checkpoint: all that was acked is there at the next start.
func TestCloseOnAFullDisk(t *testing.T) {
	t.Parallel()
	unwritten := 0
	for n := 1; n <= 60; n++ {
		t.Run(fmt.Sprintf("after %d appends", n), func(t *testing.T) {
			fs := vfstest.NewMem()
			e := openMem(t, fs)
			want := fill(t, e, n)
			fillUp(t, fs)
			var said bytes.Buffer
			e.options.Logger = slog.New(slog.NewTextHandler(&said, nil))
			require.NoError(t, e.Close())
			if strings.Contains(said.String(), "no room for the last checkpoint") {
				unwritten++
			}
			e = openMem(t, fs)
			require.Equal(t, want, readable(t, e))
			fs.SetCapacity(math.MaxInt64 / 2)
			require.NoError(t, e.Close())
		})
	}
	require.NotZero(t, unwritten, "some had no room for their checkpoint")
}

// A disk is not full of what the journal holds and the segments have too: when it
// would be, a checkpoint is asked for, and appends go on behind it though nobody
// made room; and a start is not told of more than what is not in segments.
func TestTheJournalAloneDoesNotFillADisk(t *testing.T) {
	t.Parallel()
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	fill(t, e, 60)
	pending := e.committer.journal.Pending()
	require.Greater(t, pending, int64(16<<10))
	require.NoError(t, e.persist(e.dirty.take())) // as when it goes there piece by piece
	room := e.options.FreeBytes + pending/2
	fs.SetCapacity(math.MaxInt64/2 - freeOf(t, fs, math.MaxInt64/2) + room)
	for len(e.wanted) > 0 {
		<-e.wanted
	}
	ask := func() { e.committer.space.asked = e.committer.space.asked.Add(-spaceEvery) }
	ask()
	_, err := e.named("").Append(context.Background(), oneBatch("no room"))
	require.ErrorIs(t, err, commitlog.ErrStorageFull)
	require.NotEmpty(t, e.wanted, "a checkpoint is asked for")
	require.NoError(t, e.checkpoint())
	require.Zero(t, e.committer.journal.Pending())
	ask()
	appendTo(t, e, "goes on")
	require.NoError(t, e.Close())

	e = openMem(t, fs.CrashKeepAll())
	require.LessOrEqual(t, e.committer.journal.Pending(), int64(8<<10), "a clean start has nothing to write")
	appendTo(t, e, "and on")
}

// freeOf returns what is free on a disk of that capacity.
func freeOf(t *testing.T, fs *vfstest.Mem, capacity int64) int64 {
	t.Helper()
	fs.SetCapacity(capacity)
	free, err := fs.Free()
	require.NoError(t, err)
	return int64(free)
}

func fill(t *testing.T, e *Engine, n int) (values []string) {
	t.Helper()
	for i := range n {
		values = append(values, fmt.Sprintf("%d %s", i, strings.Repeat("x", i*97%3000)))
		appendTo(t, e, values[i])
	}
	return values
}

func fillUp(t *testing.T, fs *vfstest.Mem) {
	t.Helper()
	fs.SetCapacity(math.MaxInt64 / 2)
	free, err := fs.Free()
	require.NoError(t, err)
	fs.SetCapacity(math.MaxInt64/2 - int64(free))
	free, err = fs.Free()
	require.NoError(t, err)
	require.Zero(t, free)
}

// The checkpoints of a long time on a full disk need the reserve, get it, and
// leave one behind.
func TestReserveOutlastsAFullDisk(t *testing.T) {
	t.Parallel()
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	want := fill(t, e, 60)
	require.NoError(t, e.checkpoint())
	fillUp(t, fs)
	for i := range 20 {
		_, err := e.named("").Trim(context.Background(), uint64(i))
		require.NoError(t, err)
		require.NoError(t, e.checkpoint(), "checkpoint %d", i)
	}
	assert.Equal(t, want[19:], readable(t, e))
	size, err := fs.Size(reserveName)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, size, e.options.ReserveBytes)
	require.NoError(t, e.Close())
}

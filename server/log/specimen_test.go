package log

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// A specimen is a data directory to be damaged, and what it holds.
type specimen struct {
	name  string
	lazy  bool // segments were written behind the journal
	fs    *vfstest.Mem
	files map[string][]byte
	stale []map[string][]byte // what the files held at earlier times
	logs  map[string]specimenLog

	owner  map[string]string // the log of a segment's files
	frames map[string][]frameSpan
}

// A specimenLog is what readers may expect of a log.
type specimenLog struct {
	first, next uint64
	proven      uint64 // below it, nothing may be missing without a word
	sealed      bool
}

// specimenOptions are as small as a directory can be.
func specimenOptions(fs *vfstest.Mem) Options {
	o := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	o.Limits = commitlog.Limits{ValueBytes: 600, Headers: 2, HeaderBytes: 32, BatchRecords: 4, BatchBytes: 1200, ProducerID: 8}
	// Over a block, so that a segment goes on behind a checkpoint.
	o.ReserveBytes, o.SegmentBytes, o.GroupBytes, o.JournalFileBytes, o.JournalFiles = 512, 5000, 1200, 24<<10, 3
	return o
}

// valueAt is the value of every record of a specimen: it tells its log and
// offset, so that none can be taken for another.
func valueAt(name string, offset uint64) []byte {
	text := fmt.Sprintf("%s@%d;", name, offset)
	return []byte(strings.Repeat(text, 1+int(offset*37%97)/4))
}

// specimens builds the directories: logs of several segments, one trimmed, one
// sealed, one deleted, one with a producer; stopped, killed with all proven, and
// killed with the last group not yet proven. They have their segments behind the
// journal, as a server has them; one is also made with each group in its segment
// before the ack. Every bit of all four takes half an hour of two processors.
func specimens(t testing.TB) []*specimen {
	t.Helper()
	behind, before := specimensOf(t, false), specimensOf(t, true)
	return []*specimen{behind[0], before[1], behind[2], behind[3]}
}

func specimensOf(t testing.TB, eager bool) []*specimen {
	t.Helper()
	ctx := context.Background()
	fs := vfstest.NewMem()
	options := specimenOptions(fs)
	options.eager = eager
	e, err := Open("mem", options)
	require.NoError(t, err)
	var stale []map[string][]byte
	next := map[string]uint64{}
	sequence := uint64(0)
	add := func(name string, records int) {
		b := commitlog.Batch{}
		for range records {
			r := commitlog.Record{Value: valueAt(name, next[name])}
			if next[name]%3 == 1 {
				r.Headers = []commitlog.Header{{Name: "n", Value: []byte(strconv.FormatUint(next[name], 10))}}
			}
			b.Records = append(b.Records, r)
			next[name]++
		}
		if name == "producer" {
			b.Producer = &commitlog.Producer{ID: "p", Epoch: 1, Sequence: sequence}
			sequence++
		}
		l, _, err := e.Put(ctx, name, commitlog.Change{})
		require.NoError(t, err)
		_, err = l.Append(ctx, b)
		require.NoError(t, err)
	}
	names := []string{"", "producer", "trimmed", "sealed", "gone"}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 60 {
		add(names[rng.IntN(len(names))], 1+rng.IntN(2))
		if i%20 == 19 {
			require.NoError(t, e.checkpoint())
			stale = append(stale, contents(t, fs))
		}
	}
	_, err = e.named("trimmed").Trim(ctx, next["trimmed"]/2)
	require.NoError(t, err)
	require.NoError(t, e.Delete(ctx, "gone"))
	yes := true
	_, _, err = e.Put(ctx, "sealed", commitlog.Change{Sealed: &yes})
	require.NoError(t, err)
	_, _, err = e.Put(ctx, "producer", commitlog.Change{Retention: &commitlog.Retention{MaxBytes: 1 << 30}})
	require.NoError(t, err)
	for range 6 {
		add("", 2)
		add("producer", 1)
	}
	specimenOf := func(name string, state *vfstest.Mem, proven bool) *specimen {
		s := &specimen{name: name, fs: state, stale: stale, logs: map[string]specimenLog{}}
		if state != nil {
			s.files = contents(t, state)
		}
		for _, n := range []string{"", "producer", "trimmed", "sealed"} {
			b := e.named(n).Bounds()
			l := specimenLog{first: b.First, next: b.Next, proven: b.Next, sealed: n == "sealed"}
			if n == "producer" && !proven {
				l.proven--
			}
			s.logs[n] = l
		}
		return s
	}
	powerCut := func() *vfstest.Mem { return withIndexes(t, fs.CrashKeepNone(), contents(t, fs)) }
	list := []*specimen{specimenOf("power cut before the idle seal", powerCut(), false)}
	require.NoError(t, e.committer.journal.Seal(&e.committer.group))
	list = append(list, specimenOf("power cut", powerCut(), true))
	require.NoError(t, e.checkpoint())
	add("", 2)
	add("producer", 1)
	require.NoError(t, e.committer.journal.Seal(&e.committer.group))
	killed := powerCut()
	for name, b := range contents(t, fs) { // what was not synced is there as well
		setFile(t, killed, name, b)
	}
	list = append(list, specimenOf("killed behind a checkpoint", killed, true))
	stopped := specimenOf("stopped", nil, true)
	require.NoError(t, e.Close())
	stopped.fs = powerCut()
	stopped.files = contents(t, stopped.fs)
	list = append(list, stopped)
	for _, s := range list {
		if s.lazy = !eager; s.lazy {
			s.name += ", segments behind"
		}
		delete(s.files, reserveName) // noise, whose damage is nothing
		s.findFrames(t)
	}
	return list
}

// withIndexes adds the index files, which nobody syncs, but which reach the disk
// sooner or later.
func withIndexes(t testing.TB, state *vfstest.Mem, now map[string][]byte) *vfstest.Mem {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if strings.HasSuffix(name, ".idx") {
			setFile(t, state, name, now[name])
		}
	}
	return state
}

// contents reads all files of a directory, but for the lock.
func contents(t testing.TB, fs *vfstest.Mem) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, dir := range []string{".", journalDir, segmentsDir} {
		names, err := fs.ReadDir(dir)
		require.NoError(t, err)
		for _, n := range names {
			name := path.Join(dir, n)
			if name == journalDir || name == segmentsDir || name == lockName {
				continue
			}
			files[name] = fileBytes(t, fs, name)
		}
	}
	return files
}

func fileBytes(t testing.TB, fs *vfstest.Mem, name string) []byte {
	t.Helper()
	f, err := fs.Open(name, vfs.Buffered)
	require.NoError(t, err)
	defer f.Close()
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	if _, err = f.ReadAt(b, 0); size > 0 {
		require.NoError(t, err)
	}
	return b
}

// setFile gives a file another content, durably; nil removes it.
func setFile(t testing.TB, fs *vfstest.Mem, name string, b []byte) {
	t.Helper()
	if b == nil {
		require.NoError(t, fs.Remove(name))
		require.NoError(t, fs.SyncDir(path.Dir(name)))
		return
	}
	f, err := fs.Open(name, vfs.Buffered)
	if errors.Is(err, iofs.ErrNotExist) {
		f, err = fs.Create(name, vfs.Buffered)
		require.NoError(t, fs.SyncDir(path.Dir(name)))
	}
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Truncate(int64(len(b))))
	if len(b) > 0 {
		_, err = f.WriteAt(b, 0)
		require.NoError(t, err)
	}
	require.NoError(t, f.Sync())
}

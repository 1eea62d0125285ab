package log

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"path"
	"strings"
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

func openMem(t *testing.T, fs *vfstest.Mem) *Engine {
	t.Helper()
	e, err := tryOpenMem(fs)
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close() }) // a test that poisons it expects its error
	return e
}

func tryOpenMem(fs *vfstest.Mem) (*Engine, error) {
	options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	options.syncAllFrom = 1000 // a file has a sync of its own
	return Open("mem", options)
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
		require.Greater(t, run.Next, at, "a read gets on")
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

// How long a test waits for what comes by itself, and how often it looks.
const (
	waitAtMost = 20 * time.Second
	waitStep   = 20 * time.Millisecond
)

func assertRefused(t *testing.T, fs *vfstest.Mem) {
	t.Helper()
	_, err := tryOpenMem(fs)
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt)
	assert.NotEmpty(t, verified(t, fs).Problems)
}

func overwrite(t testing.TB, fs *vfstest.Mem, name string, pos int64, b []byte) {
	t.Helper()
	f, err := fs.Open(name, vfs.Buffered)
	require.NoError(t, err)
	_, err = f.WriteAt(b, pos)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

func readBlock(t *testing.T, fs *vfstest.Mem, name string, pos int64) []byte {
	t.Helper()
	return readBytes(t, fs, name, pos, 4096)
}

func readBytes(t *testing.T, fs *vfstest.Mem, name string, pos, n int64) []byte {
	t.Helper()
	f, err := fs.Open(name, vfs.Buffered)
	require.NoError(t, err)
	b := make([]byte, n)
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
	le.PutUint32(group[16:], frame.UpdateHeader(0, f))
	le.PutUint32(group[4:], frame.Checksum(group[8:journal.GroupHeaderSize]))
}

// content returns a file as programs see it.
func content(t *testing.T, fs *vfstest.Mem, name string) []byte {
	t.Helper()
	size, err := fs.Size(name)
	require.NoError(t, err)
	f, err := fs.Open(name, vfs.Buffered)
	require.NoError(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return b
}

package log

import (
	"context"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

func verified(t *testing.T, fs *vfstest.Mem) *Report {
	t.Helper()
	r, err := Verify(context.Background(), "mem", VerifyOptions{FS: fs})
	require.NoError(t, err)
	return r
}

// filled returns a directory with sealed and active segments and a journal that
// still has work for the next start.
func filled(t *testing.T) (fs *vfstest.Mem, records int) {
	fs = vfstest.NewMem()
	e := openMem(t, fs)
	for i := range 40 {
		appendTo(t, e, strings.Repeat(string(rune('a'+i%26)), 900))
	}
	require.NoError(t, e.checkpoint())
	appendTo(t, e, "behind", "the", "checkpoint")
	return fs.CrashKeepAll(), 43
}

// Verify finds nothing wrong after a clean stop or a crash, and changes nothing.
func TestVerifyOfWhatIsWhole(t *testing.T) {
	fs, records := filled(t)
	before, err := fs.ReadDir(segmentsDir)
	require.NoError(t, err)
	r := verified(t, fs)
	assert.Empty(t, r.Problems)
	assert.Empty(t, r.Notes)
	assert.Equal(t, uint64(records), r.Records)
	assert.Positive(t, r.Journal)
	after, err := fs.ReadDir(segmentsDir)
	require.NoError(t, err)
	assert.Equal(t, before, after)

	e := openMem(t, fs)
	_, err = Verify(context.Background(), "mem", VerifyOptions{FS: fs})
	require.ErrorContains(t, err, "stop the server first")
	require.NoError(t, e.Close())
	r = verified(t, fs)
	assert.Empty(t, r.Problems)
	assert.Zero(t, r.Journal, "a clean stop leaves the journal empty")
	assert.Equal(t, uint64(records), r.Records)
}

// Verify sees every flipped bit of a segment's frames and of the journal behind
// the checkpoint, and names the records that it costs.
func TestVerifyFindsEveryFlippedByte(t *testing.T) {
	fs, _ := filled(t)
	for _, name := range segmentNames(t, fs) {
		file := path.Join(segmentsDir, name)
		whole := readable(t, openMem(t, fs.CrashKeepAll()))
		size, err := fs.Size(file)
		require.NoError(t, err)
		for pos := int64(0); pos < size; pos += 31 {
			state := fs.CrashKeepAll()
			flip(t, state, file, pos)
			r := verified(t, state)
			if len(r.Problems) > 0 {
				require.Len(t, r.Problems, 1, "%s at %d", name, pos)
				require.Equal(t, uint64(1), r.Problems[0].Next-r.Problems[0].First, "one record a frame here")
				continue
			}
			if len(r.Notes) > 0 && pos >= 128 {
				require.Contains(t, r.Notes[0], "are not zeros", "only damage of the header and between frames costs nothing")
			}
			require.Equal(t, whole, readable(t, openMem(t, state)), "%s at %d: it must be behind the checkpoint", name, pos)
		}
	}
}

// Verify tells what keeps a directory from opening, and what is no data
// directory at all.
func TestVerifyOfDamagedTables(t *testing.T) {
	for _, name := range []string{identityName, checkpointName} {
		fs, _ := filled(t)
		flip(t, fs, name, 20)
		r := verified(t, fs)
		require.Len(t, r.Problems, 1)
		assert.Equal(t, name, r.Problems[0].File)
	}
	fs, _ := filled(t)
	f, err := fs.Create(segmentsDir+"/holiday.jpg", vfs.Buffered)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	r := verified(t, fs)
	require.Len(t, r.Notes, 1)
	assert.Contains(t, r.Notes[0], "holiday.jpg")

	_, err = Verify(context.Background(), "mem", VerifyOptions{FS: vfstest.NewMem()})
	require.ErrorIs(t, err, ErrNotDataDir)
}

// A trim behind the last checkpoint removes segments that the checkpoint still
// lists. That is no damage.
func TestVerifyAfterATrimBehindTheCheckpoint(t *testing.T) {
	fs, records := filled(t)
	e := openMem(t, fs)
	_, err := e.named("").Trim(context.Background(), uint64(records-2))
	require.NoError(t, err)
	require.NoError(t, fs.SyncDir(segmentsDir))
	r := verified(t, fs.CrashKeepNone())
	assert.Empty(t, r.Problems)
	assert.Empty(t, r.Notes)
	assert.Equal(t, uint64(2), r.Records)
}

// Bytes between two frames hold nothing, so their damage costs nothing, and
// verify notes it.
func TestFlippedBitBetweenFramesCostsNothing(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one")
	require.NoError(t, e.checkpoint())
	appendTo(t, e, "two")
	require.NoError(t, e.Close())
	flip(t, fs, path.Join(segmentsDir, segmentNames(t, fs)[0]), 4000)
	r := verified(t, fs)
	assert.Empty(t, r.Problems)
	require.Len(t, r.Notes, 1)
	assert.Contains(t, r.Notes[0], "the bytes before the frame of offset 1 are not zeros")
	assert.Equal(t, []string{"one", "two"}, readable(t, openMem(t, fs)))
}

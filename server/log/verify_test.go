package log

import (
	"bytes"
	"context"
	"log/slog"
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

// Verify sees a flipped bit of a segment's frames, and names the records that it
// costs. Every 31st byte is tried, from another one on each time; the damage battery,
// in its long runs, flips every bit and asks verify about a share of them.
func TestVerifyFindsFlippedBits(t *testing.T) {
	fs, _ := filled(t)
	const step = 31
	from := time.Now().UnixNano() % step
	for _, name := range segmentNames(t, fs) {
		file := path.Join(segmentsDir, name)
		whole := readable(t, openMem(t, fs.CrashKeepAll()))
		size, err := fs.Size(file)
		require.NoError(t, err)
		for pos := from; pos < size; pos += step {
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

// Goal: what verify says that it read is at most what the files hold, though a
// segment is gone or cut off, and lost records are not counted as being there.
func TestVerifyCountsWhatIsThere(t *testing.T) {
	fs, records := filled(t)
	name := path.Join(segmentsDir, segmentNames(t, fs)[0])
	for text, damage := range map[string]func(*vfstest.Mem){
		"gone": func(fs *vfstest.Mem) { setFile(t, fs, name, nil) },
		"cut":  func(fs *vfstest.Mem) { setFile(t, fs, name, fileBytes(t, fs, name)[:5000]) },
	} {
		t.Run(text, func(t *testing.T) {
			state := fs.CrashKeepAll()
			damage(state)
			held := int64(0)
			for _, b := range contents(t, state) {
				held += int64(len(b))
			}
			r := verified(t, state)
			lost := uint64(0)
			for _, p := range r.Problems {
				lost += p.Next - p.First
			}
			require.Positive(t, lost)
			if text == "gone" {
				assert.Equal(t, "the file is missing", r.Problems[0].Text)
			}
			assert.LessOrEqual(t, r.Bytes, held)
			assert.Equal(t, uint64(records)-lost, r.Records)
		})
	}
}

// Goal: whoever is refused learns which records are at stake: file, position, and of
// each log the offset up to which the journal still tells of it.
func TestRefusalNamesTheRecordsAtStake(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	_, _, err := e.Put(t.Context(), "other", commitlog.Change{})
	require.NoError(t, err)
	appendTo(t, e, "one", "two")
	_, err = e.named("other").Append(t.Context(), oneBatch("a", "b", "c"))
	require.NoError(t, err)
	name, pos := activeJournal(e)
	appendTo(t, e, "damaged", "behind it")
	require.NoError(t, e.committer.journal.Seal(&e.committer.group))
	state := fs.CrashKeepNone()
	flip(t, state, name, pos+100)
	want := []Stake{{Log: "", From: 2}, {Log: "other", From: 3}}
	_, err = tryOpenMem(state)
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt)
	assert.Equal(t, name, corrupt.File)
	assert.Equal(t, pos, corrupt.Position)
	assert.Equal(t, want, corrupt.Stakes)
	assert.ErrorContains(t, err, `of the default log from offset 2 on, of log "other" from offset 3 on`)
	r := verified(t, state)
	require.Len(t, r.Problems, 1)
	assert.Equal(t, name, r.Problems[0].File)
	assert.Equal(t, pos, r.Problems[0].Position)
	assert.Equal(t, want, r.Problems[0].Stakes)
}

// Goal: a copied directory that is refused is not said to have new ids first.
func TestRefusedCopyDoesNotWarnOfNewIDs(t *testing.T) {
	fs, last, _ := twoJournalFiles(t)
	flip(t, fs, last, 4096+70)
	setFile(t, fs, checkpointName+"2", fileBytes(t, fs, checkpointName))
	require.NoError(t, fs.Rename(checkpointName+"2", checkpointName)) // another file with what it held
	require.NoError(t, fs.SyncDir("."))
	var said bytes.Buffer
	options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	options.Logger = slog.New(slog.NewTextHandler(&said, nil))
	_, err := Open("mem", options)
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt)
	assert.Empty(t, said.String())
}

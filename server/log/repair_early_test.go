package log

import (
	"path"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// Goal: a segment that is gone, or damaged, costs nothing while the journal's files
// still have its records, though a checkpoint has freed them; after a clean stop
// and after a kill.
func TestRepairTakesFromTheJournalWhatACheckpointFreed(t *testing.T) {
	fs, stopped := vfstest.NewMem(), vfstest.NewMem()
	build := func(fs *vfstest.Mem) *Engine {
		e := openMem(t, fs)
		appendTo(t, e, "one", "two", "three")
		require.NoError(t, e.checkpoint())
		appendTo(t, e, "four")
		return e
	}
	build(fs)
	require.NoError(t, build(stopped).Close())
	for name, state := range map[string]*vfstest.Mem{"killed": fs.CrashKeepNone(), "stopped": stopped.CrashKeepNone()} {
		t.Run(name, func(t *testing.T) {
			file := path.Join(segmentsDir, segmentNames(t, state)[0])
			for text, damage := range map[string]func(*vfstest.Mem){
				"gone":    func(fs *vfstest.Mem) { setFile(t, fs, file, nil) },
				"empty":   func(fs *vfstest.Mem) { setFile(t, fs, file, []byte{}) },
				"flipped": func(fs *vfstest.Mem) { flip(t, fs, file, 128+70) },
				"cut":     func(fs *vfstest.Mem) { setFile(t, fs, file, fileBytes(t, fs, file)[:300]) },
			} {
				t.Run(text, func(t *testing.T) {
					hurt := state.CrashKeepNone()
					damage(hurt)
					to, report := repaired(t, hurt)
					require.Empty(t, report.Logs[0].Lost)
					assert.Equal(t, []string{"one", "two", "three", "four"}, readable(t, openMem(t, to)))
					require.NotEmpty(t, report.Logs[0].Notes, "it says where they came from")
					assert.Contains(t, report.Logs[0].Notes[0], "taken from the journal")
				})
			}
		})
	}
}

// Goal: a frame that a recovery cut off stays in the journal's files. It is whole,
// and of this log and place; but it was never acked, and is not believed when the
// segment that holds what was written there later is gone.
func TestRepairDoesNotBelieveACutOffFrame(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one")
	name := e.committer.journal.Active()
	_, second := activeJournal(e)
	appendTo(t, e, "never proven")
	state := fs.CrashKeepNone()
	overwrite(t, state, name, second, make([]byte, 64)) // of the group, what is left is a frame that is whole
	e = openMem(t, state)
	require.Equal(t, []string{"one"}, readable(t, e))
	appendTo(t, e, "two, acked", "three, acked")
	require.NoError(t, e.Close())
	state = state.CrashKeepNone()
	for _, n := range segmentNames(t, state) {
		setFile(t, state, path.Join(segmentsDir, n), nil)
	}
	to, _ := repaired(t, state)
	for at, value := range readable(t, openMem(t, to)) {
		assert.Contains(t, [][]string{{"one", "!"}, {"two, acked", "!"}, {"three, acked", "!"}}[at], value)
	}
}

// Goal: files of segments whose names were swapped, or one that has another's name,
// are read by what they hold, with and without the table, and the report says so.
func TestRepairReadsSegmentsByTheirHeaders(t *testing.T) {
	fs, _ := filled(t)
	fs = withoutJournal(t, fs)
	want := readable(t, openMem(t, fs.CrashKeepAll()))
	names := segmentNames(t, fs)
	require.GreaterOrEqual(t, len(names), 3)
	a, b := path.Join(segmentsDir, names[0]), path.Join(segmentsDir, names[1])
	for _, table := range []bool{true, false} {
		state := fs.CrashKeepAll()
		x, y := fileBytes(t, state, a), fileBytes(t, state, b)
		setFile(t, state, a, y)
		setFile(t, state, b, x)
		if !table {
			setFile(t, state, checkpointName, nil)
		}
		if table {
			r := verified(t, state)
			require.NotEmpty(t, r.Problems)
			require.Contains(t, r.Notes[0], a+": its header is that of "+b)
		}
		to, report := repaired(t, state)
		require.Len(t, report.Logs, 1)
		assert.Empty(t, report.Logs[0].Lost)
		assert.True(t, slices.Equal(want, readable(t, openMem(t, to))))
		assert.Contains(t, report.Notes, a+" has the name of another segment: by its header and its frames it is "+b+", and was read as that")
	}
	state := fs.CrashKeepAll()
	setFile(t, state, b, fileBytes(t, state, a))
	setFile(t, state, a, nil)
	to, report := repaired(t, state)
	require.Len(t, report.Logs[0].Lost, 1, "the overwritten one")
	lost := report.Logs[0].Lost[0]
	got := readable(t, openMem(t, to))
	assert.True(t, slices.Equal(want[:lost.First], got[:lost.First]))
	assert.True(t, slices.Equal(want[lost.Next:], got[lost.First+1:]))
}

func mustReadDir(t *testing.T, fs *vfstest.Mem, dir string) []string {
	t.Helper()
	names, err := fs.ReadDir(dir)
	require.NoError(t, err)
	return names
}

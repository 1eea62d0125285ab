package log

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/journal"
)

// Goal: a group that is not whole, as long as several that stand in its space, is
// shown with what is before the first of them; so each frame is shown once, under
// the group that it is of.
func TestDumpShowsEachFrameOnce(t *testing.T) {
	t.Parallel()
	j := journalOf(t, 6)
	p := j.groups[1]
	b := readBlock(t, j.fs, p.file, p.pos)
	binary.LittleEndian.PutUint32(b[8:], 3*vfs.BlockSize)
	binary.LittleEndian.PutUint32(b[4:], frame.Checksum(b[8:journal.GroupHeaderSize]))
	overwrite(t, j.fs, p.file, p.pos, b)

	type place struct {
		file string
		pos  int64
	}
	shown := map[place]uint64{}
	require.NoError(t, Dump(t.Context(), "mem", DumpOptions{FS: j.fs}, func(i *DumpItem) error {
		if i.Kind == "records" && i.Group > 0 {
			at := place{i.File, i.Position}
			require.Zero(t, shown[at], "%v is shown a second time, now of group %d", at, i.Group)
			shown[at] = i.Group
		}
		return nil
	}))
	require.GreaterOrEqual(t, len(shown), 6)
}

// Goal: after a kill, a segment whose file was not made yet is no damage: dump says
// that the journal has its records, and repair copies them without a word.
func TestDumpOfASegmentThatIsNotMadeYet(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one", "two")
	state := fs.CrashKeepNone()
	require.Empty(t, segmentNames(t, state), "the segment is in no directory that was synced")
	shown := 0
	require.NoError(t, Dump(t.Context(), "mem", DumpOptions{FS: state}, func(i *DumpItem) error {
		if i.Kind == "segment" {
			shown++
			require.True(t, i.OK, "%+v", i)
			require.Contains(t, i.Text, "not made yet")
		}
		return nil
	}))
	require.Equal(t, 1, shown)
	_, report := repaired(t, state)
	require.True(t, report.Whole(), "%+v", report)
}

// Goal: what is lost with a part of the journal is told with the place in the journal,
// not with a segment that was never made; and where the journal is gone, that more
// acked records may be lost than those that are lost for certain.
func TestRepairNamesTheJournalForWhatItLost(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one")
	_, _, err := e.Put(t.Context(), "other", commitlog.Change{})
	require.NoError(t, err)
	require.NoError(t, e.checkpoint())
	name, pos := activeJournal(e)
	appendTo(t, e, "two")
	appendTo(t, e, "three")
	require.NoError(t, e.committer.journal.Seal(&e.committer.group))
	state := fs.CrashKeepNone()
	overwrite(t, state, name, pos, make([]byte, 4096))
	_, report := repaired(t, state)
	require.Len(t, report.Logs[0].Lost, 1)
	lost := report.Logs[0].Lost[0]
	require.Equal(t, []any{uint64(1), uint64(2), name, pos}, []any{lost.First, lost.Next, lost.File, lost.Position})
	require.Equal(t, []Stake{{Log: "other", From: 0}}, report.MayBeLost, "the default log goes on behind the damage")

	state = fs.CrashKeepNone()
	for _, n := range mustReadDir(t, state, journalDir) {
		setFile(t, state, journalDir+"/"+n, nil)
	}
	_, report = repaired(t, state)
	require.False(t, report.Whole())
	require.Equal(t, []Stake{{From: 1}, {Log: "other"}}, report.MayBeLost)
}

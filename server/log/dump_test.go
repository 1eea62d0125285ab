package log

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
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

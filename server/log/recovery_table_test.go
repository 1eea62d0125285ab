package log

import (
	"encoding/binary"
	"errors"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/journal"
)

// The table in FORMAT.md, "What recovery decides", row by row.

// A journaled is a crashed directory whose journal holds one record a group,
// "0", "1", "2", …, behind the table, none of them in the header of another
// file, and no idle seal behind the last.
type journaled struct {
	fs     *vfstest.Mem
	groups []place
}

// A place is where a group stands.
type place struct {
	file string
	pos  int64
}

func journalOf(t *testing.T, records int) journaled {
	t.Helper()
	j := journaled{fs: vfstest.NewMem()}
	e := openMem(t, j.fs)
	for i := range records {
		var p place
		j.fs.SetHook(func(op vfstest.Op) error {
			if op.Kind == vfstest.OpWriteAt && op.Phase == vfstest.During && op.Off > 0 {
				p = place{op.Name, op.Off}
			}
			return nil
		})
		appendTo(t, e, string(rune('0'+i)))
		j.groups = append(j.groups, p)
	}
	j.fs = j.fs.CrashKeepNone()
	return j
}

// tear makes a group one that is not whole: its first record's bytes are gone.
func (j *journaled) tear(t *testing.T, group int) {
	t.Helper()
	p := j.groups[group]
	overwrite(t, j.fs, p.file, p.pos+128, make([]byte, 384))
}

// lose removes a file, durably.
func (j *journaled) lose(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, j.fs.Remove(name))
	require.NoError(t, j.fs.SyncDir(path.Dir(name)))
}

// unprove makes a group say that nothing behind the first n groups was synced
// when it was written.
func (j *journaled) unprove(t *testing.T, group int, n uint64) {
	t.Helper()
	p := j.groups[group]
	b := readBlock(t, j.fs, p.file, p.pos)
	le := binary.LittleEndian
	le.PutUint64(b[32:], le.Uint64(b[24:])-uint64(group)+n-1)
	le.PutUint32(b[4:], frame.Checksum(b[8:journal.GroupHeaderSize]))
	overwrite(t, j.fs, p.file, p.pos, b)
}

// holds opens the directory and says what it must hold: the first n records.
func (j *journaled) holds(t *testing.T, n int) *Engine {
	t.Helper()
	e := openMem(t, j.fs)
	got := readable(t, e)
	require.Len(t, got, n)
	for i, v := range got {
		require.Equal(t, string(rune('0'+i)), v)
	}
	return e
}

// refuses opens the directory, which must fail and change nothing, now and
// again.
func (j *journaled) refuses(t *testing.T, says ...string) error {
	t.Helper()
	before := j.fs.CrashKeepAll()
	for range 2 {
		_, err := tryOpenMem(j.fs)
		require.Error(t, err)
		for _, what := range says {
			require.ErrorContains(t, err, what)
		}
		require.Equal(t, before.Digest(lockName), j.fs.Digest(lockName), "nothing was changed")
	}
	_, err := tryOpenMem(j.fs)
	return err
}

func (j *journaled) refusesDamage(t *testing.T, says ...string) {
	t.Helper()
	var corrupt *CorruptError
	require.ErrorAs(t, j.refuses(t, says...), &corrupt)
	require.NotEmpty(t, verified(t, j.fs).Problems)
}

func TestRecoveryTable(t *testing.T) {
	t.Parallel()
	inOneFile, inTwoFiles := 5, 18
	rows := []struct {
		name    string
		records int
		run     func(t *testing.T, j *journaled)
	}{
		{"the group, whole and chained: applied", inOneFile, func(t *testing.T, j *journaled) {
			j.holds(t, inOneFile)
		}},
		{"the next file begins with it: goes on there", inTwoFiles, func(t *testing.T, j *journaled) {
			require.NotEqual(t, j.groups[0].file, j.groups[inTwoFiles-1].file)
			j.holds(t, inTwoFiles)
		}},
		{"not whole, nothing behind it: dropped as a torn write", inOneFile, func(t *testing.T, j *journaled) {
			j.tear(t, 4)
			e := j.holds(t, 4)
			appendTo(t, e, "4")
			j.fs = j.fs.CrashKeepNone()
			j.holds(t, 5)
		}},
		{"zeros, nothing behind them: the end", inOneFile, func(t *testing.T, j *journaled) {
			p := j.groups[4]
			overwrite(t, j.fs, p.file, p.pos, make([]byte, vfs.BlockSize))
			j.holds(t, 4)
		}},
		{"garbage, nothing behind it: dropped as a torn write", inOneFile, func(t *testing.T, j *journaled) {
			p := j.groups[4]
			overwrite(t, j.fs, p.file, p.pos, []byte(strings.Repeat("garbage.", 64)))
			j.holds(t, 4)
		}},
		{"a whole group of an earlier use of the file: the end", inOneFile, func(t *testing.T, j *journaled) {
			earlier := journalOf(t, inOneFile)
			other := earlier.groups[4]
			b := readBlock(t, earlier.fs, other.file, other.pos)
			binary.LittleEndian.PutUint64(b[56:], 4711) // of a file with another nonce
			binary.LittleEndian.PutUint32(b[4:], frame.Checksum(b[8:journal.GroupHeaderSize]))
			overwrite(t, j.fs, j.groups[4].file, j.groups[4].pos, b)
			j.holds(t, 4)
		}},
		{"not whole, a later group does not say it was synced: dropped", inOneFile, func(t *testing.T, j *journaled) {
			j.tear(t, 3)
			j.unprove(t, 4, 3)
			j.holds(t, 3)
		}},
		{"not whole, a later group here says it was synced: refused", inOneFile, func(t *testing.T, j *journaled) {
			j.tear(t, 3)
			j.refusesDamage(t, j.groups[3].file, "position", "group")
		}},
		{"the first group, a later group here says it was synced: refused", inOneFile, func(t *testing.T, j *journaled) {
			j.tear(t, 0)
			j.refusesDamage(t, j.groups[0].file, "position", "group")
		}},
		{"not whole, a group in the next file says it was synced: refused", inTwoFiles, func(t *testing.T, j *journaled) {
			last := lastInFile(j)
			j.tear(t, last)
			zeroHeader(t, j, last+1) // the header must not be the proof
			j.refusesDamage(t, j.groups[last].file, "position", "group")
		}},
		{"not whole, the header of another file says it was synced: refused", inOneFile, func(t *testing.T, j *journaled) {
			e := openMem(t, j.fs)
			appendTo(t, e, "one more")
			name, pos := activeJournal(e)
			appendTo(t, e, "and one more")
			require.NoError(t, e.committer.journal.Seal(&e.committer.group))
			j.fs = j.fs.CrashKeepNone()
			overwrite(t, j.fs, name, pos, make([]byte, 2*vfs.BlockSize)) // the group, and the seal that says so too
			j.refusesDamage(t, name, "position", "group")
		}},
		{"the device does not answer: refused, with its error", inOneFile, func(t *testing.T, j *journaled) {
			j.fs.SetHook(func(op vfstest.Op) error {
				if op.Kind == vfstest.OpReadAt && op.Name == j.groups[0].file {
					return syscall.EIO
				}
				return nil
			})
			require.ErrorIs(t, j.refuses(t), syscall.EIO)
			j.fs.SetHook(nil)
			j.holds(t, inOneFile)
		}},
		{"the file of the cut is gone: refused", inOneFile, func(t *testing.T, j *journaled) {
			j.lose(t, j.groups[0].file)
			j.refusesDamage(t, "missing")
		}},
		{"a file's header is damaged, a group in it is whole: opens", inOneFile, func(t *testing.T, j *journaled) {
			zeroHeader(t, j, 0)
			j.holds(t, inOneFile)
		}},
		{"no table, but a group: refused", inOneFile, func(t *testing.T, j *journaled) {
			j.lose(t, checkpointName)
			for _, n := range segmentNames(t, j.fs) {
				j.lose(t, path.Join(segmentsDir, n))
			}
			j.refusesDamage(t, journalDir)
		}},
		{"a whole group, a frame that does not follow from its log's last: refused", inOneFile, func(t *testing.T, j *journaled) {
			p := j.groups[4]
			b := readBlock(t, j.fs, p.file, p.pos)
			f := b[journal.GroupHeaderSize:]
			binary.LittleEndian.PutUint64(f[32:], 7) // its offset
			refitMark(b)
			overwrite(t, j.fs, p.file, p.pos, b)
			j.refusesDamage(t)
		}},
		{"the table is damaged: refused", inOneFile, func(t *testing.T, j *journaled) {
			flip(t, j.fs, checkpointName, 30)
			j.refusesDamage(t, checkpointName)
		}},
		{"the table is gone, with segments: refused", inOneFile, func(t *testing.T, j *journaled) {
			j.stop(t)
			j.lose(t, checkpointName)
			j.refusesDamage(t, checkpointName)
		}},
		{"the identity is damaged: refused", inOneFile, func(t *testing.T, j *journaled) {
			flip(t, j.fs, identityName, 20)
			j.refuses(t, identityName)
		}},
		{"the identity is gone: refused", inOneFile, func(t *testing.T, j *journaled) {
			j.lose(t, identityName)
			require.ErrorIs(t, j.refuses(t), ErrNotDataDir)
		}},
		{"a segment is gone: opens, its records are damaged", inOneFile, func(t *testing.T, j *journaled) {
			j.stop(t)
			j.lose(t, path.Join(segmentsDir, segmentNames(t, j.fs)[0]))
			j.costs(t, "!", "behind")
		}},
		{"a segment is short: opens, what is missing is damaged", inOneFile, func(t *testing.T, j *journaled) {
			j.stop(t)
			name := path.Join(segmentsDir, segmentNames(t, j.fs)[0])
			at := int64(strings.Index(string(content(t, j.fs, name)), "PLF1"))
			f, err := j.fs.Open(name, vfs.Buffered)
			require.NoError(t, err)
			require.NoError(t, f.Truncate(at+2*frameSize(t, j.fs, name, at)))
			require.NoError(t, errors.Join(f.Sync(), f.Close()))
			j.costs(t, "0", "1", "!", "behind")
		}},
		{"a segment is damaged: opens, those records are damaged", inOneFile, func(t *testing.T, j *journaled) {
			j.stop(t)
			name := path.Join(segmentsDir, segmentNames(t, j.fs)[0])
			at := int64(strings.Index(string(content(t, j.fs, name)), "PLF1"))
			flip(t, j.fs, name, at+2*frameSize(t, j.fs, name, at)+70)
			j.costs(t, "0", "1", "!", "3", "4", "behind")
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			j := journalOf(t, row.records)
			row.run(t, &j)
		})
	}
}

// stop makes the directory one that was stopped cleanly.
func (j *journaled) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, openMem(t, j.fs).Close())
	j.fs = j.fs.CrashKeepNone()
}

// costs opens the directory, appends, and says what can be read then.
func (j *journaled) costs(t *testing.T, want ...string) {
	t.Helper()
	for range 2 {
		e := openMem(t, j.fs)
		if got := readable(t, e); got[len(got)-1] != "behind" {
			appendTo(t, e, "behind")
		}
		assert.Equal(t, want, readable(t, e))
		require.NoError(t, e.Close())
	}
}

func lastInFile(j *journaled) int {
	for i := range j.groups {
		if j.groups[i+1].file != j.groups[i].file {
			return i
		}
	}
	return 0
}

func zeroHeader(t *testing.T, j *journaled, group int) {
	t.Helper()
	overwrite(t, j.fs, j.groups[group].file, 0, make([]byte, vfs.BlockSize))
}

func frameSize(t *testing.T, fs *vfstest.Mem, name string, at int64) int64 {
	t.Helper()
	h, err := frame.Peek(content(t, fs, name)[at:])
	require.NoError(t, err)
	return int64(h.Size())
}

// refitMark makes the checksums of a group right again but not that of its one
// frame, which only its log's nonce can make.
func refitMark(group []byte) {
	le := binary.LittleEndian
	f := group[journal.GroupHeaderSize:]
	le.PutUint32(group[16:], frame.UpdateHeader(0, f))
	le.PutUint32(group[4:], frame.Checksum(group[8:journal.GroupHeaderSize]))
}

// After a torn write the journal goes on in another file: what was written there
// might come back.
func TestRecoveryGoesOnInAnotherFile(t *testing.T) {
	t.Parallel()
	for group := range 5 {
		j := journalOf(t, group+1)
		j.tear(t, group)
		torn := j.groups[group]
		e := openMem(t, j.fs)
		reused := false
		j.fs.SetHook(func(op vfstest.Op) error {
			if op.Kind == vfstest.OpWriteAt && op.Name == torn.file {
				reused = reused || op.Off == 0
				assert.True(t, reused, "a write at %d, where one has failed", op.Off)
			}
			return nil
		})
		for range 80 {
			appendTo(t, e, "more")
		}
		name, _ := activeJournal(e)
		require.True(t, reused || name != torn.file)
	}
}

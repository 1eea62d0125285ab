package log

import (
	"bytes"
	"context"
	"path"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
	"github.com/proglog/proglog/server/log/internal/frame"
)

// repaired repairs a directory into a new one and checks what can always be
// said: nothing but the lock of the source changes, and every byte of the new
// directory is as it should be.
func repaired(t testing.TB, fs *vfstest.Mem) (*vfstest.Mem, *RepairReport) {
	t.Helper()
	to := vfstest.NewMem()
	report, err := Repair(context.Background(), "mem", "new", RepairOptions{From: fs, To: to})
	require.NoError(t, err)
	check, err := Verify(context.Background(), "new", VerifyOptions{FS: to})
	require.NoError(t, err)
	require.Empty(t, check.Problems)
	return to.CrashKeepNone(), report
}

// What is whole is copied as a whole, after a clean stop and after a crash.
func TestRepairOfWhatIsWhole(t *testing.T) {
	fs, records := filled(t)
	want := readable(t, openMem(t, fs.CrashKeepAll()))
	require.Len(t, want, records)
	to, report := repaired(t, fs)
	assert.True(t, report.Whole(), "%+v", report)
	assert.Empty(t, report.Notes)
	require.Len(t, report.Logs, 1)
	assert.Equal(t, uint64(records), report.Logs[0].Records)
	e := openMem(t, to)
	assert.Equal(t, want, readable(t, e))
	appendTo(t, e, "and on")
	assert.Equal(t, append(want, "and on"), readable(t, e))
}

// withoutJournal stops a directory and takes from its journal's files what they
// still hold, as their next use does: what a segment loses is then lost.
func withoutJournal(t *testing.T, fs *vfstest.Mem) *vfstest.Mem {
	t.Helper()
	e := openMem(t, fs)
	require.NoError(t, e.Close())
	fs = fs.CrashKeepNone()
	for _, n := range mustReadDir(t, fs, journalDir) {
		zeroGroups(t, fs, path.Join(journalDir, n))
	}
	return fs
}

func zeroGroups(t *testing.T, fs *vfstest.Mem, name string) {
	t.Helper()
	b := fileBytes(t, fs, name)
	clear(b[4096:])
	setFile(t, fs, name, b)
}

// A damaged frame costs its records, which the new directory tells of.
func TestRepairKeepsThePlaceOfLostRecords(t *testing.T) {
	fs, _ := filled(t)
	fs = withoutJournal(t, fs)
	want := readable(t, openMem(t, fs.CrashKeepAll()))
	flip(t, fs, path.Join(segmentsDir, segmentNames(t, fs)[1]), 1200)
	to, report := repaired(t, fs)
	require.Len(t, report.Logs, 1)
	require.Len(t, report.Logs[0].Lost, 1)
	lost := report.Logs[0].Lost[0]
	require.Equal(t, uint64(1), lost.Next-lost.First)
	want[lost.First] = "!"
	e := openMem(t, to)
	assert.Equal(t, want, readable(t, e))
	require.NoError(t, e.Close())
	again, report := repaired(t, to)
	assert.True(t, report.Whole())
	require.Len(t, report.Logs[0].Before, 1)
	assert.Equal(t, want, readable(t, openMem(t, again)))
}

// specimenCopy returns a specimen, killed with unsynced segments, and its state.
func specimenCopy(t *testing.T) (*specimen, *vfstest.Mem) {
	t.Helper()
	s := specimensOf(t, true)[2]
	return s, s.fs.CrashKeepNone()
}

// What a log is besides its records is kept: settings, seals, trims, times, the
// acks of producers, and that a name was deleted. Only the ids are new.
func TestRepairKeepsWhatIsSet(t *testing.T) {
	s, fs := specimenCopy(t)
	to, report := repaired(t, fs)
	require.True(t, report.Whole(), "%+v", report)
	source, err := Open("mem", specimenOptions(fs))
	require.NoError(t, err)
	defer source.Close()
	e, err := Open("new", specimenOptions(to))
	require.NoError(t, err)
	defer e.Close()
	ctx := context.Background()
	for name, want := range s.logs {
		was, err := source.named(name).Info(ctx)
		require.NoError(t, err)
		is, err := e.named(name).Info(ctx)
		require.NoError(t, err)
		assert.Equal(t, want.sealed, is.Sealed)
		assert.NotEqual(t, was.ID, is.ID)
		was.ID, was.Bytes, is.ID, is.Bytes = "", 0, "", 0
		assert.Equal(t, was, is)
		for _, at := range []time.Time{was.FirstTime, was.LastTime} {
			x, err := source.named(name).FindTime(ctx, at)
			require.NoError(t, err)
			y, err := e.named(name).FindTime(ctx, at)
			require.NoError(t, err)
			assert.Equal(t, x, y, "log %q at %v", name, at)
		}
	}
	next := s.logs["producer"].next
	last := commitlog.Batch{
		Records:  []commitlog.Record{{Value: valueAt("producer", next-1)}},
		Producer: &commitlog.Producer{ID: "p", Epoch: 1, Sequence: source.named("producer").producers.byID["p"].next - 1},
	}
	if (next-1)%3 == 1 {
		last.Records[0].Headers = []commitlog.Header{{Name: "n", Value: []byte(strconv.FormatUint(next-1, 10))}}
	}
	want, err := source.named("producer").Append(ctx, last)
	require.NoError(t, err)
	acks, err := e.named("producer").Append(ctx, last)
	require.NoError(t, err)
	assert.Equal(t, want, acks)
	assert.True(t, acks[0].Duplicate)

	again, _, err := e.Put(ctx, "gone", commitlog.Change{})
	require.NoError(t, err)
	assert.Positive(t, again.Bounds().First, "a log that takes a deleted name begins behind it")
}

// Without a table, and with the headers of all segments damaged as well, records
// are found by what their frames say, and names by what the journal still tells.
func TestRepairWithoutTableAndSegmentHeaders(t *testing.T) {
	s, fs := specimenCopy(t)
	setFile(t, fs, checkpointName, nil)
	setFile(t, fs, identityName, nil)
	for name := range s.files {
		if strings.HasSuffix(name, ".seg") {
			overwrite(t, fs, name, 0, make([]byte, 128))
		}
	}
	to, report := repaired(t, fs)
	assert.False(t, report.Whole())
	e, err := Open("new", specimenOptions(to))
	require.NoError(t, err)
	defer e.Close()
	found := map[string]uint64{}
	for _, l := range report.Logs {
		assert.Empty(t, l.Lost, "%q", l.Log)
		assert.NotEmpty(t, l.Notes, "%q", l.Log)
		name := originalName(e.named(l.Log))
		_, err := readLog(e.named(l.Log), name)
		require.NoError(t, err)
		found[name] = l.Next
	}
	for name, want := range s.logs {
		assert.Equal(t, want.next, found[name], "log %q", name)
	}
}

// A block that the device does not give back costs what is in it, no more, and
// is told with its place.
func TestRepairOfADiskWithABadBlock(t *testing.T) {
	fs, _ := filled(t)
	fs = withoutJournal(t, fs)
	want := readable(t, openMem(t, fs.CrashKeepAll()))
	file := path.Join(segmentsDir, segmentNames(t, fs)[1])
	fs.SetHook(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpReadAt && op.Name == file && op.Off <= 4096 && op.Off+int64(op.Len) > 4096 {
			return syscall.EIO
		}
		return nil
	})
	to, report := repaired(t, fs)
	require.Contains(t, report.Files, DamagedFile{File: file, Position: 4096, Cause: "it cannot be read: read " + file + ": " + syscall.EIO.Error()})
	require.Len(t, report.Logs[0].Lost, 1)
	lost := report.Logs[0].Lost[0]
	assert.LessOrEqual(t, lost.Next-lost.First, uint64(6), "what touches 4 KiB of frames of 1 KiB")
	got := readable(t, openMem(t, to))
	assert.Equal(t, want[:lost.First], got[:lost.First])
	assert.Equal(t, want[lost.Next:], got[lost.First+1:])
}

// A full disk is told before anything is written.
func TestRepairAsksForRoomFirst(t *testing.T) {
	fs, _ := filled(t)
	to := vfstest.NewMem()
	to.SetCapacity(1 << 20)
	_, err := Repair(context.Background(), "mem", "new", RepairOptions{From: fs, To: to})
	var room *RoomError
	require.ErrorAs(t, err, &room)
	assert.Equal(t, uint64(1<<20), room.Free)
	names, err := to.ReadDir(".")
	require.NoError(t, err)
	assert.Empty(t, names)
}

// A copy that was cut off is opened by nobody, and not taken for an empty
// directory by a second repair.
func TestRepairThatWasCutOff(t *testing.T) {
	fs, _ := filled(t)
	whole := vfstest.NewMem()
	_, err := Repair(context.Background(), "mem", "new", RepairOptions{From: fs.CrashKeepAll(), To: whole})
	require.NoError(t, err)
	refused := 0
	for n := 1; n <= whole.Ops(); n += 3 {
		to := vfstest.NewMem()
		crasher := vfstest.CrashAt(to, n, (*vfstest.Mem).CrashKeepNone)
		to.SetHook(crasher.Hook)
		if _, err := Repair(context.Background(), "mem", "new", RepairOptions{From: fs.CrashKeepAll(), To: to}); err == nil {
			continue
		}
		state := crasher.State()
		e, err := tryOpenMem(state)
		if err != nil {
			refused++
			continue
		}
		// Before the first segment it is a directory that was never opened.
		got := len(readable(t, e))
		require.NoError(t, e.Close())
		require.Contains(t, []int{0, 43}, got, "call %d", n)
	}
	assert.Positive(t, refused)
}

// A frame that was replaced by another whole one of the same place, as by an older
// write that a disk shows again, is found by the chain of the frame behind it,
// and not copied.
func TestRepairDropsAReplacedFrame(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one", "two", "three")
	g := e.named("").active()
	require.NoError(t, e.Close())
	name := path.Join(segmentsDir, g.Name())
	b := fileBytes(t, fs, name)
	first, err := frame.Parse(b[128:], g.Seed)
	require.NoError(t, err)
	at := 128 + first.Size()
	second, err := frame.Parse(b[at:], g.Seed)
	require.NoError(t, err)
	payload := b[at+frame.HeaderSize:][:second.Length]
	copy(payload[bytes.Index(payload, []byte("two")):], "TWO")
	second.PayloadCRC = frame.Checksum(payload)
	second.Put(b[at:], g.Seed, first.Chain)
	setFile(t, fs, name, b)

	to, report := repaired(t, fs.CrashKeepAll())
	assert.Empty(t, report.Logs[0].Lost, "the journal's files still tell which one is right")
	assert.Equal(t, []string{"one", "two", "three"}, readable(t, openMem(t, to)))
	for _, n := range mustReadDir(t, fs, journalDir) {
		zeroGroups(t, fs, path.Join(journalDir, n))
	}
	to, report = repaired(t, fs)
	require.Len(t, report.Logs[0].Lost, 1)
	assert.Equal(t, LostRange{
		First: 1, Next: 2, File: name, Position: int64(at),
		Cause: "the frame behind it does not follow from it: it is not the one that was written there last",
	}, report.Logs[0].Lost[0])
	assert.Equal(t, []string{"one", "!", "three"}, readable(t, openMem(t, to)))
}

// Frames of a damaged group of the journal that are whole by themselves are
// copied, though no segment has them.
func TestRepairTakesWhatIsWholeOfADamagedGroup(t *testing.T) {
	for _, place := range []struct {
		text string
		at   int64 // in the group
		want []string
	}{
		{text: "the group's header", at: 8, want: []string{"one", "two", "three", "four", "five"}},
		{text: "a value", at: 64 + 96 + 64 + 64 + 20, want: []string{"!", "two", "three", "four", "five"}},
	} {
		t.Run(place.text, func(t *testing.T) {
			fs := vfstest.NewMem()
			e := openMem(t, fs)
			_, pos := activeJournal(e)
			name := e.committer.journal.Active()
			big := strings.Repeat("x", 4080) // a frame of its own
			_, err := e.named("").Append(context.Background(), oneBatch(big), oneBatch("two"))
			require.NoError(t, err)
			appendTo(t, e, "three", "four", "five")
			require.NoError(t, e.committer.journal.Seal(&e.committer.group))
			state := fs.CrashKeepNone()
			flip(t, state, name, pos+place.at)
			assertRefused(t, state)
			to, report := repaired(t, state)
			require.NotEmpty(t, report.Files)
			assert.Equal(t, name, report.Files[0].File)
			assert.Equal(t, pos, report.Files[0].Position)
			got := readable(t, openMem(t, to))
			if place.want[0] == "one" {
				place.want[0] = big
			}
			require.Len(t, got, len(place.want))
			assert.Equal(t, place.want, got)
		})
	}
}

package log

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/journal"
)

// Whole frames that are not of this place, and indexes that are whole and wrong:
// no checksum of their own tells them from the right ones.

// The same of a group that no later frame of the log continues: a change of
// what is set of it. Only the chain of the groups tells.
func TestReplacedSettingsAreRefused(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one", "two")
	name, pos := activeJournal(e)
	_, err := e.named("").Trim(context.Background(), 1)
	require.NoError(t, err)
	appendTo(t, e, "three", "four")
	whole := fs.CrashKeepNone()
	require.Len(t, readable(t, openMem(t, whole.CrashKeepNone())), 3)

	le := binary.LittleEndian
	forged := readBlock(t, whole, name, pos)
	f := forged[journal.GroupHeaderSize:]
	payload := f[frame.HeaderSize:][:le.Uint32(f[8:])]
	const first = 4 + 8 + 16 + 8 // where a meta holds the first offset
	require.Equal(t, uint64(1), le.Uint64(payload[first:]))
	le.PutUint64(payload[first:], 0)
	h, err := frame.Peek(f)
	require.NoError(t, err)
	h.PayloadCRC = frame.Checksum(payload)
	h.Put(f, 0, 0)
	refitMark(forged)
	overwrite(t, whole, name, pos, forged)
	assertRefused(t, whole)
}

// A group that was replaced by another whole one of the same number and place,
// as a disk does that lost a write and shows what was there before, is seen by
// the chain: everything else in it is right.
func TestReplacedGroupIsRefused(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	appendTo(t, e, "one")
	name, pos := activeJournal(e)
	appendTo(t, e, "two")
	appendTo(t, e, "three", "four", "five")
	whole := fs.CrashKeepNone()
	require.Len(t, readable(t, openMem(t, whole.CrashKeepNone())), 5)

	// The same engine would have written this in the place of "two".
	group := readBlock(t, whole, name, pos)
	forged := append([]byte{}, group...)
	at := strings.Index(string(forged), "two")
	require.Positive(t, at)
	copy(forged[at:], "TWO")
	refit(forged, e.named("").active().Seed)
	overwrite(t, whole, name, pos, forged)
	assertRefused(t, whole)
}

// Sectors that an earlier file left, of a segment of the same log, number and
// base, are damage where they show, never records: the nonce tells.
func TestFramesOfAnEarlierFileAreNotBelieved(t *testing.T) {
	before := vfstest.NewMem()
	e := openMem(t, before)
	appendTo(t, e, "base")
	require.NoError(t, e.Close())
	life := func(letter string, seed uint64) *vfstest.Mem {
		fs := before.CrashKeepNone()
		e, err := Open("mem", simOptions(fs, rand.New(rand.NewPCG(seed, 2))))
		require.NoError(t, err)
		for range 20 {
			appendTo(t, e, strings.Repeat(letter, 1000))
		}
		require.NoError(t, e.Close())
		return fs
	}
	earlier, now := life("e", 7), life("n", 8)
	name := path.Join(segmentsDir, segmentNames(t, now)[1])
	size, err := now.Size(name)
	require.NoError(t, err)
	for from := int64(0); from+3*512 <= size; from += 512 {
		state := now.CrashKeepNone()
		copySectors(t, earlier, state, name, from, from+3*512)
		for i, v := range readable(t, openMem(t, state)) {
			require.False(t, strings.HasPrefix(v, "e"), "record %d is of the earlier file, sector at %d", i, from)
		}
	}
}

// A client can put a whole frame into a value. When the frame around it is
// damaged, the search for the next one must not end there.
func TestFrameInAValueIsNotBelieved(t *testing.T) {
	write := func(value string) (fs *vfstest.Mem, name string, at int64) {
		fs = vfstest.NewMem()
		e := openMem(t, fs)
		appendTo(t, e, "first", value, "genuine")
		require.NoError(t, e.Close())
		name = path.Join(segmentsDir, segmentNames(t, fs)[0])
		at = int64(strings.Index(string(content(t, fs, name)), value))
		require.Positive(t, at)
		return fs, name, at
	}
	value := strings.Repeat("v", 400)
	_, _, at := write(value)
	inside := (at+frame.Align-1)&^(frame.Align-1) + 8*frame.Align // where a frame may begin

	rec := commitlog.Record{Offset: 2, Value: []byte("forged")}
	payload := commitlog.AppendEnvelope(nil, &rec)
	h := frame.Header{
		Kind: frame.Records, Length: uint32(len(payload)), PayloadCRC: frame.Checksum(payload), Count: 1,
		Log: 1, Base: 2, Position: uint64(inside), Segment: 1,
	}
	forged := make([]byte, frame.HeaderSize, frame.HeaderSize+len(payload))
	h.Put(forged, frame.Seed(4711), 0) // nobody but the engine knows the nonce
	forged = append(forged, payload...)
	fs, name, again := write(value[:inside-at] + string(forged) + value[inside-at+int64(len(forged)):])
	require.Equal(t, at, again, "a value's place depends on its length, not on what it says")

	flip(t, fs, name, at-frame.HeaderSize) // in the header of the frame around it
	run, err := openMem(t, fs).named("").Read(context.Background(), 2, commitlog.ReadLimit{Records: 1}, nil)
	require.NoError(t, err)
	for rec, err := range run.All() {
		require.NoError(t, err)
		assert.Equal(t, "genuine", string(rec.Value))
	}
}

// An index that is whole, of the right segment, and wrong, costs nothing: it is
// made again from the segment.
func TestWrongIndexIsMadeAgain(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	var want []string
	for i := range 60 {
		want = append(want, strings.Repeat(string(rune('a'+i%26)), 700))
		appendTo(t, e, want[i])
	}
	require.NoError(t, e.Close())
	const header, entrySize = 64, 8
	wrong := map[string]func(entries []byte){
		"positions where no frame is": func(b []byte) {
			for i := 0; i < len(b); i += entrySize {
				binary.LittleEndian.PutUint32(b[i:], binary.LittleEndian.Uint32(b[i:])+8)
			}
		},
		"positions of other frames": func(b []byte) {
			for i := 0; i+2*entrySize <= len(b); i += entrySize {
				copy(b[i:i+4], b[i+entrySize:])
			}
		},
		"positions beyond the file": func(b []byte) {
			for i := 0; i < len(b); i += entrySize {
				binary.LittleEndian.PutUint32(b[i:], 1<<30)
			}
		},
		"offsets of other frames": func(b []byte) {
			for i := 0; i < len(b); i += entrySize {
				binary.LittleEndian.PutUint32(b[i+4:], binary.LittleEndian.Uint32(b[i+4:])+1)
			}
		},
	}
	for what, damage := range wrong {
		t.Run(what, func(t *testing.T) {
			state := fs.CrashKeepAll()
			names, err := state.ReadDir(segmentsDir)
			require.NoError(t, err)
			damaged := 0
			for _, n := range names {
				if path.Ext(n) != ".idx" {
					continue
				}
				n = path.Join(segmentsDir, n)
				b := content(t, state, n)
				damage(b[header:])
				binary.LittleEndian.PutUint32(b[4:], frame.Checksum(b[8:]))
				overwrite(t, state, n, 0, b)
				damaged++
			}
			require.Greater(t, damaged, 3)
			assert.Equal(t, want, readable(t, openMem(t, state)))
		})
	}
}

// Indexes of sealed segments take no more memory than is allowed: some are thinned,
// which loses no record, and if that is not enough a segment that was not read for a
// while has its index read again.
func TestIndexCacheIsBounded(t *testing.T) {
	fs := vfstest.NewMem()
	e := openMem(t, fs)
	for range 60 {
		appendTo(t, e, strings.Repeat("x", 700))
	}
	require.NoError(t, e.Close())
	all := int64(0)
	for name, content := range contents(t, fs) {
		if path.Ext(name) == ".idx" {
			all += int64(len(content)) - 64 // the header
		}
	}
	for name, c := range map[string]struct {
		bytes int64
		again bool
	}{
		"room for one": {1, true}, "room for all": {1 << 20, false}, "room for all that are thinned": {all * 3 / 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			state := fs.CrashKeepAll()
			options := simOptions(state, rand.New(rand.NewPCG(1, 2)))
			options.IndexCacheBytes = c.bytes
			e, err := Open("mem", options)
			require.NoError(t, err)
			defer e.Close()
			loads := 0
			state.SetHook(func(op vfstest.Op) error {
				if op.Kind == vfstest.OpOpen && path.Ext(op.Name) == ".idx" {
					loads++
				}
				return nil
			})
			require.Len(t, readable(t, e), 60)
			first := loads
			require.Greater(t, first, 3, "each sealed segment's index is loaded")
			require.Len(t, readable(t, e), 60)
			if c.again {
				assert.Equal(t, 2*first, loads)
			} else {
				assert.Equal(t, first, loads)
			}
		})
	}
}

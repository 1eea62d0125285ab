package journal

import (
	"encoding/binary"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/fuzztest"
)

// fuzzConfig is a journal in memory, of one file.
func fuzzConfig(fs vfs.FS) Config {
	return Config{
		FS: fs, Dir: "journal", FileBytes: 64 << 10, Files: 2, Inline: true,
		Logger: slog.New(slog.DiscardHandler), Wanted: func() {}, Nonce: func() uint64 { return 11 },
	}
}

// journalBytes is the beginning of a file with three groups: one with two frames,
// and two without any.
func journalBytes(t testing.TB) []byte {
	fs := vfstest.NewMem()
	require.NoError(t, fs.MkdirAll("journal"))
	j, _, err := Open(fuzzConfig(fs), Cut{}, nil, nil)
	require.NoError(t, err)
	g := &Group{}
	for i := range 3 {
		g.Reset()
		for n := range uint64(2) {
			if i > 0 {
				break
			}
			g.Room(frame.Size(5))
			b, at := g.Buf(), len(g.Buf())
			b = append(b, make([]byte, frame.Size(5))...)
			copy(b[at+frame.HeaderSize:], "hello")
			h := frame.Header{Length: 5, PayloadCRC: frame.Checksum([]byte("hello")), Kind: frame.Records, Count: 1, Log: 1, Base: n}
			h.Put(b[at:], frame.Seed(7), 0)
			g.SetBuf(b)
			g.Added(at)
		}
		require.NoError(t, j.Write(g))
	}
	require.NoError(t, j.Close())
	f, err := fs.Open(slotName("journal", 0), vfs.Buffered)
	require.NoError(t, err)
	b := make([]byte, 5*vfs.BlockSize)
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	return b
}

// journalPlaces are where header, groups and frames begin.
var journalPlaces = []int{0, firstGroup, firstGroup + vfs.BlockSize, firstGroup + 2*vfs.BlockSize, firstGroup + GroupHeaderSize}

// refit makes the checksums of the header and of each group right, whatever they
// say, and the chain of those that say nothing of it.
func refit(b []byte) {
	le := binary.LittleEndian
	if len(b) >= 64 {
		le.PutUint32(b[4:], frame.Checksum(b[8:64]))
	}
	chain := uint32(0)
	for pos := firstGroup; pos+GroupHeaderSize <= len(b); pos += vfs.BlockSize {
		group := b[pos:]
		if le.Uint32(group) != groupMagic {
			continue
		}
		crc, end := uint32(0), min(int(le.Uint32(group[8:])), len(group))
		for at := GroupHeaderSize; at+frame.HeaderSize <= end; {
			h, err := frame.Peek(group[at:])
			if err != nil {
				break
			}
			if behind := group[at+frame.HeaderSize:]; int(h.Length) <= len(behind) {
				le.PutUint32(group[at+12:], frame.Checksum(behind[:h.Length]))
			}
			crc = frame.UpdateHeader(crc, group[at:at+frame.HeaderSize])
			at += h.Size()
		}
		le.PutUint32(group[16:], crc)
		if pos > firstGroup {
			le.PutUint32(group[20:], chain)
		}
		chain = frame.Checksum(group[8:GroupHeaderSize])
		le.PutUint32(group[4:], chain)
	}
}

// Goal: whatever a journal file holds, with checksums made right behind the
// changes or not, a scan ends in groups that are whole and in order, or in an
// error, and Inspect visits every block of it once.
func FuzzFile(f *testing.F) {
	whole := journalBytes(f)
	for _, fit := range []bool{false, true} {
		f.Add([]byte{}, fit)
		f.Add(fuzztest.Truncate(0, 0), fit)
		f.Add(fuzztest.Truncate(2, 100), fit)
		f.Add(fuzztest.Set(1, 8, 0xff, 0xff, 0xff, 1), fit) // a group that is longer
		f.Add(fuzztest.Set(1, 12, 0xff, 0xff), fit)         // more frames than there are
		f.Add(fuzztest.Set(2, 24, 9), fit)                  // another group's number
		f.Add(fuzztest.Set(2, 40, 9), fit)                  // of another file
		f.Add(fuzztest.Set(3, 32, 9), fit)                  // it says that later ones are synced
		f.Add(fuzztest.Set(4, 8, 0xff, 0xff, 0x3f, 1), fit) // a frame that is longer
		f.Add(fuzztest.Set(0, 16, 2), fit)                  // the file's number
		f.Add(fuzztest.Set(0, 8, 2), fit)                   // another format
		f.Add(fuzztest.Set(1, 0, 0, 0, 0, 0), fit)          // the first group is gone
	}
	var header file
	header.f = mustOpen(f, whole)
	require.NoError(f, header.readHeader([16]byte{}))
	f.Fuzz(func(t *testing.T, script []byte, fit bool) {
		b := fuzztest.Apply(script, whole, journalPlaces)
		if fit {
			refit(b)
		}
		cfg := fuzzConfig(fuzztest.Files{slotName("journal", 0): b})
		end := int64(firstGroup)
		_, err := Inspect(cfg.FS, cfg.Dir, func(g *FoundGroup) error {
			require.Equal(t, end, g.Position)
			require.Positive(t, g.Size)
			require.LessOrEqual(t, int64(len(g.Body)), g.Size)
			end = g.Position + g.Size
			return nil
		})
		require.NoError(t, err)
		require.LessOrEqual(t, end, max(firstGroup, vfs.AlignUp(int64(len(b)))))
		for _, from := range []Cut{{}, {File: header.number, Position: firstGroup, Seq: 1}} {
			groups := 0
			found, err := Scan(cfg, from, func(frames []byte) error {
				groups++
				require.LessOrEqual(t, len(frames), len(b))
				return nil
			})
			if err != nil {
				continue
			}
			require.LessOrEqual(t, found.Bytes, int64(len(b))+vfs.BlockSize)
			require.Equal(t, groups, found.Groups)
			require.Equal(t, from.Seq+uint64(groups), found.End.Seq)
			if len(script) == 0 && from != (Cut{}) {
				require.Equal(t, 3, groups, "the file as it was written")
			}
		}
	})
}

func mustOpen(t testing.TB, b []byte) vfs.File {
	f, err := fuzztest.Files{"a": b}.Open("a", vfs.ReadOnly)
	require.NoError(t, err)
	return f
}

// Goal: a group's header and frames are taken only as a whole, whatever they
// claim.
func FuzzGroup(f *testing.F) {
	f.Add(journalBytes(f)[firstGroup:][:GroupHeaderSize+2*frame.Size(5)])
	f.Add([]byte("PLG1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append(make([]byte, firstGroup, firstGroup+len(b)), b...)
		refit(b)
		b = b[firstGroup:]
		h, _, err := parseGroupHeader(b)
		if err != nil {
			return
		}
		require.LessOrEqual(t, int(h.length), maxGroup)
		if int(h.length) <= len(b) && h.checkFrames(b) == nil {
			require.Equal(t, h.frames == 0, h.length == GroupHeaderSize)
		}
	})
}

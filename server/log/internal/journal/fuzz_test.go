package journal

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// fuzzConfig is a journal of one file in memory, with the given content.
func fuzzConfig(t testing.TB, b []byte) Config {
	fs := vfstest.NewMem()
	require.NoError(t, fs.MkdirAll("journal"))
	f, err := fs.Create(slotName("journal", 0), vfs.Buffered)
	require.NoError(t, err)
	if len(b) > 0 {
		_, err = f.WriteAt(b, 0)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	return Config{
		FS: fs, Dir: "journal", FileBytes: 64 << 10, Files: 2, Inline: true,
		Logger: slog.New(slog.DiscardHandler), Wanted: func() {}, Nonce: func() uint64 { return 11 },
	}
}

// journalBytes is a file with three groups, the last one empty.
func journalBytes(t testing.TB) []byte {
	cfg := fuzzConfig(t, nil)
	require.NoError(t, cfg.FS.Remove(slotName("journal", 0)))
	j, _, err := Open(cfg, Cut{}, nil, nil)
	require.NoError(t, err)
	g := &Group{}
	for range 2 {
		g.Reset()
		require.NoError(t, j.Write(g))
	}
	require.NoError(t, j.Close())
	f, err := cfg.FS.Open(slotName("journal", 0), vfs.Buffered)
	require.NoError(t, err)
	b := make([]byte, 4*vfs.BlockSize)
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	return b
}

// Goal: whatever a journal file holds, a scan ends in groups that are whole and
// in order, or in an error, and Inspect visits every block of it once.
func FuzzFile(f *testing.F) {
	f.Add(journalBytes(f))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 256<<10 {
			return
		}
		cfg := fuzzConfig(t, b)
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
		for _, from := range []Cut{{}, {File: 1, Position: firstGroup, Seq: 1}} {
			found, err := Scan(cfg, from, func([]byte) error { return nil })
			if err == nil {
				require.LessOrEqual(t, found.Bytes, int64(len(b))+vfs.BlockSize)
			}
		}
	})
}

// Goal: a group's header and frames are taken only as a whole, whatever they
// claim.
func FuzzGroup(f *testing.F) {
	f.Add(journalBytes(f)[firstGroup:][:vfs.BlockSize])
	f.Add([]byte("PLG1"))
	f.Fuzz(func(t *testing.T, b []byte) {
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

package vfstest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
)

// enough crashes that each state that must be possible is seen, and one that
// must not be would be: the rarest asked for has a chance of about 1 in 100.
const enough = 3_000

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// fill is n bytes that tell which write they are of.
func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func createFile(t testing.TB, m *Mem, name string, mode vfs.Mode) vfs.File {
	t.Helper()
	f, err := m.Create(name, mode)
	require.NoError(t, err)
	return f
}

// durableFile is one whose content, size and name a power cut cannot take.
func durableFile(t testing.TB, m *Mem, name string, content []byte) vfs.File {
	t.Helper()
	f := createFile(t, m, name, vfs.Buffered)
	write(t, f, content, 0)
	require.NoError(t, f.Sync())
	require.NoError(t, m.SyncDir("."))
	return f
}

func write(t testing.TB, f vfs.File, p []byte, position int64) {
	t.Helper()
	n, err := f.WriteAt(p, position)
	require.NoError(t, err)
	require.Equal(t, len(p), n)
}

func readFile(t testing.TB, m *Mem, name string, mode vfs.Mode) []byte {
	t.Helper()
	f, err := m.Open(name, mode)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	if mode == vfs.Direct {
		size = vfs.AlignUp(size)
	}
	b := vfs.AlignedBuffer(int(size))
	n, err := f.ReadAt(b, 0)
	if err != nil {
		require.ErrorIs(t, err, io.EOF)
	}
	return b[:n]
}

func names(t testing.TB, m *Mem) []string {
	t.Helper()
	names, err := m.ReadDir(".")
	require.NoError(t, err)
	return names
}

// seen counts what look says about many crashes of m.
func seen(m *Mem, look func(*Mem) string) map[string]int {
	counts := map[string]int{}
	for seed := range uint64(enough) {
		counts[look(m.Crash(seeded(seed)))]++
	}
	return counts
}

// assertSeen checks that exactly these things were seen.
func assertSeen(t *testing.T, counts map[string]int, want ...string) {
	t.Helper()
	var got []string
	for what := range counts {
		got = append(got, what)
	}
	assert.ElementsMatch(t, want, got, "%v", counts)
}

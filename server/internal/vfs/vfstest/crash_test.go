package vfstest

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
)

// Goal: what Sync and SyncDir covered survives every power cut, byte for byte.
func TestCrashKeepsWhatWasSynced(t *testing.T) {
	m := NewMem()
	want := fill('a', 100_000)
	f := durableFile(t, m, "f", want)
	write(t, f, nil, 0)
	for _, state := range []*Mem{m.CrashKeepNone(), m.CrashKeepAll(), m.Crash(seeded(1)), m.Crash(seeded(2))} {
		assert.True(t, bytes.Equal(want, readFile(t, state, "f", vfs.ReadOnly)))
	}
}

// Goal: each unsynced sector by itself is kept, dropped or garbage; synced
// sectors beside it are never touched. Method: three sectors are overwritten
// between two that are not; all 27 combinations are seen, and nothing else.
func TestCrashDecidesForEachSector(t *testing.T) {
	m := NewMem()
	f := durableFile(t, m, "f", fill('o', 5*sectorSize))
	write(t, f, fill('n', 3*sectorSize), sectorSize)
	counts := seen(m, func(state *Mem) string {
		b := readFile(t, state, "f", vfs.Buffered)
		require.Len(t, b, 5*sectorSize)
		require.Equal(t, fill('o', sectorSize), b[:sectorSize])
		require.Equal(t, fill('o', sectorSize), b[4*sectorSize:])
		var what string
		for i := 1; i <= 3; i++ {
			what += sectorKind(b[i*sectorSize:][:sectorSize])
		}
		return what
	})
	var want []string
	for _, a := range "ong" {
		for _, b := range "ong" {
			for _, c := range "ong" {
				want = append(want, string(a)+string(b)+string(c))
			}
		}
	}
	assertSeen(t, counts, want...)
}

// sectorKind names a sector of one byte by that byte, and any other garbage.
func sectorKind(s []byte) string {
	if bytes.Equal(s, fill(s[0], len(s))) && (s[0] == 'o' || s[0] == 'n') {
		return string(s[:1])
	}
	return "g"
}

// Goal: a sector written several times since the last sync is found in any of
// its versions.
func TestCrashKeepsAnyVersion(t *testing.T) {
	m := NewMem()
	f := durableFile(t, m, "f", fill('0', sectorSize))
	for _, b := range []byte("123") {
		write(t, f, fill(b, sectorSize), 0)
	}
	counts := seen(m, func(state *Mem) string {
		b := readFile(t, state, "f", vfs.Buffered)
		if !bytes.Equal(b, fill(b[0], sectorSize)) || b[0] < '0' || b[0] > '3' {
			return "garbage"
		}
		return string(b[:1])
	})
	assertSeen(t, counts, "0", "1", "2", "3", "garbage")
}

// Goal: garbage is also a sector that was written in part: first new bytes,
// then old ones.
func TestCrashTearsSectors(t *testing.T) {
	m := NewMem()
	f := durableFile(t, m, "f", fill('o', sectorSize))
	write(t, f, fill('n', sectorSize), 0)
	counts := seen(m, func(state *Mem) string {
		b := readFile(t, state, "f", vfs.Buffered)
		rest := bytes.TrimLeft(b, "n")
		if len(rest) > 0 && len(rest) < sectorSize && len(bytes.Trim(rest, "o")) == 0 {
			return "torn"
		}
		return "not torn"
	})
	assertSeen(t, counts, "torn", "not torn")
}

// Goal: the size of a file that grew is any from the synced to the present one,
// and what lies below it is one of the states of its sectors.
func TestCrashLeavesSizesBetween(t *testing.T) {
	m := NewMem()
	f := durableFile(t, m, "f", fill('o', 100))
	write(t, f, fill('n', 10_000), 100)
	sizes := map[int]int{}
	for seed := range uint64(enough) {
		b := readFile(t, m.Crash(seeded(seed)), "f", vfs.Buffered)
		require.GreaterOrEqual(t, len(b), 100)
		require.LessOrEqual(t, len(b), 10_100)
		sizes[len(b)]++
	}
	for _, size := range []int{100, 4096, 8192, 10_100} {
		assert.Positive(t, sizes[size], "size %d", size)
	}
	assert.Greater(t, len(sizes), 100)
	assert.Empty(t, m.CrashKeepNone().root.entries["f"].file.cache.sector(1), "nothing hides beyond the end")
}

// Goal: an unsynced truncate is there or not, and never makes garbage: what was
// cut off is whole, or zeros where the file grew again, or gone.
func TestCrashUndoesTruncate(t *testing.T) {
	m := NewMem()
	f := durableFile(t, m, "f", fill('o', 3*sectorSize))
	require.NoError(t, f.Truncate(sectorSize))
	require.NoError(t, f.Truncate(3*sectorSize))
	sizes := map[int]bool{}
	for seed := range uint64(enough) {
		b := readFile(t, m.Crash(seeded(seed)), "f", vfs.Buffered)
		sizes[len(b)] = true
		require.Equal(t, fill('o', sectorSize), b[:sectorSize])
		for rest := b[sectorSize:]; len(rest) > 0; rest = rest[min(sectorSize, len(rest)):] {
			s := rest[:min(sectorSize, len(rest))]
			require.True(t, bytes.Equal(s, fill('o', len(s))) || bytes.Equal(s, fill(0, len(s))))
		}
	}
	assert.True(t, sizes[sectorSize] && sizes[3*sectorSize])
	require.NoError(t, f.Sync())
	want := slices.Concat(fill('o', sectorSize), fill(0, 2*sectorSize))
	assert.Equal(t, want, readFile(t, m.CrashKeepNone(), "f", vfs.Buffered))
}

// Goal: a direct write is durable when it returns, size included, and takes
// nothing unsynced beside it along; while it runs, its sectors are unsynced.
func TestCrashAroundDirectWrite(t *testing.T) {
	m := NewMem()
	buffered := durableFile(t, m, "f", fill('o', 2*vfs.BlockSize))
	write(t, buffered, fill('u', sectorSize), vfs.BlockSize)
	direct, err := m.Open("f", vfs.Direct)
	require.NoError(t, err)
	p := vfs.AlignedBuffer(vfs.BlockSize)
	copy(p, fill('n', vfs.BlockSize))

	during := map[string]int{}
	m.SetHook(func(op Op) error {
		if op.Phase == During {
			require.Equal(t, Op{Kind: OpWriteAt, Phase: During, Name: "f", Len: vfs.BlockSize, N: op.N}, op)
			during = seen(m, func(state *Mem) string {
				return sectorKind(readFile(t, state, "f", vfs.Buffered)[:sectorSize])
			})
		}
		return nil
	})
	write(t, direct, p, 0)
	assertSeen(t, during, "o", "n", "g")
	m.SetHook(nil)

	after := seen(m, func(state *Mem) string {
		b := readFile(t, state, "f", vfs.Buffered)
		require.Equal(t, fill('n', vfs.BlockSize), b[:vfs.BlockSize])
		return string(b[vfs.BlockSize : vfs.BlockSize+1])
	})
	assert.Positive(t, after["u"])
	assert.Positive(t, after["o"])

	write(t, direct, p, 4*vfs.BlockSize)
	b := readFile(t, m.CrashKeepNone(), "f", vfs.Direct)
	assert.Equal(t, slices.Concat(fill('n', 4096), fill('o', 4096), fill(0, 8192), fill('n', 4096)), b)
}

// Goal: a direct write that failed in its course is neither there nor not; the
// next that succeeds settles it.
func TestCrashAfterFailedDirectWrite(t *testing.T) {
	m := NewMem()
	durableFile(t, m, "f", fill('o', vfs.BlockSize))
	f, err := m.Open("f", vfs.Direct)
	require.NoError(t, err)
	faults := NewFaults(Fault{Kinds: []Kind{OpWriteAt}, Phase: During})
	m.SetHook(faults.Hook)
	p := vfs.AlignedBuffer(vfs.BlockSize)
	copy(p, fill('n', len(p)))
	_, err = f.WriteAt(p, 0)
	require.Error(t, err)
	look := func(state *Mem) string { return sectorKind(readFile(t, state, "f", vfs.Buffered)[:sectorSize]) }
	assertSeen(t, seen(m, look), "o", "n", "g")
	write(t, f, p, 0)
	assertSeen(t, seen(m, look), "n")
}

// Goal: a killed process leaves the page cache, which shows what was never
// synced and can still be lost to a power cut.
func TestKillKeepsThePageCache(t *testing.T) {
	m := NewMem()
	f := durableFile(t, m, "f", fill('o', sectorSize))
	write(t, f, fill('n', sectorSize), 0)
	createFile(t, m, "unsynced", vfs.Buffered)
	lock, err := m.Lock("LOCK", "the dead")
	require.NoError(t, err)
	defer func() { assert.NoError(t, lock.Close()) }()

	killed := m.CrashKeepAll()
	again, err := killed.Lock("LOCK", "the living")
	require.NoError(t, err, "locks end with the process")
	defer func() { assert.NoError(t, again.Close()) }()
	assert.Equal(t, []string{"LOCK", "f", "unsynced"}, names(t, killed))
	assert.Equal(t, fill('n', sectorSize), readFile(t, killed, "f", vfs.ReadOnly))
	cut := killed.CrashKeepNone()
	assert.Equal(t, []string{"f"}, names(t, cut))
	assert.Equal(t, fill('o', sectorSize), readFile(t, cut, "f", vfs.ReadOnly))

	synced, err := killed.Open("f", vfs.Buffered)
	require.NoError(t, err)
	require.NoError(t, synced.Sync())
	assert.Equal(t, fill('n', sectorSize), readFile(t, killed.CrashKeepNone(), "f", vfs.ReadOnly))
	assert.Equal(t, fill('o', sectorSize), readFile(t, m.CrashKeepNone(), "f", vfs.ReadOnly), "they share nothing")
}

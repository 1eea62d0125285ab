package vfstest

import (
	"bytes"
	"fmt"
	"path"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
)

// Goal: one seed and one history give one state. Method: a random history is
// made twice, and each crash of the one compared with that of the other.
func TestCrashIsDeterministic(t *testing.T) {
	for seed := range uint64(50) {
		a, b := NewMem(), NewMem()
		history(t, a, seed)
		history(t, b, seed)
		for again := range uint64(3) {
			require.Equal(t, dump(t, a.Crash(seeded(again))), dump(t, b.Crash(seeded(again))), "seed %d", seed)
		}
		require.Equal(t, dump(t, a), dump(t, a.CrashKeepAll()), "seed %d", seed)
	}
}

// history does random things to a Mem.
func history(t testing.TB, m *Mem, seed uint64) {
	t.Helper()
	rng := seeded(seed)
	require.NoError(t, m.MkdirAll("d/e"))
	for range 100 {
		name := []string{"", "d/", "d/e/"}[rng.IntN(3)] + fmt.Sprint(rng.IntN(4))
		f, err := m.Open(name, vfs.Buffered)
		if err != nil {
			f = createFile(t, m, name, vfs.Buffered)
		}
		switch rng.IntN(8) {
		case 0:
			require.NoError(t, f.Sync())
		case 1:
			require.NoError(t, f.Truncate(rng.Int64N(50_000)))
		case 2:
			require.NoError(t, m.Remove(name))
		case 3:
			require.NoError(t, m.Rename(name, name[:len(name)-1]+fmt.Sprint(rng.IntN(4))))
		case 4:
			require.NoError(t, m.SyncDir([]string{".", "d", "d/e"}[rng.IntN(3)]))
		default:
			write(t, f, fill(byte(rng.Uint32()), rng.IntN(5_000)), rng.Int64N(50_000))
		}
	}
}

// dump is every file in a Mem, by name.
func dump(t testing.TB, m *Mem) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range []string{".", "d", "d/e"} {
		list, err := m.ReadDir(dir)
		require.NoError(t, err)
		for _, name := range list {
			name = path.Join(dir, name)
			if _, err := m.Size(name); err == nil {
				all[name] = string(readFile(t, m, name, vfs.Buffered))
			}
		}
	}
	return all
}

// BenchmarkCrash measures what a crash state of 1 MiB costs: a quarter of it
// was never synced.
func BenchmarkCrash(b *testing.B) {
	m := NewMem()
	f := durableFile(b, m, "f", fill('o', 768<<10))
	write(b, f, fill('n', 256<<10), 768<<10)
	rng := seeded(1)
	for b.Loop() {
		m.Crash(rng)
	}
}

// Goal: reads show what was written, and a crash leaves alone what was synced
// and not touched since, whatever was done in whatever order. Method: random
// calls on one file, against a plain slice of bytes and the set of sectors that
// were touched since the last sync.
func TestRandomCallsAgainstModel(t *testing.T) {
	for seed := range uint64(30) {
		rng := seeded(seed)
		m := NewMem()
		f := durableFile(t, m, "f", nil)
		direct, err := m.Open("f", vfs.Direct)
		require.NoError(t, err)
		var model, synced []byte
		touched := map[int]bool{}
		touch := func(from, to int) {
			for i := from / sectorSize; i*sectorSize < to; i++ {
				touched[i] = true
			}
		}
		for range 60 {
			at := rng.IntN(100_000)
			switch rng.IntN(6) {
			case 0:
				require.NoError(t, f.Sync())
				synced = bytes.Clone(model)
				clear(touched)
			case 1:
				touch(min(at, len(model)), max(at, len(model)))
				require.NoError(t, f.Truncate(int64(at)))
				model = resize(model, at)
			case 2:
				at -= at % vfs.BlockSize
				p := vfs.AlignedBuffer(vfs.BlockSize * (1 + rng.IntN(10)))
				copy(p, fill(byte(rng.IntN(3)), len(p)))
				write(t, direct, p, int64(at))
				model = resize(model, max(len(model), at+len(p)))
				copy(model[at:], p)
				synced = resize(synced, max(len(synced), at+len(p)))
				copy(synced[at:], p)
				for i := at / sectorSize; i < (at+len(p))/sectorSize; i++ {
					delete(touched, i)
				}
			default:
				p := fill(byte(rng.IntN(3)), rng.IntN(10_000))
				write(t, f, p, int64(at))
				if len(p) > 0 {
					model = resize(model, max(len(model), at+len(p)))
					copy(model[at:], p)
					touch(at, at+len(p))
				}
			}
			require.True(t, bytes.Equal(model, readFile(t, m, "f", vfs.Buffered)), "seed %d", seed)
			require.True(t, bytes.Equal(model, readFile(t, m, "f", vfs.Direct)), "seed %d", seed)
			none := readFile(t, m.CrashKeepNone(), "f", vfs.Buffered)
			some := readFile(t, m.Crash(rng), "f", vfs.Buffered)
			require.True(t, bytes.Equal(synced, none), "seed %d", seed)
			for i := 0; i*sectorSize < min(len(some), len(synced)); i++ {
				end := min(len(some), len(synced), (i+1)*sectorSize)
				if !touched[i] && !bytes.Equal(synced[i*sectorSize:end], some[i*sectorSize:end]) {
					require.Fail(t, "a synced sector changed", "seed %d, sector %d", seed, i)
				}
			}
		}
	}
}

func resize(b []byte, size int) []byte {
	if size <= len(b) {
		return b[:size:size]
	}
	return append(b[:len(b):len(b)], make([]byte, size-len(b))...)
}

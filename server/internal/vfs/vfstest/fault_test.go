package vfstest

import (
	"io/fs"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
)

// everyCall makes one call of each kind, in the order of the kinds, and returns
// their errors.
func everyCall(m *Mem, f vfs.File) []error {
	var errs []error
	collect := func(_ any, err error) { errs = append(errs, err) }
	collect(m.Open("f", vfs.Buffered))
	collect(m.Create("new", vfs.Buffered))
	collect(f.ReadAt(make([]byte, 1), 0))
	collect(f.WriteAt([]byte("x"), 0))
	collect(nil, f.Sync())
	collect(nil, f.Truncate(3))
	collect(nil, m.Rename("f", "g"))
	collect(nil, m.Remove("g"))
	collect(nil, m.MkdirAll("d"))
	collect(m.ReadDir("."))
	collect(m.Size("f"))
	collect(nil, m.SyncDir("."))
	collect(m.Lock("LOCK", "me"))
	collect(m.Free())
	return errs
}

// Goal: every call can be made to fail, with the error given and the name of
// the call in it, and then has no effect.
func TestEveryCallCanFail(t *testing.T) {
	for _, injected := range []error{
		syscall.EIO, syscall.ENOSPC, syscall.EMFILE, syscall.EDQUOT, syscall.EROFS,
	} {
		m := NewMem()
		f := durableFile(t, m, "f", []byte("old"))
		var asked []Kind
		faults := NewFaults(Fault{Sticky: true, Err: injected})
		m.SetHook(func(op Op) error {
			asked = append(asked, op.Kind)
			return faults.Hook(op)
		})
		errs := everyCall(m, f)
		for i, err := range errs {
			kind := Kind(i + 1)
			assert.Equal(t, kind, asked[i])
			require.ErrorIs(t, err, injected, kind)
			var pathErr *fs.PathError
			require.ErrorAs(t, err, &pathErr)
			assert.Equal(t, kind.String(), pathErr.Op)
		}
		assert.Len(t, errs, int(OpFree), "every kind was tried")
		assert.Equal(t, len(errs), faults.Fired())
		faults.Heal()
		assert.Equal(t, "f=old", whose(t)(m))
	}
}

// Goal: a fault is due when it says. Method: rows of faults, and which of six
// writes, by turns to two files, fail.
func TestFaultsAreDue(t *testing.T) {
	rows := map[string]struct {
		fault Fault
		fails string
	}{
		"the first, once":        {Fault{}, "x....."},
		"the third, once":        {Fault{Nth: 3}, "..x..."},
		"the third and on":       {Fault{Nth: 3, Sticky: true}, "..xxxx"},
		"one file":               {Fault{Name: "b", Nth: 2}, "...x.."},
		"a pattern of names":     {Fault{Name: "[ab]", Nth: 2}, ".x...."},
		"one kind":               {Fault{Kinds: []Kind{OpWriteAt}, Nth: 4}, "...x.."},
		"another kind":           {Fault{Kinds: []Kind{OpSync}, Sticky: true}, "......"},
		"another phase":          {Fault{Phase: During, Sticky: true}, "......"},
		"a pattern that is none": {Fault{Name: "[", Nth: 9}, "xxxxxx"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			m := NewMem()
			files := []vfs.File{createFile(t, m, "a", vfs.Buffered), createFile(t, m, "b", vfs.Buffered)}
			m.SetHook(NewFaults(row.fault).Hook)
			var fails string
			for i := range 6 {
				if _, err := files[i%2].WriteAt([]byte("x"), 0); err != nil {
					fails += "x"
				} else {
					fails += "."
				}
			}
			assert.Equal(t, row.fails, fails)
		})
	}
}

// Goal: a short write leaves its first bytes, and says how many: through the
// cache unsynced, directly durable and in whole sectors.
func TestShortWrite(t *testing.T) {
	short := Fault{Kinds: []Kind{OpWriteAt}, Err: &Partial{Bytes: 700, Err: syscall.ENOSPC}}
	for mode, want := range map[vfs.Mode]int{vfs.Buffered: 700, vfs.Direct: 512} {
		m := NewMem()
		f := createFile(t, m, "f", mode)
		require.NoError(t, m.SyncDir("."))
		m.SetHook(NewFaults(short).Hook)
		p := vfs.AlignedBuffer(vfs.BlockSize)
		copy(p, fill('n', len(p)))
		n, err := f.WriteAt(p, 0)
		require.ErrorIs(t, err, syscall.ENOSPC)
		assert.Equal(t, want, n)
		assert.Equal(t, p[:want], readFile(t, m, "f", vfs.Buffered))
		durable := want
		if mode == vfs.Buffered {
			durable = 0
		}
		assert.Len(t, readFile(t, m.CrashKeepNone(), "f", vfs.Buffered), durable)
	}
}

// ghost is a file of two sectors, the second of which was written but lost by a
// sync that failed.
func ghost(t *testing.T) (*Mem, vfs.File) {
	t.Helper()
	m := NewMem()
	f := durableFile(t, m, "f", fill('o', 2*sectorSize))
	write(t, f, fill('n', sectorSize), sectorSize)
	m.SetHook(NewFaults(Fault{Kinds: []Kind{OpSync}}).Hook)
	require.ErrorIs(t, f.Sync(), syscall.EIO)
	return m, f
}

// second is the second sector of f as a mode sees it.
func second(t *testing.T, m *Mem, mode vfs.Mode) string {
	t.Helper()
	return sectorKind(readFile(t, m, "f", mode)[sectorSize:])
}

// Goal: after a failed sync the page cache shows what the device does not have,
// a second sync succeeds and changes nothing, and both can be told.
func TestFailedSyncLosesData(t *testing.T) {
	m, f := ghost(t)
	assert.Zero(t, m.SyncsAfterFailure())
	require.NoError(t, f.Sync(), "as if all were well")
	assert.Equal(t, 1, m.SyncsAfterFailure())
	for _, state := range []*Mem{m, m.CrashKeepAll()} {
		assert.Equal(t, "n", second(t, state, vfs.Buffered))
		assert.Equal(t, "o", second(t, state, vfs.ReadOnly))
		assert.Equal(t, "o", second(t, state, vfs.Direct))
	}
	assertSeen(t, seen(m, func(state *Mem) string { return second(t, state, vfs.Buffered) }), "o")
	assert.Zero(t, m.CrashKeepAll().SyncsAfterFailure(), "another process")
}

// Goal: what a failed sync lost does not come back by being written again, not
// even in another process; it does where the file ends before it and grows
// again, in another file, and by a direct write.
func TestWaysOutOfAFailedSync(t *testing.T) {
	rewrite := func(t *testing.T, m *Mem, f vfs.File) {
		write(t, f, fill('n', sectorSize), sectorSize)
		require.NoError(t, f.Sync())
	}
	rows := map[string]struct {
		try  func(t *testing.T, m *Mem, f vfs.File)
		want string
	}{
		"rewrite": {rewrite, "o"},
		"rewrite after the size grew": {func(t *testing.T, m *Mem, f vfs.File) {
			require.NoError(t, f.Truncate(2*sectorSize+1))
			require.NoError(t, f.Truncate(2*sectorSize))
			rewrite(t, m, f)
		}, "o"},
		"truncate and append": {func(t *testing.T, m *Mem, f vfs.File) {
			require.NoError(t, f.Truncate(sectorSize))
			rewrite(t, m, f)
		}, "n"},
		"truncate within the sector and append": {func(t *testing.T, m *Mem, f vfs.File) {
			require.NoError(t, f.Truncate(sectorSize+10))
			write(t, f, fill('n', sectorSize-10), sectorSize+10)
			require.NoError(t, f.Sync())
		}, "n"},
		"direct write": {func(t *testing.T, m *Mem, _ vfs.File) {
			f, err := m.Open("f", vfs.Direct)
			require.NoError(t, err)
			p := vfs.AlignedBuffer(vfs.BlockSize)
			copy(p, slices.Concat(fill('o', sectorSize), fill('n', sectorSize)))
			write(t, f, p, 0)
			require.NoError(t, f.Truncate(2*sectorSize))
			require.NoError(t, f.Sync())
		}, "n"},
		"another file": {func(t *testing.T, m *Mem, _ vfs.File) {
			copied := createFile(t, m, "copy", vfs.Buffered)
			write(t, copied, readFile(t, m, "f", vfs.Buffered), 0)
			require.NoError(t, copied.Sync())
			require.NoError(t, m.Rename("copy", "f"))
			require.NoError(t, m.SyncDir("."))
		}, "n"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			m, f := ghost(t)
			row.try(t, m, f)
			assert.Equal(t, "n", second(t, m, vfs.Buffered))
			assert.Equal(t, row.want, second(t, m.CrashKeepNone(), vfs.Buffered))
		})
		t.Run(name+", in another process", func(t *testing.T) {
			m, _ := ghost(t)
			m = m.CrashKeepAll()
			f, err := m.Open("f", vfs.Buffered)
			require.NoError(t, err)
			row.try(t, m, f)
			assert.Equal(t, row.want, second(t, m.CrashKeepNone(), vfs.Buffered))
		})
	}
}

// Goal: sectors beside a lost one are synced as ever, and appending after one
// leaves a hole of what the disk had.
func TestSyncBesideLostSectors(t *testing.T) {
	m, f := ghost(t)
	write(t, f, fill('n', sectorSize), 0)
	write(t, f, fill('n', sectorSize), 2*sectorSize)
	require.NoError(t, f.Sync())
	want := slices.Concat(fill('n', sectorSize), fill('o', sectorSize), fill('n', sectorSize))
	assert.Equal(t, want, readFile(t, m.CrashKeepNone(), "f", vfs.Buffered))
}

// Goal: a sync may fail after a part of its work, and that part is durable.
func TestPartialSync(t *testing.T) {
	got := map[string]bool{}
	for seed := range uint64(50) {
		m := NewMem()
		f := durableFile(t, m, "f", fill('o', 2*sectorSize))
		write(t, f, fill('n', 2*sectorSize), 0)
		m.SetHook(NewFaults(Fault{Err: &Partial{Err: syscall.EIO, Rng: seeded(seed)}}).Hook)
		require.ErrorIs(t, f.Sync(), syscall.EIO)
		b := readFile(t, m.CrashKeepNone(), "f", vfs.Buffered)
		got[sectorKind(b[:sectorSize])+sectorKind(b[sectorSize:])] = true
	}
	assert.Equal(t, map[string]bool{"oo": true, "on": true, "no": true, "nn": true}, got)
}

// Goal: a retry of a failed sync of a directory is counted, too.
func TestSyncDirAfterFailure(t *testing.T) {
	m := NewMem()
	syncedFile(t, m, "a", "1")
	m.SetHook(NewFaults(Fault{Kinds: []Kind{OpSyncDir}}).Hook)
	require.ErrorIs(t, m.SyncDir("."), syscall.EIO)
	assert.Empty(t, names(t, m.CrashKeepNone()))
	require.NoError(t, m.SyncDir("."))
	assert.Equal(t, 1, m.SyncsAfterFailure())
}

// Goal: a full disk refuses growth, in every way there is to grow, and nothing
// else, and has room again when something is removed.
func TestCapacity(t *testing.T) {
	m := NewMem()
	f := durableFile(t, m, "f", fill('o', 6_000))
	durableFile(t, m, "g", fill('o', 3_000))
	m.SetCapacity(10_000)
	free, err := m.Free()
	require.NoError(t, err)
	assert.EqualValues(t, 1_000, free)
	_, err = f.WriteAt(fill('n', 1_001), 6_000)
	assert.ErrorIs(t, err, syscall.ENOSPC)
	assert.ErrorIs(t, f.Truncate(7_001), syscall.ENOSPC)
	write(t, f, fill('n', 6_000), 0)
	write(t, f, fill('n', 1_000), 6_000)
	after := m.CrashKeepAll()
	free, err = after.Free()
	require.NoError(t, err)
	assert.Zero(t, free, "a full disk stays full")
	require.NoError(t, m.Remove("g"))
	write(t, f, fill('n', 3_000), 7_000)
	m.SetCapacity(5_000)
	free, err = m.Free()
	require.NoError(t, err)
	assert.Zero(t, free)
}

package vfs

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Goal: the data is its owner's alone, and no symbolic link leads a file
// elsewhere.
func TestModesAndLinks(t *testing.T) {
	root := t.TempDir()
	sys := OS(root)
	require.NoError(t, sys.MkdirAll("d"))
	f, err := sys.Create("d/f", Buffered)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	lock, err := sys.Lock("d/LOCK", "me")
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	for name, want := range map[string]fs.FileMode{"d": dirMode, "d/f": fileMode, "d/LOCK": fileMode} {
		info, err := os.Stat(filepath.Join(root, name))
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode().Perm(), name)
	}

	require.NoError(t, os.Symlink(filepath.Join(root, "d", "f"), filepath.Join(root, "link")))
	require.NoError(t, os.Symlink(filepath.Join(root, "d"), filepath.Join(root, "dirlink")))
	for _, mode := range []Mode{Buffered, Direct, ReadOnly} {
		_, err := sys.Open("link", mode)
		assert.ErrorIs(t, err, unix.ELOOP)
	}
	_, err = sys.Lock("link", "me")
	assert.ErrorIs(t, err, unix.ELOOP)
	_, err = sys.Size("link")
	assert.Error(t, err)
	assert.Error(t, sys.MkdirAll("dirlink/below"))
}

// Goal: MkdirAll(".") makes a root that is missing, with what is missing above
// it, and accepts one that is a symbolic link.
func TestMakeRoot(t *testing.T) {
	above := t.TempDir()
	require.NoError(t, OS(filepath.Join(above, "a", "b")).MkdirAll("."))
	require.NoError(t, os.Symlink(filepath.Join(above, "a"), filepath.Join(above, "link")))
	sys := OS(filepath.Join(above, "link"))
	require.NoError(t, sys.MkdirAll("c"))
	names, err := sys.ReadDir(".")
	require.NoError(t, err)
	assert.Equal(t, []string{"b", "c"}, names)

	require.NoError(t, os.WriteFile(filepath.Join(above, "file"), nil, 0o600))
	assert.ErrorIs(t, OS(filepath.Join(above, "file")).MkdirAll("."), unix.ENOTDIR)
	assert.Error(t, OS(filepath.Join(above, "file", "below")).MkdirAll("."))
}

// Goal: a direct file writes synchronously whether or not its file system does
// direct I/O. Method: the flags of the open file.
func TestDirectFlags(t *testing.T) {
	for _, dir := range directories(t) {
		sys := OS(dir)
		for _, again := range []func(string, Mode) (File, error){sys.Create, sys.Open} {
			f, err := again("f", Direct)
			require.NoError(t, err)
			flags, err := statusFlags(f.(*osFile).f)
			require.NoError(t, err)
			assert.NotZero(t, flags&unix.O_DSYNC)
			t.Logf("%s: direct I/O %v", dir, flags&unix.O_DIRECT != 0)
			require.NoError(t, f.Close())
		}
	}
}

// Goal: a file system that accepts O_DIRECT and then refuses reads and writes
// still works. Method: reads and writes of misaligned memory, which a disk's
// file system refuses like that, below the check that forbids them.
func TestRefusedDirectIO(t *testing.T) {
	for _, dir := range directories(t) {
		f, err := OS(dir).Create("f", Direct)
		require.NoError(t, err)
		file := f.(*osFile).f
		out := AlignedBuffer(2 * BlockSize)[1 : 1+BlockSize]
		copy(out, bytes.Repeat([]byte("x"), BlockSize))
		n, err := writeDirect(file, out, 0)
		require.NoError(t, err)
		assert.Equal(t, len(out), n)

		require.NoError(t, ignoreInvalid(setDirect(file, true)))
		in := AlignedBuffer(2 * BlockSize)[1 : 1+BlockSize]
		n, err = readDirect(file, in, 0)
		require.NoError(t, err)
		assert.Equal(t, out, in[:n])

		flags, err := statusFlags(file)
		require.NoError(t, err)
		assert.NotZero(t, flags&unix.O_DSYNC, "still synchronous")
		if flags&unix.O_DIRECT == 0 {
			assert.ErrorIs(t, leaveDirect(file, unix.EINVAL), unix.EINVAL, "there is nothing to turn to twice")
		}
		require.NoError(t, f.Close())
	}
}

// Goal: dropping a file's cache keeps what the file holds.
func TestForgetKeepsData(t *testing.T) {
	for _, dir := range directories(t) {
		f, err := OS(dir).Create("f", Buffered)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte("unsynced"), 10_000)
		require.NoError(t, err)
		require.NoError(t, syncAndForget(f.(*osFile).f))
		b := make([]byte, 8)
		_, err = f.ReadAt(b, 10_000)
		require.NoError(t, err)
		assert.Equal(t, "unsynced", string(b))
		require.NoError(t, f.Close())
	}
}

// directories returns one on the disk and, where there is one, one on a tmpfs.
func directories(t *testing.T) []string {
	t.Helper()
	dirs := []string{t.TempDir()}
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		dir, err := os.MkdirTemp("/dev/shm", "vfs")
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
		dirs = append(dirs, dir)
	}
	return dirs
}

// Goal: beginning a sync changes nothing of what is read and promised, and is no error on
// a range that was not written or a file that is closed.
func TestStartSync(t *testing.T) {
	f, err := OS(t.TempDir()).Create("f", Buffered)
	require.NoError(t, err)
	data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10/16)
	_, err = f.WriteAt(data, 4096)
	require.NoError(t, err)
	start := f.(Starter).StartSync
	start(4096, int64(len(data)))
	start(1<<30, 1<<20)
	require.NoError(t, f.Sync())
	got := make([]byte, len(data))
	_, err = f.ReadAt(got, 4096)
	require.NoError(t, err)
	assert.Equal(t, data, got)
	require.NoError(t, f.Close())
	start(0, 1)
}

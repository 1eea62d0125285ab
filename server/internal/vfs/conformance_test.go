package vfs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// Goal: the file system in memory and the real one answer alike, so that what
// is proven on the one holds on the other. Method: each row of the table runs
// on a fresh directory of each: in memory, on the disk, and on a tmpfs, which
// may or may not know direct I/O.
func TestFileSystemsAnswerAlike(t *testing.T) {
	systems := map[string]func(t *testing.T) vfs.FS{
		"memory": func(*testing.T) vfs.FS { return vfstest.NewMem() },
		"disk":   func(t *testing.T) vfs.FS { return vfs.OS(t.TempDir()) },
	}
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		systems["tmpfs"] = func(t *testing.T) vfs.FS {
			dir, err := os.MkdirTemp("/dev/shm", "vfs")
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
			return vfs.OS(dir)
		}
	}
	rows := map[string]func(t *testing.T, sys vfs.FS){
		"create, then it is there":             testCreate,
		"create is exclusive":                  testCreateExclusive,
		"what is missing":                      testMissing,
		"names that are none":                  testInvalidNames,
		"rename replaces":                      testRenameReplaces,
		"rename stays in its directory":        testRenameAcross,
		"rename to itself":                     testRenameToItself,
		"remove while open":                    testRemoveWhileOpen,
		"remove leaves directories":            testRemoveDir,
		"directories are listed in order":      testReadDir,
		"directories are made with parent":     testMkdirAll,
		"files and directories differ":         testFileAsDir,
		"truncate grows with zeros":            testTruncate,
		"truncate in the middle of a byte run": testTruncateShrink,
		"a gap reads as zeros":                 testGap,
		"reads end at the end":                 testReadEnd,
		"direct I/O round trip":                testDirect,
		"direct I/O over a ragged end":         testDirectRaggedEnd,
		"direct I/O must be aligned":           testDirectAlignment,
		"read-only refuses changes":            testReadOnly,
		"closed files refuse everything":       testClosed,
		"modes see each other's writes":        testModesAgree,
		"a lock is held once":                  testLock,
		"free space":                           testFree,
		"a stamp tells a file from its copy":   testStamp,
		"all files are synced at once":         testWatch,
	}
	for system, make := range systems {
		for row, test := range rows {
			t.Run(system+"/"+row, func(t *testing.T) { test(t, make(t)) })
		}
	}
}

// create makes a file with content and leaves it open until the test ends.
func create(t *testing.T, sys vfs.FS, name, content string) vfs.File {
	t.Helper()
	f, err := sys.Create(name, vfs.Buffered)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	n, err := f.WriteAt([]byte(content), 0)
	require.NoError(t, err)
	require.Equal(t, len(content), n)
	return f
}

func open(t *testing.T, sys vfs.FS, name string, mode vfs.Mode) vfs.File {
	t.Helper()
	f, err := sys.Open(name, mode)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// content reads all of an open file.
func content(t *testing.T, f vfs.File) string {
	t.Helper()
	size, err := f.Size()
	require.NoError(t, err)
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	require.NoError(t, err)
	require.Len(t, b, int(size))
	return string(b)
}

func testCreate(t *testing.T, sys vfs.FS) {
	f := create(t, sys, "a", "hello")
	require.NoError(t, f.Sync())
	require.NoError(t, sys.SyncDir("."))
	size, err := sys.Size("a")
	require.NoError(t, err)
	assert.EqualValues(t, 5, size)
	for _, mode := range []vfs.Mode{vfs.Buffered, vfs.ReadOnly} {
		assert.Equal(t, "hello", content(t, open(t, sys, "a", mode)))
	}
}

func testCreateExclusive(t *testing.T, sys vfs.FS) {
	create(t, sys, "a", "kept")
	require.NoError(t, sys.MkdirAll("d"))
	for _, name := range []string{"a", "d", "."} {
		for _, mode := range []vfs.Mode{vfs.Buffered, vfs.Direct} {
			_, err := sys.Create(name, mode)
			assert.ErrorIs(t, err, fs.ErrExist, name)
		}
	}
	assert.Equal(t, "kept", content(t, open(t, sys, "a", vfs.Buffered)))
}

func testMissing(t *testing.T, sys vfs.FS) {
	for _, name := range []string{"none", "none/a"} {
		for _, mode := range []vfs.Mode{vfs.Buffered, vfs.Direct, vfs.ReadOnly} {
			_, err := sys.Open(name, mode)
			assert.ErrorIs(t, err, fs.ErrNotExist)
		}
		_, err := sys.Size(name)
		assert.ErrorIs(t, err, fs.ErrNotExist)
		_, err = sys.ReadDir(name)
		assert.ErrorIs(t, err, fs.ErrNotExist)
		assert.ErrorIs(t, sys.Remove(name), fs.ErrNotExist)
		assert.ErrorIs(t, sys.SyncDir(name), fs.ErrNotExist)
	}
	_, err := sys.Create("none/a", vfs.Buffered)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = sys.Lock("none/a", "me")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorIs(t, sys.Rename("none", "b"), fs.ErrNotExist)
}

func testInvalidNames(t *testing.T, sys vfs.FS) {
	for _, name := range []string{"", "/a", "a/", "../a", "a/../b", "./a", "a//b"} {
		_, err := sys.Open(name, vfs.Buffered)
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
		_, err = sys.Create(name, vfs.Buffered)
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
		_, err = sys.Size(name)
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
		_, err = sys.ReadDir(name)
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
		_, err = sys.Lock(name, "me")
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
		assert.ErrorIs(t, sys.MkdirAll(name), fs.ErrInvalid, name)
		assert.ErrorIs(t, sys.SyncDir(name), fs.ErrInvalid, name)
		assert.ErrorIs(t, sys.Remove(name), fs.ErrInvalid, name)
		assert.ErrorIs(t, sys.Rename(name, "x"), fs.ErrInvalid, name)
		assert.ErrorIs(t, sys.Rename("x", name), fs.ErrInvalid, name)
	}
}

func testRenameReplaces(t *testing.T, sys vfs.FS) {
	create(t, sys, "new", "new")
	old := create(t, sys, "current", "old")
	require.NoError(t, sys.Rename("new", "current"))
	names, err := sys.ReadDir(".")
	require.NoError(t, err)
	assert.Equal(t, []string{"current"}, names)
	assert.Equal(t, "new", content(t, open(t, sys, "current", vfs.Buffered)))
	assert.Equal(t, "old", content(t, old), "who had it open keeps it")
}

func testRenameAcross(t *testing.T, sys vfs.FS) {
	require.NoError(t, sys.MkdirAll("d"))
	create(t, sys, "a", "")
	assert.ErrorIs(t, sys.Rename("a", "d/a"), fs.ErrInvalid)
	assert.Error(t, sys.Rename("a", "d"), "a directory is not replaced")
}

func testRenameToItself(t *testing.T, sys vfs.FS) {
	create(t, sys, "a", "kept")
	require.NoError(t, sys.Rename("a", "a"))
	assert.Equal(t, "kept", content(t, open(t, sys, "a", vfs.Buffered)))
}

func testRemoveWhileOpen(t *testing.T, sys vfs.FS) {
	f := create(t, sys, "a", "before")
	require.NoError(t, sys.Remove("a"))
	_, err := sys.Open("a", vfs.Buffered)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = f.WriteAt([]byte("after!"), 0)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	create(t, sys, "a", "another")
	assert.Equal(t, "after!", content(t, f))
}

func testRemoveDir(t *testing.T, sys vfs.FS) {
	require.NoError(t, sys.MkdirAll("d"))
	assert.Error(t, sys.Remove("d"))
	_, err := sys.ReadDir("d")
	assert.NoError(t, err)
}

func testReadDir(t *testing.T, sys vfs.FS) {
	names, err := sys.ReadDir(".")
	require.NoError(t, err)
	assert.Empty(t, names)
	for _, name := range []string{"b", "a", "Z", "10", "9"} {
		create(t, sys, name, "")
	}
	require.NoError(t, sys.MkdirAll("m/below"))
	names, err = sys.ReadDir(".")
	require.NoError(t, err)
	assert.Equal(t, []string{"10", "9", "Z", "a", "b", "m"}, names)
	names, err = sys.ReadDir("m")
	require.NoError(t, err)
	assert.Equal(t, []string{"below"}, names)
}

func testMkdirAll(t *testing.T, sys vfs.FS) {
	require.NoError(t, sys.MkdirAll("."))
	require.NoError(t, sys.MkdirAll("a/b/c"))
	require.NoError(t, sys.MkdirAll("a/b/c"), "again")
	require.NoError(t, sys.MkdirAll("a/b/d"))
	create(t, sys, "a/b/c/file", "there")
	require.NoError(t, sys.SyncDir("a/b/c"))
	names, err := sys.ReadDir("a/b")
	require.NoError(t, err)
	assert.Equal(t, []string{"c", "d"}, names)
}

func testFileAsDir(t *testing.T, sys vfs.FS) {
	create(t, sys, "f", "")
	require.NoError(t, sys.MkdirAll("d"))
	assert.Error(t, sys.MkdirAll("f"))
	assert.Error(t, sys.MkdirAll("f/below"))
	assert.Error(t, sys.SyncDir("f"))
	_, err := sys.Open("f/below", vfs.Buffered)
	assert.Error(t, err)
	_, err = sys.ReadDir("f")
	assert.Error(t, err)
	_, err = sys.Size("d")
	assert.Error(t, err)
	for _, mode := range []vfs.Mode{vfs.Buffered, vfs.Direct, vfs.ReadOnly} {
		_, err = sys.Open("d", mode)
		assert.Error(t, err)
	}
}

func testLock(t *testing.T, sys vfs.FS) {
	lock, err := sys.Lock("LOCK", "the first holder, pid 4711")
	require.NoError(t, err)
	_, err = sys.Lock("LOCK", "second")
	locked, ok := err.(*vfs.LockedError)
	require.True(t, ok, "%T: %v", err, err)
	assert.Equal(t, vfs.LockedError{Name: "LOCK", Holder: "the first holder, pid 4711"}, *locked)
	other, err := sys.Lock("OTHER", "someone else")
	require.NoError(t, err)
	require.NoError(t, other.Close())

	require.NoError(t, lock.Close())
	assert.ErrorIs(t, lock.Close(), fs.ErrClosed)
	lock, err = sys.Lock("LOCK", "second")
	require.NoError(t, err)
	assert.Equal(t, "second", content(t, open(t, sys, "LOCK", vfs.Buffered)), "nothing is left of the first")
	require.NoError(t, lock.Close())
}

func testFree(t *testing.T, sys vfs.FS) {
	free, err := sys.Free()
	require.NoError(t, err)
	assert.Positive(t, free)
}

func testStamp(t *testing.T, sys vfs.FS) {
	write := func(name, content string) {
		f, err := sys.Create(name, vfs.Buffered)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte(content), 0)
		require.NoError(t, err)
		require.NoError(t, f.Sync())
		require.NoError(t, f.Close())
	}
	write("a", "x")
	first, err := sys.Stamp("a")
	require.NoError(t, err)
	require.NotZero(t, first, "the file systems that tests run on know their files")

	f, err := sys.Open("a", vfs.Buffered)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("longer"), 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, sys.Rename("a", "b"))
	again, err := sys.Stamp("b")
	require.NoError(t, err)
	assert.False(t, first.Differs(again), "content and name may change: %v, %v", first, again)

	write("c", "longer")
	copied, err := sys.Stamp("c")
	require.NoError(t, err)
	assert.True(t, first.Differs(copied), "%v, %v", first, copied)

	_, err = sys.Stamp("none")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.False(t, first.Differs(vfs.Stamp{}), "what is not known does not differ")
}

func testWatch(t *testing.T, sys vfs.FS) {
	w, err := sys.Watch()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("SKIP: this system does not tell of failed writes")
	}
	require.NoError(t, err)
	f, err := sys.Create("a", vfs.Buffered)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("x"), 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, sys.SyncDir("."))
	require.NoError(t, w.Sync())
	require.NoError(t, w.Close())
	if mem, ok := sys.(*vfstest.Mem); ok {
		size, err := mem.CrashKeepNone().Size("a")
		require.NoError(t, err)
		require.EqualValues(t, 1, size, "durable without a sync of its own")
	}
}

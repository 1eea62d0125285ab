package log

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// A log keeps its id as long as its directory is the one that it was made in,
// and gets another one in a copy, since a copy may be of an earlier state.
// Method: the real file system, and the ways in which people copy and restore.

// lifeOf opens a directory, appends a record, and returns the ids of its logs.
func lifeOf(t *testing.T, dir string) (ids [2]string) {
	t.Helper()
	e, err := Open(dir, Options{})
	require.NoError(t, err)
	_, err = e.named("").Append(context.Background(), oneBatch("record"))
	require.NoError(t, err)
	other, _, err := e.Put(context.Background(), "other", commitlog.Change{})
	require.NoError(t, err)
	ids = [2]string{e.named("").ID(), other.ID()}
	require.NotEqual(t, ids[0], ids[1])
	require.NoError(t, e.Close())
	return ids
}

func copyDir(t *testing.T, from string) (to string) {
	t.Helper()
	to = filepath.Join(t.TempDir(), "copy")
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

func TestIDsOfACopy(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	ids := lifeOf(t, dir)
	backup := copyDir(t, dir)
	require.Equal(t, ids, lifeOf(t, dir), "the same directory, opened again")

	moved := dir + "-renamed"
	require.NoError(t, os.Rename(dir, moved))
	require.Equal(t, ids, lifeOf(t, moved), "the same directory under another name")

	restored := lifeOf(t, backup)
	assert.NotEqual(t, ids[0], restored[0])
	assert.NotEqual(t, ids[1], restored[1])
	assert.Equal(t, restored, lifeOf(t, backup), "a new life goes on")
	assert.NotEqual(t, restored, lifeOf(t, copyDir(t, backup)), "a copy of a copy")
}

// A restore file by file into the directory, which leaves alone what looks the
// same, as rsync does.
func TestIDsAfterARestoreInPlace(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	ids := lifeOf(t, dir)
	backup := copyDir(t, dir)
	require.Equal(t, ids, lifeOf(t, dir))
	for _, sub := range []string{"journal", "segments"} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, sub)))
		require.NoError(t, os.CopyFS(filepath.Join(dir, sub), os.DirFS(filepath.Join(backup, sub))))
	}
	table, err := os.ReadFile(filepath.Join(backup, checkpointName))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "restored"), table, 0o600))
	require.NoError(t, os.Rename(filepath.Join(dir, "restored"), filepath.Join(dir, checkpointName)))
	after := lifeOf(t, dir)
	assert.NotEqual(t, ids[0], after[0])
	assert.NotEqual(t, ids[1], after[1])
}

// Adopt tells what the directory itself cannot know.
func TestAdopt(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	ids := lifeOf(t, dir)

	moved := copyDir(t, dir)
	require.NoError(t, Adopt(moved, true, Options{}))
	assert.Equal(t, ids, lifeOf(t, moved), "moved to another disk")

	require.NoError(t, Adopt(dir, false, Options{}))
	after := lifeOf(t, dir)
	assert.NotEqual(t, ids, after, "a snapshot of the volume was put back")
	assert.Equal(t, after, lifeOf(t, dir))

	e, err := Open(dir, Options{})
	require.NoError(t, err)
	require.Error(t, Adopt(dir, false, Options{}), "while a server has it")
	require.NoError(t, e.Close())
	require.Error(t, Adopt(t.TempDir(), false, Options{}), "an empty directory")
}

package vfstest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
)

// Goal: the digest tells every difference between two file systems, and no
// other. Method: one history made twice, then one change at a time.
func TestDigest(t *testing.T) {
	a, b := NewMem(), NewMem()
	history(t, a, 5)
	history(t, b, 5)
	require.Equal(t, a.Digest(), b.Digest())
	changes := map[string]func(m *Mem){
		"a byte":               func(m *Mem) { write(t, createFile(t, m, "n", vfs.Buffered), []byte{1}, 900) },
		"a size":               func(m *Mem) { require.NoError(t, createFile(t, m, "n", vfs.Buffered).Truncate(1)) },
		"a name":               func(m *Mem) { createFile(t, m, "n", vfs.Buffered) },
		"a directory":          func(m *Mem) { require.NoError(t, m.MkdirAll("n")) },
		"what is durable only": func(m *Mem) { require.NoError(t, m.SyncDir(".")) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			m := a.CrashKeepAll()
			createFile(t, m, "unsynced", vfs.Buffered)
			before := m.Digest()
			change(m)
			require.NotEqual(t, before, m.Digest())
			if name == "a byte" || name == "a name" {
				require.Equal(t, before, m.Digest("n"))
			}
		})
	}
}

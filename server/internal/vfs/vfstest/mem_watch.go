package vfstest

import (
	"errors"
	"maps"
	"slices"

	"github.com/proglog/proglog/server/internal/vfs"
)

// memWatch syncs all files that have a name.
type memWatch struct{ m *Mem }

// Watch implements [vfs.FS].
func (m *Mem) Watch() (vfs.Watch, error) { return memWatch{m}, nil }

// Sync makes the files durable, and no names. If it fails, all that was unsynced
// is lost, as with the sync of one file.
func (w memWatch) Sync() error {
	err := w.m.begin(Op{Kind: OpSyncAll, Name: "."})
	partial := &Partial{}
	errors.As(err, &partial)
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.root.each(func(n *inode) {
		if err != nil {
			n.failSync(partial.Rng)
		} else {
			n.sync()
		}
	})
	return err
}

func (w memWatch) Close() error { return nil }

// each visits every file below a directory, in the order of the names, so that
// what is drawn at random is the same each time.
func (d *dir) each(visit func(*inode)) {
	for _, name := range slices.Sorted(maps.Keys(d.entries)) {
		if e := d.entries[name]; e.dir != nil {
			e.dir.each(visit)
		} else {
			visit(e.file)
		}
	}
}

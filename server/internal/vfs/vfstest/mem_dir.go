package vfstest

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"syscall"

	"github.com/proglog/proglog/server/internal/vfs"
)

// MkdirAll implements [vfs.FS]. It asks the hook before, and again during the
// making of each directory, when a crash may still undo that one.
func (m *Mem) MkdirAll(name string) error {
	if err := m.begin(Op{Kind: OpMkdirAll, Name: name}); err != nil {
		return err
	}
	return m.mkdirAll(name)
}

func (m *Mem) mkdirAll(name string) error {
	if name == "." {
		return nil
	}
	parent := path.Dir(name)
	if err := m.mkdirAll(parent); err != nil {
		return err
	}
	d, made, err := m.mkdir(parent, name)
	if err != nil || !made {
		return err
	}
	if err := m.ask(Op{Kind: OpMkdirAll, Phase: During, Name: name}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d.settle(path.Base(name))
	return nil
}

// mkdir makes one directory, unless it is there, and returns its parent.
func (m *Mem) mkdir(parent, name string) (in *dir, made bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in, err = m.findDir(parent)
	if err != nil {
		return nil, false, pathError(OpMkdirAll, parent, err)
	}
	e, ok := in.entries[path.Base(name)]
	switch {
	case !ok:
		in.apply(change{kind: changeSet, name: path.Base(name), what: entry{dir: newDir()}})
		return in, true, nil
	case e.dir == nil:
		return nil, false, pathError(OpMkdirAll, name, syscall.ENOTDIR)
	default:
		// Its maker may have been killed before the entry was durable.
		in.settle(path.Base(name))
		return in, false, nil
	}
}

// SyncDir implements [vfs.FS].
func (m *Mem) SyncDir(name string) error {
	err := m.begin(Op{Kind: OpSyncDir, Name: name})
	m.mu.Lock()
	defer m.mu.Unlock()
	d, findErr := m.findDir(name)
	if findErr != nil {
		return errors.Join(err, pathError(OpSyncDir, name, findErr))
	}
	if d.syncFailed {
		m.syncsAfterFailure.Add(1)
	}
	if err != nil {
		d.syncFailed = true
		return err
	}
	d.sync()
	return nil
}

// heldLock is a lock that somebody holds.
type heldLock struct {
	m      *Mem
	inode  *inode
	holder string
}

// Lock implements [vfs.FS].
func (m *Mem) Lock(name, holder string) (io.Closer, error) {
	if err := m.begin(Op{Kind: OpLock, Name: name}); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		n, err = m.create(name)
	}
	if err != nil {
		return nil, pathError(OpLock, name, err)
	}
	if n.lock != nil {
		return nil, &vfs.LockedError{Name: name, Holder: n.lock.holder}
	}
	n.write([]byte(holder), 0, false)
	n.truncate(int64(len(holder)))
	n.lock = &heldLock{m: m, inode: n, holder: holder}
	return n.lock, nil
}

// Close releases the lock.
func (l *heldLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.inode.lock != l {
		return fs.ErrClosed
	}
	l.inode.lock = nil
	return nil
}

// bytes returns the sum of the sizes of all files below a directory.
func (d *dir) bytes() int64 {
	var sum int64
	for _, e := range d.entries {
		if e.dir != nil {
			sum += e.dir.bytes()
		} else {
			sum += e.file.size
		}
	}
	return sum
}

// Package vfstest has file systems for tests: [Mem], which lives in memory and
// knows what a crash at any moment may leave of it, and hooks that crash it
// ([CrashAt]) or make its calls fail ([Faults]).
package vfstest

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/proglog/proglog/server/internal/vfs"
)

// Mem is a [vfs.FS] in memory, empty at first.
//
// It is as unkind as the interface allows: only Sync makes a file's bytes
// durable, only SyncDir its name. Reads through a Direct or ReadOnly file show
// what the device would have, others the page cache; that differs after a
// failed sync.
type Mem struct {
	mu       sync.RWMutex
	root     *dir
	inodes   uint64
	capacity int64 // bytes that fit; without a limit, more than anyone writes

	hook              atomic.Pointer[Hook]
	asked             atomic.Int64
	syncsAfterFailure atomic.Int64
}

var _ vfs.FS = (*Mem)(nil)

// Unlimited is the capacity of a Mem that was given none.
const Unlimited = math.MaxInt64 / 2

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{root: newDir(), capacity: Unlimited}
}

// SetHook sets the hook to ask about each call from now on; nil is none. What a
// crash leaves has none.
func (m *Mem) SetHook(h func(Op) error) {
	if h == nil {
		m.hook.Store(nil)
		return
	}
	hook := Hook(h)
	m.hook.Store(&hook)
}

// SetCapacity limits the sum of the sizes of all files that have a name. What
// would grow a file beyond it fails with ENOSPC.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Ops returns how many questions about calls there were: Op.N of the last.
func (m *Mem) Ops() int { return int(m.asked.Load()) }

// SyncsAfterFailure counts the syncs of files and directories of which one had
// failed before. There is no use in them: what was unsynced at the failure is
// lost. It stays visible in the page cache, later syncs succeed, but neither
// they nor those after a rewrite through the cache bring it to the device; only
// what is truncated away and written again, or written to another file, or
// directly, is as good as ever. A process that starts after a crash counts anew.
func (m *Mem) SyncsAfterFailure() int { return int(m.syncsAfterFailure.Load()) }

// ask asks the hook about a call, and names the call in its error.
func (m *Mem) ask(op Op) error {
	op.N = int(m.asked.Add(1))
	hook := m.hook.Load()
	if hook == nil {
		return nil
	}
	if err := (*hook)(op); err != nil {
		return pathError(op.Kind, op.Name, err)
	}
	return nil
}

// begin checks a call's names and asks the hook about it.
func (m *Mem) begin(op Op) error {
	if !fs.ValidPath(op.Name) || op.Kind == OpRename && !fs.ValidPath(op.To) {
		return pathError(op.Kind, op.Name, fs.ErrInvalid)
	}
	return m.ask(op)
}

func pathError(k Kind, name string, err error) error {
	return &fs.PathError{Op: k.String(), Path: name, Err: err}
}

// find returns what a name stands for.
func (m *Mem) find(name string) (entry, error) {
	at := entry{dir: m.root}
	if name == "." {
		return at, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if at.dir == nil {
			return entry{}, syscall.ENOTDIR
		}
		next, ok := at.dir.entries[part]
		if !ok {
			return entry{}, fs.ErrNotExist
		}
		at = next
	}
	return at, nil
}

func (m *Mem) findFile(name string) (*inode, error) {
	e, err := m.find(name)
	if err != nil {
		return nil, err
	}
	if e.file == nil {
		return nil, syscall.EISDIR
	}
	return e.file, nil
}

func (m *Mem) findDir(name string) (*dir, error) {
	e, err := m.find(name)
	if err != nil {
		return nil, err
	}
	if e.dir == nil {
		return nil, syscall.ENOTDIR
	}
	return e.dir, nil
}

// Open implements [vfs.FS].
func (m *Mem) Open(name string, mode vfs.Mode) (vfs.File, error) {
	if err := m.begin(Op{Kind: OpOpen, Name: name}); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.findFile(name)
	if err != nil {
		return nil, pathError(OpOpen, name, err)
	}
	return &memFile{m: m, name: name, mode: mode, inode: n}, nil
}

// Create implements [vfs.FS].
func (m *Mem) Create(name string, mode vfs.Mode) (vfs.File, error) {
	if err := m.begin(Op{Kind: OpCreate, Name: name}); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.find(name); err == nil {
		return nil, pathError(OpCreate, name, fs.ErrExist)
	}
	n, err := m.create(name)
	if err != nil {
		return nil, pathError(OpCreate, name, err)
	}
	return &memFile{m: m, name: name, mode: mode, inode: n}, nil
}

func (m *Mem) create(name string) (*inode, error) {
	d, err := m.findDir(path.Dir(name))
	if err != nil {
		return nil, err
	}
	m.inodes++
	n := &inode{number: m.inodes}
	d.apply(change{kind: changeSet, name: path.Base(name), what: entry{file: n}})
	return n, nil
}

// Rename implements [vfs.FS].
func (m *Mem) Rename(from, to string) error {
	if err := m.begin(Op{Kind: OpRename, Name: from, To: to}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if path.Dir(from) != path.Dir(to) {
		return pathError(OpRename, from, fs.ErrInvalid)
	}
	n, err := m.findFile(from)
	if err != nil {
		return pathError(OpRename, from, err)
	}
	if target, err := m.findFile(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return pathError(OpRename, to, err)
	} else if target == n {
		return nil
	}
	d, err := m.findDir(path.Dir(from))
	if err != nil {
		return pathError(OpRename, from, err)
	}
	d.apply(change{kind: changeRename, name: path.Base(to), from: path.Base(from), what: entry{file: n}})
	return nil
}

// Remove implements [vfs.FS].
func (m *Mem) Remove(name string) error {
	if err := m.begin(Op{Kind: OpRemove, Name: name}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findFile(name)
	if err != nil {
		return pathError(OpRemove, name, err)
	}
	d, err := m.findDir(path.Dir(name))
	if err != nil {
		return pathError(OpRemove, name, err)
	}
	d.apply(change{kind: changeRemove, name: path.Base(name), what: entry{file: n}})
	return nil
}

// ReadDir implements [vfs.FS].
func (m *Mem) ReadDir(name string) ([]string, error) {
	if err := m.begin(Op{Kind: OpReadDir, Name: name}); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	d, err := m.findDir(name)
	if err != nil {
		return nil, pathError(OpReadDir, name, err)
	}
	return slices.Sorted(maps.Keys(d.entries)), nil
}

// Size implements [vfs.FS].
func (m *Mem) Size(name string) (int64, error) {
	if err := m.begin(Op{Kind: OpSize, Name: name}); err != nil {
		return 0, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.findFile(name)
	if err != nil {
		return 0, pathError(OpSize, name, err)
	}
	return n.size, nil
}

// Stamp implements [vfs.FS]. A crash leaves files what they are.
func (m *Mem) Stamp(name string) (vfs.Stamp, error) {
	if err := m.begin(Op{Kind: OpStamp, Name: name}); err != nil {
		return vfs.Stamp{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.findFile(name)
	if err != nil {
		return vfs.Stamp{}, pathError(OpStamp, name, err)
	}
	return vfs.Stamp{Inode: n.number}, nil
}

// Free implements [vfs.FS].
func (m *Mem) Free() (uint64, error) {
	if err := m.begin(Op{Kind: OpFree, Name: "."}); err != nil {
		return 0, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return uint64(max(0, m.capacity-m.root.bytes())), nil
}

// checkRoom fails if a file may not grow by that much.
func (m *Mem) checkRoom(growth int64) error {
	if growth <= 0 || m.capacity == Unlimited || growth <= m.capacity-m.root.bytes() {
		return nil
	}
	return syscall.ENOSPC
}

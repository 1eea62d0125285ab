package vfstest

import (
	"errors"
	"io"
	"io/fs"

	"github.com/proglog/proglog/server/internal/vfs"
)

// memFile is an open file of a Mem.
type memFile struct {
	m      *Mem
	name   string
	mode   vfs.Mode
	inode  *inode
	closed bool // guarded by m.mu
}

func (f *memFile) op(k Kind, off int64, n int) Op {
	return Op{Kind: k, Name: f.name, Off: off, Len: n}
}

func (f *memFile) fail(k Kind, err error) error { return pathError(k, f.name, err) }

// check refuses what a file system refuses of a read or write.
func (f *memFile) check(k Kind, p []byte, position int64) error {
	if position < 0 {
		return f.fail(k, fs.ErrInvalid)
	}
	if f.mode == vfs.Direct {
		if err := vfs.CheckAligned(p, position); err != nil {
			return f.fail(k, err)
		}
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, position int64) (int, error) {
	if err := f.check(OpReadAt, p, position); err != nil {
		return 0, err
	}
	if err := f.m.ask(f.op(OpReadAt, position, len(p))); err != nil {
		return 0, err
	}
	f.m.mu.RLock()
	defer f.m.mu.RUnlock()
	if f.closed {
		return 0, f.fail(OpReadAt, fs.ErrClosed)
	}
	n := f.inode.readAt(p, position, f.mode != vfs.Buffered)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, position int64) (int, error) {
	if f.mode == vfs.ReadOnly {
		return 0, f.fail(OpWriteAt, fs.ErrPermission)
	}
	if err := f.check(OpWriteAt, p, position); err != nil {
		return 0, err
	}
	op := f.op(OpWriteAt, position, len(p))
	if err := f.m.ask(op); err != nil {
		return f.writePart(p, position, err)
	}
	settle, err := f.write(p, position)
	if err != nil {
		return 0, err
	}
	if f.mode == vfs.Direct {
		op.Phase = During
		if err := f.m.ask(op); err != nil {
			return 0, err
		}
		settle()
	}
	return len(p), nil
}

// write leaves p unsynced; settle makes it durable.
func (f *memFile) write(p []byte, position int64) (settle func(), err error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return nil, f.fail(OpWriteAt, fs.ErrClosed)
	}
	end := position + int64(len(p))
	if err := f.m.checkRoom(end - f.inode.size); err != nil {
		return nil, f.fail(OpWriteAt, err)
	}
	first, sectors := f.inode.write(p, position, f.mode == vfs.Direct)
	return func() {
		f.m.mu.Lock()
		defer f.m.mu.Unlock()
		if len(p) > 0 {
			f.inode.settle(first, sectors, end)
		}
	}, nil
}

// writePart is a write that fails, perhaps after having written something.
func (f *memFile) writePart(p []byte, position int64, failed error) (int, error) {
	var partial *Partial
	if !errors.As(failed, &partial) {
		return 0, failed
	}
	n := min(max(0, partial.Bytes), len(p))
	if f.mode == vfs.Direct {
		n -= n % sectorSize
	}
	settle, err := f.write(p[:n], position)
	if err != nil {
		return 0, errors.Join(failed, err)
	}
	if f.mode == vfs.Direct {
		settle()
	}
	return n, failed
}

func (f *memFile) Sync() error {
	err := f.m.ask(f.op(OpSync, 0, 0))
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return errors.Join(err, f.fail(OpSync, fs.ErrClosed))
	}
	if f.inode.syncFailed {
		f.m.syncsAfterFailure.Add(1)
	}
	if err != nil {
		partial := &Partial{}
		errors.As(err, &partial)
		f.inode.failSync(partial.Rng)
		return err
	}
	f.inode.sync()
	return nil
}

func (f *memFile) Truncate(size int64) error {
	if f.mode == vfs.ReadOnly {
		return f.fail(OpTruncate, fs.ErrPermission)
	}
	if size < 0 {
		return f.fail(OpTruncate, fs.ErrInvalid)
	}
	if err := f.m.ask(f.op(OpTruncate, size, 0)); err != nil {
		return err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return f.fail(OpTruncate, fs.ErrClosed)
	}
	if err := f.m.checkRoom(size - f.inode.size); err != nil {
		return f.fail(OpTruncate, err)
	}
	f.inode.truncate(size)
	return nil
}

func (f *memFile) Size() (int64, error) {
	if err := f.m.ask(f.op(OpSize, 0, 0)); err != nil {
		return 0, err
	}
	f.m.mu.RLock()
	defer f.m.mu.RUnlock()
	if f.closed {
		return 0, f.fail(OpSize, fs.ErrClosed)
	}
	return f.inode.size, nil
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.closed = true
	return nil
}

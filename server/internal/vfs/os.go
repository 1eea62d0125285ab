package vfs

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	fileMode = 0o600
	dirMode  = 0o700
	// holderBytes bounds what is read of a lock file that someone else wrote.
	holderBytes = 1 << 10
)

// OS returns the operating system's file system below root. Nothing is opened
// before the first call, and root need not exist: MkdirAll(".") makes it.
//
// The last part of a name is never followed if it is a symbolic link. Root
// itself may be one.
func OS(root string) FS { return osFS{root: root} }

type osFS struct{ root string }

// path checks a name and returns its place in the system.
func (o osFS) path(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return filepath.Join(o.root, filepath.FromSlash(name)), nil
}

func (o osFS) Open(name string, mode Mode) (File, error) {
	return o.open("open", name, mode, 0)
}

func (o osFS) Create(name string, mode Mode) (File, error) {
	return o.open("create", name, mode, os.O_CREATE|os.O_EXCL)
}

func (o osFS) open(op, name string, mode Mode, flags int) (File, error) {
	p, err := o.path(op, name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p, modeFlags(mode)|flags|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return nil, err
	}
	file := &osFile{f: f, mode: mode}
	if err := file.prepare(flags&os.O_CREATE != 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return file, nil
}

func (o osFS) Rename(from, to string) error {
	oldPath, err := o.path("rename", from)
	if err != nil {
		return err
	}
	newPath, err := o.path("rename", to)
	if err != nil {
		return err
	}
	if path.Dir(from) != path.Dir(to) {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrInvalid}
	}
	return os.Rename(oldPath, newPath)
}

func (o osFS) Remove(name string) error {
	p, err := o.path("remove", name)
	if err != nil {
		return err
	}
	// Not os.Remove: that would take an empty directory, too.
	if err := ignoreInterrupts(func() error { return unix.Unlink(p) }); err != nil {
		return &fs.PathError{Op: "remove", Path: p, Err: err}
	}
	return nil
}

func (o osFS) ReadDir(dir string) ([]string, error) {
	p, err := o.path("readdir", dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(p)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (o osFS) Size(name string) (int64, error) {
	p, err := o.path("size", name)
	if err != nil {
		return 0, err
	}
	info, err := os.Lstat(p)
	if err != nil {
		return 0, err
	}
	if err := checkRegular("size", p, info); err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (o osFS) Stamp(name string) (Stamp, error) {
	p, err := o.path("stamp", name)
	if err != nil {
		return Stamp{}, err
	}
	info, err := os.Lstat(p)
	if err != nil {
		return Stamp{}, err
	}
	if err := checkRegular("stamp", p, info); err != nil {
		return Stamp{}, err
	}
	s, err := stamp(p)
	if err != nil {
		return Stamp{}, &fs.PathError{Op: "stamp", Path: p, Err: err}
	}
	return s, nil
}

func (o osFS) Watch() (Watch, error) { return watch(o.root) }

func (o osFS) Free() (uint64, error) {
	var st unix.Statfs_t
	if err := ignoreInterrupts(func() error { return unix.Statfs(o.root, &st) }); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: o.root, Err: err}
	}
	if st.Blocks == 0 {
		return math.MaxInt64, nil // a file system that does not count
	}
	// Available, not free: the rest is kept for the superuser.
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}

func (o osFS) Lock(name, holder string) (io.Closer, error) {
	p, err := o.path("lock", name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return nil, err
	}
	// flock, not fcntl: it belongs to the open file, so it also keeps out a
	// second Lock in this process, and closing another descriptor of the same
	// file does not lose it.
	err = control(f, "flock", func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		text, readErr := io.ReadAll(io.LimitReader(f, holderBytes))
		if readErr != nil {
			text = nil
		}
		_ = f.Close() // nothing was written
		return nil, &LockedError{Name: name, Holder: string(text)}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// The lock holds whether or not the text gets there, and a full disk is no
	// reason to refuse it. Overwritten, then cut: that needs no new space.
	if _, err := f.WriteAt([]byte(holder), 0); err == nil {
		_ = f.Truncate(int64(len(holder)))
	}
	return f, nil
}

func checkRegular(op, p string, info fs.FileInfo) error {
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		return &fs.PathError{Op: op, Path: p, Err: unix.EISDIR}
	default:
		return &fs.PathError{Op: op, Path: p, Err: errors.New("not a regular file")}
	}
}

// control runs a system call on an open file's descriptor.
func control(f *os.File, op string, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = ignoreInterrupts(func() error { return call(int(fd)) })
	})
	if err != nil { // the call was not made: that has one reason
		return &fs.PathError{Op: op, Path: f.Name(), Err: fs.ErrClosed}
	}
	if failed != nil {
		return &fs.PathError{Op: op, Path: f.Name(), Err: failed}
	}
	return nil
}

// ignoreInterrupts repeats a system call that a signal cut short.
func ignoreInterrupts(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

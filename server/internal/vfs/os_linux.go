package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

func modeFlags(mode Mode) int {
	switch mode {
	case Direct:
		// O_DIRECT is added by prepare: a file system that refuses it in open
		// may have made the file by then.
		return os.O_RDWR | unix.O_DSYNC
	case ReadOnly:
		return os.O_RDONLY
	default:
		return os.O_RDWR
	}
}

// prepare makes a file that was just opened fit its mode.
func prepare(f *os.File, mode Mode, created bool) error {
	switch mode {
	case Direct:
		err := setDirect(f, true)
		if !errors.Is(err, unix.EINVAL) || created {
			return ignoreInvalid(err)
		}
		return syncAndForget(f)
	case ReadOnly:
		return forget(f)
	default:
		return nil
	}
}

// readDirect reads from a file that is open for direct I/O, or would be if its
// file system could.
func readDirect(f *os.File, p []byte, position int64) (int, error) {
	n, err := f.ReadAt(p, position)
	if !errors.Is(err, unix.EINVAL) {
		return n, err
	}
	// A file may end within a block. The rest of it was read, and the attempt
	// to read on from there had to fail.
	if n%BlockSize != 0 {
		info, statErr := f.Stat()
		if statErr == nil && position+int64(n) >= info.Size() {
			return n, io.EOF
		}
	}
	if err := leaveDirect(f, err); err != nil {
		return n, err
	}
	return f.ReadAt(p, position)
}

// writeDirect is readDirect's counterpart. Durable when it returns, by O_DSYNC.
func writeDirect(f *os.File, p []byte, position int64) (int, error) {
	n, err := f.WriteAt(p, position)
	if !errors.Is(err, unix.EINVAL) {
		return n, err
	}
	if err := leaveDirect(f, err); err != nil {
		return n, err
	}
	return f.WriteAt(p, position)
}

// leaveDirect turns a file to buffered I/O, still with O_DSYNC, after a cause:
// some file systems accept O_DIRECT and then refuse every read and write, and
// a device may want larger blocks than ours. It returns the cause if the file
// is buffered already.
func leaveDirect(f *os.File, cause error) error {
	flags, err := statusFlags(f)
	if err != nil {
		return errors.Join(cause, err)
	}
	if flags&unix.O_DIRECT == 0 {
		return cause
	}
	// In this order nobody reads what a failed write left in the cache.
	if err := syncAndForget(f); err != nil {
		return errors.Join(cause, err)
	}
	if err := setDirect(f, false); err != nil {
		return errors.Join(cause, err)
	}
	return nil
}

func statusFlags(f *os.File) (flags int, err error) {
	err = control(f, "fcntl", func(fd int) error {
		var err error
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		return err
	})
	return flags, err
}

func setDirect(f *os.File, on bool) error {
	flags, err := statusFlags(f)
	if err != nil {
		return err
	}
	flags &^= unix.O_DIRECT
	if on {
		flags |= unix.O_DIRECT
	}
	return control(f, "fcntl", func(fd int) error {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags)
		return err
	})
}

// syncAndForget makes later reads come from the device. The sync comes first
// because pages that still have to be written cannot be dropped.
func syncAndForget(f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	return forget(f)
}

// forget drops a file's clean pages from the cache. Among them are those whose
// write failed: the kernel gives up on such a page and calls it clean.
func forget(f *os.File) error {
	return control(f, "fadvise", func(fd int) error {
		return unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)
	})
}

func dataSync(f *os.File) error {
	return control(f, "fdatasync", unix.Fdatasync)
}

// ignoreInvalid drops EINVAL, which is how a file system refuses O_DIRECT.
func ignoreInvalid(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// unstable are the file systems that may number a file anew at each mount.
var unstable = []int64{unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC}

func stamp(p string) (Stamp, error) {
	var st unix.Statx_t
	err := ignoreInterrupts(func() error {
		return unix.Statx(unix.AT_FDCWD, p, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &st)
	})
	if err != nil {
		return Stamp{}, err
	}
	var s Stamp
	if st.Mask&unix.STATX_BTIME != 0 {
		s.Born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	var where unix.Statfs_t
	if err := ignoreInterrupts(func() error { return unix.Statfs(p, &where) }); err != nil {
		return Stamp{}, err
	}
	if !slices.Contains(unstable, int64(where.Type)) {
		s.Inode = st.Ino
	}
	return s, nil
}

// osWatch is a descriptor for syncfs. The kernel tells it what could not be
// written since it was opened.
type osWatch struct{ f *os.File }

func (w osWatch) Sync() error  { return control(w.f, "syncfs", unix.Syncfs) }
func (w osWatch) Close() error { return w.f.Close() }

// watch is for kernels from 5.8 on: before, syncfs told of no failed write.
func watch(root string) (Watch, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil || major < 5 || major == 5 && minor < 8 {
		return nil, errors.ErrUnsupported
	}
	f, err := os.OpenFile(root, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return osWatch{f}, nil
}

// startSync only queues the pages; what it costs is the queueing.
func startSync(f *os.File, position, n int64) {
	_ = control(f, "sync_file_range", func(fd int) error {
		return unix.SyncFileRange(fd, position, n, unix.SYNC_FILE_RANGE_WRITE)
	})
}

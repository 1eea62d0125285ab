//go:build !linux

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Elsewhere, which is macOS, for development: there is no O_DIRECT and no way
// to drop a file's cache, so a direct write is a buffered one with a sync, and
// a read may come from the cache.

func modeFlags(mode Mode) int {
	if mode == ReadOnly {
		return os.O_RDONLY
	}
	return os.O_RDWR
}

func prepare(*os.File, Mode, bool) error { return nil }

func readDirect(f *os.File, p []byte, position int64) (int, error) {
	return f.ReadAt(p, position)
}

func writeDirect(f *os.File, p []byte, position int64) (int, error) {
	n, err := f.WriteAt(p, position)
	if err != nil {
		return n, err
	}
	if err := dataSync(f); err != nil {
		return 0, err
	}
	return n, nil
}

// dataSync is F_FULLFSYNC on macOS: plain fsync leaves data in the drive's cache.
func dataSync(f *os.File) error { return f.Sync() }

// stamp leaves the birth out: on macOS a copy can take it along.
func stamp(p string) (Stamp, error) {
	var st unix.Stat_t
	if err := ignoreInterrupts(func() error { return unix.Lstat(p, &st) }); err != nil {
		return Stamp{}, err
	}
	return Stamp{Inode: st.Ino}, nil
}

func startSync(*os.File, int64, int64) {}

func watch(string) (Watch, error) { return nil, errors.ErrUnsupported }

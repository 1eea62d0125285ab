package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ballast is the file that takes what is free.
const ballast = "ballast"

// Fill takes all free space but so many bytes with a ballast file; to the last block
// if that is 0.
func (d *Disk) Fill(leave int64) error {
	file, err := os.OpenFile(filepath.Join(d.Dir, ballast), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	end, err := file.Seek(0, 2)
	if err != nil {
		return err
	}
	const block = 4096
	for step := int64(64 << 20); step >= block; {
		var s unix.Statfs_t
		if err := unix.Statfs(d.Dir, &s); err != nil {
			return err
		}
		if leave > 0 && int64(s.Bavail)*s.Bsize < leave+step {
			step /= 2
			continue
		}
		switch err := unix.Fallocate(int(file.Fd()), 0, end, step); {
		case err == nil:
			end += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case errors.Is(err, unix.EINTR):
		default:
			return err
		}
	}
	return nil
}

// Empty gives back what Fill took.
func (d *Disk) Empty() error {
	err := os.Remove(filepath.Join(d.Dir, ballast))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

package measure

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncFileSystem writes out all that waits to be written to dir's file system.
func syncFileSystem(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd()))), f.Close())
}

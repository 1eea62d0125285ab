package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func (o osFS) SyncDir(dir string) error {
	p, err := o.path("syncdir", dir)
	if err != nil {
		return err
	}
	return syncDir(p)
}

// MkdirAll also syncs the parents of directories that are there already: who
// made them may have been killed before it could.
func (o osFS) MkdirAll(dir string) error {
	p, err := o.path("mkdir", dir)
	if err != nil {
		return err
	}
	if dir == "." {
		return makeRoot(p)
	}
	if err := o.MkdirAll(path.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(p, dirMode); err != nil {
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := checkDir(p, os.Lstat); err != nil {
			return err
		}
	}
	return syncDir(filepath.Dir(p))
}

// makeRoot makes the root and what is missing above it. Unlike a directory
// below it, the root may be a symbolic link, and its parent may be out of
// bounds: then whoever made the root has to care for its entry.
func makeRoot(p string) error {
	abs, err := filepath.Abs(p)
	if err != nil {
		return err
	}
	err = os.Mkdir(abs, dirMode)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(abs) != abs {
		if err := makeRoot(filepath.Dir(abs)); err != nil {
			return err
		}
		err = os.Mkdir(abs, dirMode)
	}
	switch {
	case err == nil:
		return syncDir(filepath.Dir(abs))
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	if err := checkDir(abs, os.Stat); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(abs)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

func checkDir(p string, stat func(string) (fs.FileInfo, error)) error {
	info, err := stat(p)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: p, Err: unix.ENOTDIR}
	}
	return nil
}

func syncDir(p string) error {
	f, err := os.OpenFile(p, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

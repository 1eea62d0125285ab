package vfs

import (
	"io/fs"
	"os"
)

// osFile is a file of [OS]. What direct I/O and a sync are depends on the
// system: see prepare, readDirect, writeDirect and dataSync in os_linux.go and
// os_other.go.
type osFile struct {
	f    *os.File
	mode Mode
}

func (f *osFile) prepare(created bool) error {
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	if err := checkRegular("open", f.f.Name(), info); err != nil {
		return err
	}
	return prepare(f.f, f.mode, created)
}

func (f *osFile) ReadAt(p []byte, position int64) (int, error) {
	if f.mode != Direct {
		return f.f.ReadAt(p, position)
	}
	if err := CheckAligned(p, position); err != nil {
		return 0, &fs.PathError{Op: "read", Path: f.f.Name(), Err: err}
	}
	return readDirect(f.f, p, position)
}

func (f *osFile) WriteAt(p []byte, position int64) (int, error) {
	switch f.mode {
	case ReadOnly:
		return 0, f.refuse("write")
	case Direct:
		if err := CheckAligned(p, position); err != nil {
			return 0, &fs.PathError{Op: "write", Path: f.f.Name(), Err: err}
		}
		return writeDirect(f.f, p, position)
	default:
		return f.f.WriteAt(p, position)
	}
}

func (f *osFile) Truncate(size int64) error {
	if f.mode == ReadOnly {
		return f.refuse("truncate")
	}
	return f.f.Truncate(size)
}

func (f *osFile) Sync() error { return dataSync(f.f) }

// StartSync implements [Starter].
func (f *osFile) StartSync(position, n int64) { startSync(f.f, position, n) }

func (f *osFile) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Close() error { return f.f.Close() }

func (f *osFile) refuse(op string) error {
	return &fs.PathError{Op: op, Path: f.f.Name(), Err: fs.ErrPermission}
}

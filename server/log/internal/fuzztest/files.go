package fuzztest

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/proglog/proglog/server/internal/vfs"
)

// Files is a [vfs.FS] of files in memory by their names. It can be read, no more.
type Files map[string][]byte

var _ vfs.FS = Files{}

// Open implements [vfs.FS].
func (f Files) Open(name string, _ vfs.Mode) (vfs.File, error) {
	b, there := f[name]
	if !there {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return file(b), nil
}

// ReadDir implements [vfs.FS].
func (f Files) ReadDir(dir string) (names []string, err error) {
	for name := range f {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Size implements [vfs.FS].
func (f Files) Size(name string) (int64, error) {
	if b, there := f[name]; there {
		return int64(len(b)), nil
	}
	return 0, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

// errReadOnly is the answer to every change: no decoder may ask for one.
var errReadOnly = errors.New("a decoder wants to change what it reads")

// The rest of [vfs.FS].

func (f Files) Create(string, vfs.Mode) (vfs.File, error) { return nil, errReadOnly }
func (f Files) Rename(string, string) error               { return errReadOnly }
func (f Files) Remove(string) error                       { return errReadOnly }
func (f Files) MkdirAll(string) error                     { return errReadOnly }
func (f Files) SyncDir(string) error                      { return errReadOnly }
func (f Files) Stamp(string) (vfs.Stamp, error)           { return vfs.Stamp{}, nil }
func (f Files) Watch() (vfs.Watch, error)                 { return nil, errReadOnly }
func (f Files) Lock(string, string) (io.Closer, error)    { return nil, errReadOnly }
func (f Files) Free() (uint64, error)                     { return 0, errReadOnly }

type file []byte

func (f file) ReadAt(p []byte, at int64) (int, error) {
	if at >= int64(len(f)) {
		return 0, io.EOF
	}
	n := copy(p, f[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f file) Size() (int64, error)               { return int64(len(f)), nil }
func (f file) WriteAt([]byte, int64) (int, error) { return 0, errReadOnly }
func (f file) Sync() error                        { return nil }
func (f file) Truncate(int64) error               { return errReadOnly }
func (f file) Close() error                       { return nil }

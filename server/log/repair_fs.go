package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	"github.com/proglog/proglog/server/internal/vfs"
)

// sourceFS is a directory that is looked at and never changed. Files are read as
// the device has them, whatever mode they are opened in. What the device does
// not give back reads as zeros, which no checksum takes for anything, and is
// told once a place.
type sourceFS struct {
	vfs.FS
	unread func(file string, position int64, err error)
	files  map[string]string // where a file is that has another's name; "": its name is another's

	mu   sync.Mutex
	told map[string]bool
}

func newSourceFS(inner vfs.FS, unread func(file string, position int64, err error)) *sourceFS {
	return &sourceFS{FS: inner, unread: unread, told: map[string]bool{}}
}

var errSource = errors.New("the directory is only looked at")

func (s *sourceFS) Open(name string, _ vfs.Mode) (vfs.File, error) {
	if name = s.real(name); name == "" {
		return nil, fs.ErrNotExist
	}
	f, err := s.FS.Open(name, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	return &sourceFile{File: f, fs: s, name: name}, nil
}

// Size is that of the file, whatever it is called.
func (s *sourceFS) Size(name string) (int64, error) {
	if name = s.real(name); name == "" {
		return 0, fs.ErrNotExist
	}
	return s.FS.Size(name)
}

// real is what the file is called that a path stands for.
func (s *sourceFS) real(name string) string {
	if file, moved := s.files[name]; moved {
		return file
	}
	return name
}

// named is what a file in a directory should be called.
func (s *sourceFS) named(dir, file string) string {
	for name, at := range s.files {
		if at == dir+"/"+file {
			return path.Base(name)
		}
	}
	return file
}

func (s *sourceFS) Create(string, vfs.Mode) (vfs.File, error) { return nil, errSource }
func (s *sourceFS) Rename(string, string) error               { return errSource }
func (s *sourceFS) Remove(string) error                       { return errSource }
func (s *sourceFS) MkdirAll(string) error                     { return errSource }
func (s *sourceFS) SyncDir(string) error                      { return errSource }

func (s *sourceFS) tell(name string, position int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprint(name, position)
	if !s.told[key] && s.unread != nil {
		s.told[key] = true
		s.unread(name, position, err)
	}
}

// sourceFile reads any bytes by whole blocks.
type sourceFile struct {
	vfs.File
	fs   *sourceFS
	name string
}

func (f *sourceFile) WriteAt([]byte, int64) (int, error) { return 0, errSource }
func (f *sourceFile) Truncate(int64) error               { return errSource }
func (f *sourceFile) Sync() error                        { return errSource }

func (f *sourceFile) ReadAt(p []byte, position int64) (int, error) {
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	if position >= size {
		return 0, io.EOF
	}
	from := position / vfs.BlockSize * vfs.BlockSize
	end := min(size, position+int64(len(p)))
	b := vfs.AlignedBuffer(int(vfs.AlignUp(end) - from))
	n, err := f.File.ReadAt(b, from)
	if err != nil && !errors.Is(err, io.EOF) {
		if n, err = f.blocks(b, from, size); err != nil {
			return 0, err
		}
	}
	n -= int(position - from)
	if n <= 0 {
		return 0, io.EOF
	}
	n = copy(p, b[position-from:][:n])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// blocks reads one block after the other, to lose no more than has to be.
func (f *sourceFile) blocks(b []byte, from, size int64) (n int, err error) {
	for n < len(b) && from+int64(n) < size {
		block := b[n : n+vfs.BlockSize]
		want := int(min(vfs.BlockSize, size-from-int64(n)))
		if _, err := f.File.ReadAt(block, from+int64(n)); err != nil && !errors.Is(err, io.EOF) {
			if errors.Is(err, fs.ErrClosed) {
				return n, err
			}
			clear(block)
			f.fs.tell(f.name, from+int64(n), err)
		}
		n += want
	}
	return n, nil
}

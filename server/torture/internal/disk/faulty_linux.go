package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// CheckFaulty says why a disk with failing sectors cannot be made here.
func CheckFaulty(kind string) error {
	if err := Check(kind); err != nil {
		return err
	}
	file, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("there is no FUSE: %w", err)
	}
	return file.Close()
}

// Faulty is a disk image, served through FUSE, of which chosen sectors refuse to be
// written. A file system on it meets what a failing device does.
type Faulty struct {
	*Disk
	server *fuse.Server
	mount  string

	mu     sync.Mutex
	refuse func(at int64, data []byte) bool // nil: nothing
	failed int                              // writes, since the last Fail
	first  chan struct{}                    // closed with the first of them
}

// MakeFaulty makes a healthy one below a directory, with an empty file system of so
// many bytes, and mounts it.
func MakeFaulty(ctx context.Context, dir, kind string, size int64) (*Faulty, error) {
	image := filepath.Join(dir, "raw")
	if err := Format(ctx, image, kind, size); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	f := &Faulty{mount: filepath.Join(dir, "served")}
	if err := os.MkdirAll(f.mount, 0o700); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	root := &fs.Inode{}
	f.server, err = fs.Mount(f.mount, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, MaxWrite: 1 << 20, DisableSplice: true, FsName: "torture", Name: "torture"},
		OnAdd: func(ctx context.Context) {
			node := root.NewPersistentInode(ctx, &imageNode{f: f, file: file, size: size}, fs.StableAttr{Mode: syscall.S_IFREG})
			root.AddChild("image", node, false)
		},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve an image through FUSE: %w", err), file.Close())
	}
	f.Disk = Over(filepath.Join(f.mount, "image"), filepath.Join(dir, "mounted"), kind)
	return f, f.Disk.Mount(ctx)
}

// Close unmounts everything.
func (f *Faulty) Close() error {
	f.Heal()
	return errors.Join(f.Disk.Unmount(), f.server.Unmount())
}

// Fail has every write fail with EIO that the function says so of, given its place on
// the disk and its bytes. The channel is closed with the first of them.
func (f *Faulty) Fail(refuse func(at int64, data []byte) bool) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse, f.failed, f.first = refuse, 0, make(chan struct{})
	return f.first
}

// Heal ends Fail, and returns how many writes failed.
func (f *Faulty) Heal() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = nil
	return f.failed
}

// allows judges a write.
func (f *Faulty) allows(at int64, data []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse == nil || !f.refuse(at, data) {
		return true
	}
	if f.failed++; f.failed == 1 {
		close(f.first)
	}
	return false
}

// An Extent is a run of bytes of a disk.
type Extent struct{ At, Length int64 }

// Overlaps tells if a write touches one of the extents.
func Overlaps(extents []Extent, at int64, length int) bool {
	for _, e := range extents {
		if at < e.At+e.Length && e.At < at+int64(length) {
			return true
		}
	}
	return false
}

// Contains tells if a write has one of the marks.
func Contains(marks [][]byte, data []byte) bool {
	for _, mark := range marks {
		if bytes.Contains(data, mark) {
			return true
		}
	}
	return false
}

// imageNode is the image, as FUSE sees it.
type imageNode struct {
	fs.Inode
	f    *Faulty
	file *os.File
	size int64
}

var (
	_ fs.NodeOpener    = (*imageNode)(nil)
	_ fs.NodeReader    = (*imageNode)(nil)
	_ fs.NodeWriter    = (*imageNode)(nil)
	_ fs.NodeFsyncer   = (*imageNode)(nil)
	_ fs.NodeGetattrer = (*imageNode)(nil)
)

// Open opens the image. Nothing of it is cached above us: a cache would hide what a
// device has and has not.
func (n *imageNode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

// Getattr tells the image's size.
func (n *imageNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blksize = 0o600, uint64(n.size), 4096
	return 0
}

// Read reads sectors.
func (n *imageNode) Read(_ context.Context, _ fs.FileHandle, dest []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	read, err := n.file.ReadAt(dest, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fs.ToErrno(err)
	}
	return fuse.ReadResultData(dest[:read]), 0
}

// Write writes sectors, or refuses to.
func (n *imageNode) Write(_ context.Context, _ fs.FileHandle, data []byte, at int64) (uint32, syscall.Errno) {
	if !n.f.allows(at, data) {
		return 0, syscall.EIO
	}
	written, err := n.file.WriteAt(data, at)
	return uint32(written), fs.ToErrno(err)
}

// Fsync has nothing to do: what was written is in this kernel's memory, and it is
// not this kernel whose power is cut.
func (n *imageNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return 0 }

// Extents returns where the files of a pattern below the mounted directory lie on
// the disk.
func (d *Disk) Extents(pattern string) (all []Extent, err error) {
	names, err := filepath.Glob(filepath.Join(d.Dir, pattern))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		extents, err := extentsOf(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, extents...)
	}
	return all, nil
}

// extentsOf asks the file system (FIEMAP) where a file lies.
func extentsOf(name string) (all []Extent, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	const (
		fiemap   = 0xc020660b // FS_IOC_FIEMAP
		lastFlag = 1          // FIEMAP_EXTENT_LAST
		most     = 64
	)
	type extent struct {
		logical, physical, length uint64
		_                         [2]uint64
		flags                     uint32
		_                         [3]uint32
	}
	var request struct {
		start, length        uint64
		flags, mapped, count uint32
		_                    uint32
		extents              [most]extent
	}
	for {
		request.length, request.count = ^uint64(0)-request.start, most
		if err := ioctl(file, fiemap, &request); err != nil {
			return nil, fmt.Errorf("fiemap of %s: %w", name, err)
		}
		for _, e := range request.extents[:request.mapped] {
			all = append(all, Extent{At: int64(e.physical), Length: int64(e.length)})
			request.start = e.logical + e.length
			if e.flags&lastFlag != 0 {
				return all, nil
			}
		}
		if request.mapped == 0 {
			return all, nil
		}
	}
}

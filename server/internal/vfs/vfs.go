// Package vfs is the seam between the log engine and the file system: the dozen
// calls that the engine needs, and what each promises about durability. [OS] is
// the real one; package vfstest has one in memory that can lose, tear and
// reorder whatever was not synced, and one that fails chosen calls.
//
// Names are slash-separated paths below the root that the FS was made for; the
// root itself is ".".
package vfs

import (
	"io"
	"unsafe"
)

// BlockSize is the unit of direct I/O, in bytes: positions, lengths and memory
// addresses of reads and writes to a file opened [Direct] are multiples of it.
const BlockSize = 4096

// Mode says how a file is opened.
type Mode int

const (
	// Buffered: writes go to the operating system and are durable after Sync.
	Buffered Mode = iota
	// Direct: a write is durable when WriteAt returns (to space that was written
	// and synced before; otherwise its metadata needs Sync). Reads tell what the
	// device holds, not what a cache holds: a failed write leaves its bytes in
	// the page cache, where a restart would believe them. Where the file system
	// cannot do direct I/O, the same is had by a buffered write with a sync, and
	// by dropping the file's cache at open.
	Direct
	// ReadOnly: as Direct for reads, and every change fails.
	ReadOnly
)

// FS is a file system. Its methods are safe for concurrent use. Errors wrap
// those of package io/fs where they apply.
//
// Creating, renaming and removing a file is durable only after SyncDir of its
// directory; until then a crash may undo each of them by itself.
type FS interface {
	// Open opens an existing file.
	Open(name string, mode Mode) (File, error)
	// Create makes a new, empty file, readable by its owner alone, and fails if
	// the name exists.
	Create(name string, mode Mode) (File, error)
	// Rename gives a file another name in the same directory, replacing what
	// has it.
	Rename(from, to string) error
	// Remove removes a file. Those who have it open can go on using it.
	Remove(name string) error
	// MkdirAll makes a directory and its parents, for the owner alone, and
	// makes their entries durable.
	MkdirAll(dir string) error
	// ReadDir returns the names in a directory, sorted.
	ReadDir(dir string) ([]string, error)
	// Size returns a file's size without opening it.
	Size(name string) (int64, error)
	// Stamp tells a file from every copy of it: it stays the same for the life of
	// the file, whatever its name and content become.
	Stamp(name string) (Stamp, error)
	// SyncDir makes the entries of a directory durable.
	SyncDir(dir string) error
	// Watch begins a [Watch]. The error is [errors.ErrUnsupported] where a failure
	// could be missed.
	Watch() (Watch, error)
	// Lock takes the exclusive lock that the named file stands for, making the
	// file if needed, and writes holder into it. It never waits: if another
	// process, or another Lock in this one, has it, the error is *LockedError.
	// Close releases it; so does the end of the process.
	Lock(name, holder string) (io.Closer, error)
	// Free returns how many bytes can still be written below the root.
	Free() (uint64, error)
}

// File is an open file. Reads may run beside each other and beside writes to
// other places.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Sync makes all that was written durable, with the size and whatever else
	// is needed to read it back (fdatasync). After an error nobody knows what is
	// durable, and a second Sync may succeed without having written anything.
	Sync() error
	// Truncate sets the size; growth reads as zeros.
	Truncate(size int64) error
	Size() (int64, error)
	Close() error
}

// A Starter is a [File] that can begin what Sync will wait for.
type Starter interface {
	// StartSync begins to write a range to the device and does not wait for it. It
	// promises nothing: what fails, Sync tells.
	StartSync(position, n int64)
}

// A Stamp is what a file system alone can give a file, and no copying program
// can: the number of its inode, and when that was made. Zero is not known.
type Stamp struct {
	Inode uint64
	Born  int64 // nanoseconds since 1970
}

// Differs says whether two stamps are certainly of two files. The birth decides
// where both know it: some file systems number their files anew at each mount.
func (s Stamp) Differs(other Stamp) bool {
	if s.Born != 0 && other.Born != 0 {
		return s.Born != other.Born
	}
	return s.Inode != 0 && other.Inode != 0 && s.Inode != other.Inode
}

// A Watch syncs all files at once.
type Watch interface {
	// Sync makes all durable that was written to any file of the FS, whether it is
	// still open or not, and may do so for the whole disk; names need their SyncDir.
	// It costs about as much as the syncs of a hundred files. The error is of
	// whatever could not be written since the watch began.
	Sync() error
	Close() error
}

// LockedError reports that someone else holds a lock.
type LockedError struct {
	Name   string
	Holder string // what the holder wrote, if that could be read
}

func (e *LockedError) Error() string {
	if e.Holder == "" {
		return e.Name + " is locked by another process"
	}
	return e.Name + " is locked by " + e.Holder
}

// AlignedBuffer returns size zero bytes at an address that fits direct I/O.
func AlignedBuffer(size int) []byte {
	b := make([]byte, size+BlockSize)
	skip := 0
	if rest := int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) % BlockSize); rest != 0 {
		skip = BlockSize - rest
	}
	return b[skip : skip+size : skip+size]
}

// AlignUp rounds up to a multiple of BlockSize.
func AlignUp(n int64) int64 { return (n + BlockSize - 1) &^ (BlockSize - 1) }

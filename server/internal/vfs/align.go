package vfs

import (
	"fmt"
	"io/fs"
	"unsafe"
)

// CheckAligned says why a read or write of p at a position does not fit direct
// I/O; the error wraps [fs.ErrInvalid]. Every FS checks with it, also where the
// system beneath would not mind, so that a mistake shows wherever tests run.
func CheckAligned(p []byte, position int64) error {
	if position%BlockSize != 0 || len(p)%BlockSize != 0 {
		return fmt.Errorf("direct I/O of %d bytes at position %d: both have to be multiples of %d: %w",
			len(p), position, BlockSize, fs.ErrInvalid)
	}
	if len(p) > 0 && uintptr(unsafe.Pointer(unsafe.SliceData(p)))%BlockSize != 0 {
		return fmt.Errorf("direct I/O with memory that is not aligned to %d bytes: %w", BlockSize, fs.ErrInvalid)
	}
	return nil
}

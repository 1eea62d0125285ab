package disk

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctl calls one whose argument is a struct.
func ioctl[T any](file *os.File, number uintptr, argument *T) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), number, uintptr(unsafe.Pointer(argument)))
	if errno != 0 {
		return errno
	}
	return nil
}

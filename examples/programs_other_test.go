//go:build !linux

package examples

import (
	"os/exec"
	"syscall"
)

// ownGroup does nothing: what follows is Linux.
func ownGroup() *syscall.SysProcAttr { return nil }

func signalGroup(cmd *exec.Cmd, signal syscall.Signal) error {
	return cmd.Process.Signal(signal)
}

package examples

import (
	"os/exec"
	"syscall"
)

// ownGroup puts a program, with whatever it starts, into a group of its own, and has
// the kernel kill it when the test dies without its cleanups.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func signalGroup(cmd *exec.Cmd, signal syscall.Signal) error {
	return syscall.Kill(-cmd.Process.Pid, signal)
}

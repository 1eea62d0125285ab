package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill a command when this program dies without
// its cleanups.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

package process

import (
	"os/exec"
	"syscall"
)

// DieWithParent has the kernel kill a command when this program dies without its
// cleanups, for instance on a timeout. It is for commands that were not started.
func DieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

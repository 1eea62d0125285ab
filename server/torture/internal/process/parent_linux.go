package process

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the server when this program dies without
// its clean-up.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

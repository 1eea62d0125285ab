//go:build unix

package process

import (
	"os/exec"
	"syscall"
)

// Group has a command, which was not started, lead a group of its own, so that
// Kill reaches what it starts.
func Group(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

// Kill kills a command with its Group: whoever holds its pipes open, too.
func Kill(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

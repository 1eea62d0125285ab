//go:build !unix

package process

import "os/exec"

// Group does nothing: only Unix offers it.
func Group(*exec.Cmd) {}

// Kill kills a command.
func Kill(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

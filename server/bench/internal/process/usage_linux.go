package process

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dieWithParent has the kernel kill the child when this process dies.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// processClock is the clock of another process's processor time: the kernel makes
// its number from the process's (clock_getcpuclockid). Other than /proc it counts
// nanoseconds.
func processClock(pid int) int32 { return int32(^pid<<3 | 2) }

// CPU returns the processor time that the process has used, user and system.
func (p *Process) CPU() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(processClock(p.cmd.Process.Pid), &t); err != nil {
		return 0, fmt.Errorf("the processor time of %s: %w", p.cmd.Path, err)
	}
	return time.Duration(t.Nano()), nil
}

// Memory returns the resident memory of the process that is its own: heap and
// stacks, but no mapped files.
func (p *Process) Memory() (anonymous, resident int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		_, _ = fmt.Sscanf(line, "RssAnon: %d kB", &anonymous) // other lines do not match
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &resident)
	}
	if resident == 0 {
		return 0, 0, fmt.Errorf("the memory of %s is not told", p.cmd.Path)
	}
	return anonymous << 10, resident << 10, nil
}

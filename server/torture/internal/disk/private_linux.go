package disk

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// privateEnv says that the program runs in mounts of its own already.
const privateEnv = "TORTURE_PRIVATE_MOUNTS"

// Private runs the program once more in a mount namespace of its own, so that what
// it mounts is gone when it is, even if it is killed. It returns the exit code of
// that run and true; false in that run itself, and where it is not root, who alone
// can mount.
func Private() (code int, ran bool, err error) {
	if os.Geteuid() != 0 || os.Getenv(privateEnv) != "" {
		return 0, false, nil
	}
	self, err := os.Executable()
	if err != nil {
		return 0, false, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), privateEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// Unsharing, and not cloning, also keeps the mounts from showing outside.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	// The copy decides what a signal means; it gets those of the terminal itself.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		if errors.Is(err, syscall.EPERM) { // a container's root, perhaps: the trials say what they lack
			return 0, false, nil
		}
		return 0, false, err
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			select {
			case s := <-signals:
				if s == syscall.SIGTERM {
					_ = cmd.Process.Signal(s)
				}
			case <-over:
				return
			}
		}
	}()
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if code := exit.ExitCode(); code > 0 {
			return code, true, nil
		}
		return 1, true, nil // by a signal
	}
	return 0, true, err
}

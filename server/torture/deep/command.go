package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// command runs a program with all that it starts in a process group of its own,
// which is interrupted when the context ends, and killed if it stays. It returns
// all output.
func (b *bench) command(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	// What runs here must not take the machine.
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOMEMLIMIT=4GiB")
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 30 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what is left of the group, if anything is
	}
	return out.String(), err
}

// testBinary builds the tests of a package, once in a run: what a run tries is of
// one state of the tree.
func (b *bench) testBinary(ctx context.Context, module, pkg string, flags ...string) (string, error) {
	key := strings.Join(append([]string{module, pkg}, flags...), " ")
	if name, ok := b.built[key]; ok {
		return name, nil
	}
	name := filepath.Join(b.tmp, fmt.Sprintf("%d.test", len(b.built)))
	args := append(append([]string{"test", "-c", "-o", name}, flags...), pkg)
	if out, err := b.command(ctx, filepath.Join(b.root, module), nil, "go", args...); err != nil {
		return "", fmt.Errorf("build the tests of %s/%s: %w\n%s", module, pkg, err, out)
	}
	b.built[key] = name
	return name, nil
}

// failure is an error with the end of a program's output.
func failure(err error, out string) error {
	const most = 4000
	if len(out) > most {
		out = "…\n" + out[len(out)-most:]
	}
	return fmt.Errorf("%w\n%s", err, out)
}

// copyBinary copies the server's binary to where no later build replaces it.
func copyBinary(from, dir string) (string, error) {
	in, err := os.Open(from)
	if err != nil {
		return "", fmt.Errorf("the binary: %w; run make build", err)
	}
	defer in.Close()
	name := filepath.Join(dir, "proglog")
	out, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, in)
	return name, errors.Join(err, out.Close())
}

// describe returns the version and the commit of the tree. What a run itself
// changes, the ledger and the pages, does not count as a change.
func describe(root string) (version, commit string, err error) {
	git := func(args ...string) (string, error) {
		out, err := exec.Command("git", append([]string{"-C", root}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	if commit, err = git("rev-parse", "--short=12", "HEAD"); err != nil {
		return "development", "unknown", nil // an unpacked archive
	}
	changes, err := git("status", "--porcelain", "--", "server", "sdk/go", ":!"+ledgerFile, ":!*.md")
	if err != nil {
		return "", "", fmt.Errorf("ask git for changes: %w", err)
	}
	if changes != "" {
		commit += " with changes"
	}
	version = "development"
	if tag, err := git("describe", "--tags", "--match", "server/v*"); err == nil {
		version = strings.TrimPrefix(tag, "server/")
	}
	return version, commit, nil
}

// Rehearsal makes a release without publishing anything, and uses it as a user would.
//
// It runs the blocks of RELEASING.md that are marked as rehearsed in a clone whose
// origin is a repository of its own. What they make it installs: the Go modules through
// a module proxy that is filled from the tags in that origin, with an empty module cache,
// the npm tarball and the wheel in empty projects. Then it runs each quickstart against
// the server that was installed.
//
// Run it from the top of the repository: make release-rehearsal
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// errSkipped is what a part fails with that cannot be rehearsed on this machine.
var errSkipped = errors.New("skipped")

func main() {
	repo := flag.String("repo", ".", "the repository; what is committed in it is rehearsed")
	controls := flag.String("controls", "", "break the release instead, in the ways whose names match this regular expression, and see that each is noticed")
	keep := flag.Bool("keep", false, "leave the working folder, and say where it is")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *repo, *controls, *keep)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release rehearsal:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, repo, controls string, keep bool) error {
	repo, err := filepath.Abs(repo)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "proglog-release-")
	if err != nil {
		return err
	}
	if keep {
		fmt.Println("working in", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	if controls != "" {
		return runControls(ctx, repo, dir, controls)
	}
	w, err := newWorkshop(ctx, repo, filepath.Join(dir, "release"))
	if err != nil {
		return err
	}
	if dirty, err := w.run(repo, "git", "status", "--porcelain"); err == nil && dirty != "" {
		fmt.Println("note: there are changes that are not committed; they are not rehearsed")
	}
	skipped, err := w.rehearse(parts())
	if err != nil {
		return err
	}
	if strict := os.Getenv("STRICT"); len(skipped) > 0 && strict != "" && strict != "0" {
		return fmt.Errorf("skipped: %s", strings.Join(skipped, ", "))
	}
	fmt.Println("release rehearsal: all good")
	return nil
}

// part is something that is released.
type part struct {
	name string
	// needs names a folder without which there is nothing to release.
	needs string
	// tools are commands without which it cannot be rehearsed here.
	tools []string
	// use installs what was released and runs it, as a user would.
	use func(w *workshop) error
}

// parts lists all of them, in the order of RELEASING.md. The name is that of the block
// that releases it. The server comes before what uses it.
func parts() []part {
	return []part{
		{"go-sdk", "sdk/go", nil, nil}, // used below, when there is a server
		{"server", "server", nil, useServer},
		{"npm", "sdk/typescript", []string{"node", "npm"}, useNPM},
		{"python", "sdk/python", []string{"python3"}, usePython},
	}
}

// rehearse releases all parts and uses them. It returns the names of those that had
// to be skipped.
func (w *workshop) rehearse(all []part) (skipped []string, err error) {
	for _, p := range all {
		switch err := w.rehearsePart(p); {
		case errors.Is(err, errSkipped):
			skipped = append(skipped, p.name)
		case err != nil:
			return skipped, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return skipped, nil
}

func (w *workshop) rehearsePart(p part) error {
	if _, err := os.Stat(filepath.Join(w.tree, p.needs)); err != nil {
		fmt.Printf("SKIP %s: there is no %s in the tree\n", p.name, p.needs)
		return nil // no fault of this machine
	}
	for _, tool := range p.tools {
		if !w.has(tool) {
			fmt.Printf("SKIP %s: there is no %s on this machine\n", p.name, tool)
			return errSkipped
		}
	}
	fmt.Println("releasing", p.name)
	block, err := w.block(p.name)
	if err != nil {
		return err
	}
	// Twice: a release that was interrupted is run again.
	for range 2 {
		if err := w.release(block); err != nil {
			return fmt.Errorf("its block in RELEASING.md: %w", err)
		}
	}
	if p.use == nil {
		return nil
	}
	fmt.Println("using", p.name)
	return p.use(w)
}

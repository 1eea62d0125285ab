package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// useServer installs the server and the Go SDK as users do, and runs the quickstart in Go.
func useServer(w *workshop) error {
	version, err := w.version("SERVER")
	if err != nil {
		return err
	}
	sdk, err := w.version("GO_SDK")
	if err != nil {
		return err
	}
	empty, err := w.folder("empty")
	if err != nil {
		return err
	}
	if _, err := w.run(empty, "go", "install", "github.com/proglog/proglog/server/cmd/proglog@"+version); err != nil {
		return err
	}
	told, err := w.run(empty, w.binary(), "version")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(told, "proglog "+version+" (") {
		return fmt.Errorf("proglog version prints %q, not %s", told, version)
	}

	project, err := w.folder("project-go")
	if err != nil {
		return err
	}
	if err := w.copy(project, "main.go", "examples/go/quickstart/main.go"); err != nil {
		return err
	}
	for _, command := range [][]string{
		{"go", "mod", "init", "example.org/quickstart"},
		{"go", "get", "github.com/proglog/proglog/sdk/go@" + sdk},
		{"go", "build", "-o", "quickstart", "."},
	} {
		if _, err := w.run(project, command[0], command[1:]...); err != nil {
			return err
		}
	}
	return w.quickstart(project, filepath.Join(project, "quickstart"))
}

// useNPM installs the tarball in an empty project and runs the quickstart.
func useNPM(w *workshop) error {
	tarball, err := w.made("proglog-sdk-*.tgz")
	if err != nil {
		return err
	}
	project, err := w.folder("project-npm")
	if err != nil {
		return err
	}
	// With a compiler, which sees that the types that were packed are enough.
	for _, name := range []string{"package.json", "tsconfig.json", "quickstart.ts"} {
		if err := w.copy(project, name, "examples/typescript/"+name); err != nil {
			return err
		}
	}
	for _, command := range [][]string{
		{"npm", "pkg", "delete", "dependencies"},
		{"npm", "install", "--silent", "--no-audit", "--no-fund", tarball},
		{"npm", "run", "--silent", "build"},
	} {
		if _, err := w.run(project, command[0], command[1:]...); err != nil {
			return err
		}
	}
	return w.quickstart(project, "node", "build/quickstart.js")
}

// usePython installs the wheel in an empty environment and runs the quickstart.
func usePython(w *workshop) error {
	wheel, err := w.made("proglog_sdk-*.whl")
	if err != nil {
		return err
	}
	project, err := w.folder("project-python")
	if err != nil {
		return err
	}
	python := filepath.Join(project, "venv", "bin", "python")
	if _, err := w.run(project, "python3", "-m", "venv", "venv"); err != nil {
		return err
	}
	if _, err := w.run(project, python, "-m", "pip", "install", "-q", wheel); err != nil {
		return err
	}
	if err := w.copy(project, "quickstart.py", "examples/python/quickstart.py"); err != nil {
		return err
	}
	return w.quickstart(project, python, "quickstart.py")
}

// copy puts a file of the tree into a project.
func (w *workshop) copy(project, name, from string) error {
	text, err := os.ReadFile(filepath.Join(w.tree, filepath.FromSlash(from)))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(project, name), text, 0o600)
}

// made returns the one file that a release has made for upload.
func (w *workshop) made(pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(w.dist, pattern))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("the release made %d files %s, not one", len(found), pattern)
	}
	return found[0], nil
}

// binary is the server that was installed.
func (w *workshop) binary() string {
	name := "proglog"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(w.dir, "bin", name)
}

// quickstart runs a quickstart against a fresh server and compares what it prints.
func (w *workshop) quickstart(project, name string, args ...string) error {
	addr, stop, err := w.serve()
	if err != nil {
		return err
	}
	printed, err := w.run(project, name, append(args, "--addr", "http://"+addr)...)
	if stopErr := stop(); err == nil {
		err = stopErr
	}
	if err != nil {
		return err
	}
	want, err := os.ReadFile(filepath.Join(w.tree, "examples", "expected", "quickstart.txt"))
	if err != nil {
		return err
	}
	if printed+"\n" != string(want) {
		return fmt.Errorf("the quickstart prints\n%s\nand not\n%s", printed, want)
	}
	return nil
}

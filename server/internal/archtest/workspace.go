// Package archtest holds the whole workspace against the rules of the house: who
// may import whom, how long a file may be, what a package must not contain. It
// reads sources, so build tags hide nothing from it.
package archtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strings"
)

// repository is the path that all modules of the repository share.
const repository = "github.com/proglog/proglog"

// A file is one Go source file.
type file struct {
	name      string // slash-separated, from the top of the repository
	test      bool   // its name ends in _test.go
	generated bool   // it says so, in the form that Go tools know
	lines     int
	text      string
	imports   []string
	syntax    *ast.File
}

// A unit is a package with its test files, and an external test package counted
// in.
type unit struct {
	room  string // its import path without the repository's: "server/log"
	files []file
}

// load reads all Go files of all modules below the top of the repository, also
// those of modules that go.work leaves out.
func load(top fs.FS) ([]unit, error) {
	modules := map[string]string{} // module directory to module path
	byDir := map[string][]file{}
	var dirs []string
	err := fs.WalkDir(top, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped(entry.Name()):
			return fs.SkipDir
		case entry.IsDir():
			dirs = append(dirs, name)
			return nil
		case entry.Name() == "go.mod":
			modules[path.Dir(name)], err = modulePath(top, name)
			return err
		case strings.HasSuffix(entry.Name(), ".go"):
			f, err := read(top, name)
			byDir[path.Dir(name)] = append(byDir[path.Dir(name)], f)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var units []unit
	for _, dir := range dirs {
		if len(byDir[dir]) == 0 {
			continue
		}
		room, err := roomOf(dir, modules)
		if err != nil {
			return nil, err
		}
		units = append(units, unit{room: room, files: byDir[dir]})
	}
	return units, nil
}

// skipped tells directories that hold no code of ours, as the go command does.
func skipped(dir string) bool {
	return dir != "." && (strings.HasPrefix(dir, ".") || strings.HasPrefix(dir, "_") ||
		dir == "testdata" || dir == "node_modules")
}

func modulePath(top fs.FS, name string) (string, error) {
	text, err := fs.ReadFile(top, name)
	if err != nil {
		return "", err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if module, found := strings.CutPrefix(lines.Text(), "module "); found {
			return strings.TrimSpace(module), nil
		}
	}
	return "", fmt.Errorf("%s has no module line", name)
}

// roomOf returns the import path of a directory, without the repository's.
func roomOf(dir string, modules map[string]string) (string, error) {
	for up := dir; ; up = path.Dir(up) {
		if module, found := modules[up]; found {
			full := path.Join(module, strings.TrimPrefix(strings.TrimPrefix(dir, up), "/"))
			if up == "." {
				full = path.Join(module, dir)
			}
			room, ours := strings.CutPrefix(full, repository+"/")
			if !ours {
				return "", fmt.Errorf("module path %s of %s is not below %s", module, up, repository)
			}
			return room, nil
		}
		if up == "." {
			return "", fmt.Errorf("the Go files in %s belong to no module", dir)
		}
	}
}

func read(top fs.FS, name string) (file, error) {
	text, err := fs.ReadFile(top, name)
	if err != nil {
		return file{}, err
	}
	syntax, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, errors.Join(fmt.Errorf("parse %s", name), err)
	}
	f := file{
		name:      name,
		test:      strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(syntax),
		lines:     bytes.Count(text, []byte("\n")),
		text:      string(text),
		syntax:    syntax,
	}
	for _, spec := range syntax.Imports {
		f.imports = append(f.imports, strings.Trim(spec.Path.Value, "`\""))
	}
	return f, nil
}

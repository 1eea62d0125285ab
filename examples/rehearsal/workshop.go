package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// stopLimit is how long a command may take to end when it is interrupted.
const stopLimit = 15 * time.Second

// ours matches the module paths that only the rehearsal's own proxy has.
const ours = "github.com/proglog/proglog/*"

// workshop is where a release is made and used: folders in a temporary one, and the
// environment that keeps them apart from the user's.
type workshop struct {
	ctx    context.Context
	dir    string
	origin string // a bare repository, in the place of the public one
	tree   string // a clone of it, in which the release is made
	proxy  string // a module cache that is filled from the tags of origin; the proxy serves it
	dist   string // what is uploaded
	env    []string

	versions string // the block that sets the versions
	servers  int    // how many were started
}

// newWorkshop puts what is committed in a repository into an origin of its own, in a
// folder, and clones it.
func newWorkshop(ctx context.Context, repo, dir string) (*workshop, error) {
	w := &workshop{
		ctx: ctx, dir: dir,
		origin: filepath.Join(dir, "origin.git"), tree: filepath.Join(dir, "tree"),
		proxy: filepath.Join(dir, "proxy"), dist: filepath.Join(dir, "dist"),
		env: os.Environ(),
	}
	goproxy, err := w.run(repo, "go", "env", "GOPROXY")
	if err != nil {
		return nil, err
	}
	cached, err := w.run(repo, "go", "env", "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	// Modules of others may come from the user's cache: their sums are known. Ours
	// must not go into it, where they would pass for those that are released. With
	// trimpath, what was compiled for one folder of modules serves for another.
	w.env = append(w.env,
		"GOPROXY=file://"+w.proxy+"/cache/download,file://"+filepath.ToSlash(cached)+"/cache/download,"+goproxy,
		"GONOSUMDB="+ours, "GOPRIVATE=", "GONOPROXY=", "GOFLAGS=-mod=mod -modcacherw -trimpath", "GOWORK=off",
		"GOMODCACHE="+filepath.Join(dir, "modules"), "GOBIN="+filepath.Join(dir, "bin"), "DIST="+w.dist,
		"GIT_AUTHOR_NAME=rehearsal", "GIT_AUTHOR_EMAIL=rehearsal@localhost",
		"GIT_COMMITTER_NAME=rehearsal", "GIT_COMMITTER_EMAIL=rehearsal@localhost",
	)
	if err := os.MkdirAll(w.dist, 0o755); err != nil {
		return nil, err
	}
	// No tags: what was released already is released again, here.
	for _, command := range [][]string{
		{"git", "init", "-q", "--bare", "-b", "main", w.origin},
		{"git", "-C", repo, "push", "-q", w.origin, "HEAD:refs/heads/main"},
		{"git", "clone", "-q", w.origin, w.tree},
	} {
		if _, err := w.run(dir, command[0], command[1:]...); err != nil {
			return nil, err
		}
	}
	w.versions, err = w.block("versions")
	return w, err
}

// block returns the commands of RELEASING.md that have this mark.
func (w *workshop) block(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(w.tree, "RELEASING.md"))
	if err != nil {
		return "", err
	}
	marked := regexp.MustCompile(`(?ms)^( *)<!-- rehearsed: ` + regexp.QuoteMeta(name) + " -->\n *```bash\n(.*?)^ *```$")
	found := marked.FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("RELEASING.md has no block that is marked as %q", name)
	}
	return strings.ReplaceAll("\n"+string(found[2]), "\n"+string(found[1]), "\n"), nil
}

// release runs a block in the tree, and then gives the proxy what was tagged.
func (w *workshop) release(block string) error {
	if _, err := w.run(w.tree, "bash", "-euo", "pipefail", "-c", w.versions+block); err != nil {
		return err
	}
	tags, err := w.run(w.origin, "git", "tag", "--list", "sdk/go/*", "server/*")
	if err != nil {
		return err
	}
	for _, tag := range strings.Fields(tags) {
		if err := w.fillProxy(tag); err != nil {
			return err
		}
	}
	return nil
}

// fillProxy has the go command make the files of a module proxy from a tag: it looks
// for it where the module path says, and finds our origin there.
func (w *workshop) fillProxy(tag string) error {
	folder, version := filepath.Split(tag)
	module := "github.com/proglog/proglog/" + strings.TrimSuffix(folder, "/") + "@" + version
	env := append(w.env[:len(w.env):len(w.env)],
		"GOMODCACHE="+w.proxy, "GOPROXY=direct", "GOPRIVATE="+ours,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_VALUE_0=https://github.com/proglog/proglog",
		"GIT_CONFIG_KEY_0=url.file://"+w.origin+".insteadOf")
	_, err := w.runWith(env, w.dir, "go", "mod", "download", module)
	return err
}

// version returns the value that the block of versions gives a variable.
func (w *workshop) version(variable string) (string, error) {
	return w.run(w.tree, "bash", "-euo", "pipefail", "-c", w.versions+"\nprintf %s \"$"+variable+`"`)
}

func (w *workshop) has(tool string) bool {
	_, err := exec.LookPath(tool)
	return err == nil
}

// folder makes an empty folder.
func (w *workshop) folder(name string) (string, error) {
	dir := filepath.Join(w.dir, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// run runs a command in a folder and returns what it prints, without the last newline.
func (w *workshop) run(dir, name string, args ...string) (string, error) {
	return w.runWith(w.env, dir, name, args...)
}

func (w *workshop) runWith(env []string, dir, name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(w.ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopLimit
	if err := cmd.Run(); err != nil {
		shown := name
		if len(args) > 0 && !strings.Contains(args[len(args)-1], "\n") {
			shown = cmd.String()
		}
		return "", errors.Join(fmt.Errorf("%s: %w", shown, err), errors.New(strings.TrimSpace(stdout.String()+stderr.String())))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

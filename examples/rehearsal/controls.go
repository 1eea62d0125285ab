package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// control is a way to break a release.
type control struct {
	name string
	part string // the one that has to notice
	// file and old, new are the change that breaks it.
	file, old, new string
	// says is in the message that has to come of it.
	says string
}

// elsewhere is what every step says that finds its tag at another commit.
const elsewhere = "stands at another commit"

// taken is a way to break a release from outside: somebody else has published the
// tag of a part, at another commit. The step has to stop by itself, before it needs
// what other steps make.
type taken struct {
	part    string
	tag     string // without its version
	version string // the variable that has it
}

func takens() []taken {
	return []taken{
		{"go-sdk", "sdk/go/", "GO_SDK"},
		{"server", "server/", "SERVER"},
		{"npm", "sdk/typescript/", "NPM"},
		{"python", "sdk/python/", "PYTHON"},
	}
}

// name is what the control is called.
func (t taken) name() string { return "a tag of " + t.part + " that origin has at another commit" }

// run publishes the tag at a commit of its own, and rehearses the step: in a clone
// that does not know it, and in one that has set it at its own commit.
func (t taken) run(ctx context.Context, repo, dir string) (noticed bool, err error) {
	for _, known := range []bool{false, true} {
		w, err := newWorkshop(ctx, repo, filepath.Join(dir, fmt.Sprint(known)))
		if err != nil {
			return false, err
		}
		version, err := w.version(t.version)
		if err != nil {
			return false, err
		}
		other, err := w.run(w.tree, "git", "commit-tree", "-m", "Another commit", "HEAD^{tree}")
		if err != nil {
			return false, err
		}
		commands := [][]string{{"push", "-q", "origin", other + ":refs/tags/" + t.tag + version}}
		if known {
			commands = append(commands, []string{"tag", t.tag + version})
		}
		for _, command := range commands {
			if _, err := w.run(w.tree, "git", command...); err != nil {
				return false, err
			}
		}
		block, err := w.block(t.part)
		if err != nil {
			return false, err
		}
		switch failure := w.release(block); {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case failure == nil:
			return false, nil
		case !strings.Contains(failure.Error(), elsewhere):
			return false, fmt.Errorf("it failed for another reason: %w", failure)
		}
	}
	return true, nil
}

func controls() []control {
	return []control{
		{
			"a replace left in the server's go.mod", "server",
			"RELEASING.md", "-dropreplace=$sdk ", "", "replace",
		},
		{
			"a server that requires an SDK that is not released", "server",
			"RELEASING.md", "-require=$sdk@$GO_SDK", "-require=$sdk@v0.9.9", "v0.9.9",
		},
		{
			"a tag without the folder of its module", "server",
			"RELEASING.md", "publish_tag sdk/go/$GO_SDK", "publish_tag sdk/$GO_SDK", "sdk/go@v",
		},
		{
			"a server that tells another version", "server",
			"server/cmd/proglog/version.go", `var stamp = ""`, `var stamp = "v9.9.9"`, "proglog v9.9.9",
		},
		{
			"an SDK that tells another version", "go-sdk",
			"sdk/go/client.go", `const Version = "`, `const Version = "9.`, "exit status 1",
		},
		{
			"an npm tarball without its code", "npm",
			"sdk/typescript/package.json", `"dist",`, `"none",`, "@proglog/sdk",
		},
		{
			"a wheel without most modules", "python",
			"sdk/python/pyproject.toml", `packages = ["src/proglog_sdk"]`, `packages = ["src/proglog_sdk/_gen"]`, "proglog_sdk",
		},
		{
			"a Python SDK that tells another version", "python",
			"sdk/python/src/proglog_sdk/_version.py", `__version__ = "`, `__version__ = "9.`, "exit status 1",
		},
	}
}

// runControls breaks the release in each of these ways that matches a regular
// expression, and returns an error if one of them is not noticed.
func runControls(ctx context.Context, repo, dir, which string) error {
	chosen, err := regexp.Compile(which)
	if err != nil {
		return err
	}
	var missed []string
	for _, t := range takens() {
		if !chosen.MatchString(t.name()) {
			continue
		}
		fmt.Println("control:", t.name())
		noticed, err := t.run(ctx, repo, filepath.Join(dir, "taken", t.part))
		if err != nil {
			return fmt.Errorf("%s: %w", t.name(), err)
		}
		if !noticed {
			missed = append(missed, t.name())
		}
	}
	for i, c := range controls() {
		if !chosen.MatchString(c.name) {
			continue
		}
		fmt.Println("control:", c.name)
		if _, err := os.Stat(filepath.Join(repo, filepath.FromSlash(c.file))); err != nil {
			fmt.Printf("SKIP %s: there is no %s\n", c.name, c.file)
			continue
		}
		noticed, err := c.run(ctx, repo, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if !noticed {
			missed = append(missed, c.name)
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("not noticed: %s", strings.Join(missed, "; "))
	}
	fmt.Println("release rehearsal: all controls noticed")
	return nil
}

// run rehearses a release that is broken, up to the part that has to notice.
func (c control) run(ctx context.Context, repo, dir string) (noticed bool, err error) {
	w, err := newWorkshop(ctx, repo, dir)
	if err != nil {
		return false, err
	}
	file := filepath.Join(w.tree, filepath.FromSlash(c.file))
	text, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	broken := strings.Replace(string(text), c.old, c.new, 1)
	if broken == string(text) {
		return false, fmt.Errorf("%s has no %q to break", c.file, c.old)
	}
	if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
		return false, err
	}
	if _, err := w.run(w.tree, "git", "commit", "-qam", "Break the release"); err != nil {
		return false, err
	}
	needed := parts()
	for i, p := range needed {
		if p.name == c.part {
			needed = needed[:i+1]
			break
		}
	}
	_, failure := w.rehearse(needed)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case failure == nil:
		return false, nil
	case !strings.HasPrefix(failure.Error(), c.part+": ") || !strings.Contains(failure.Error(), c.says):
		return false, fmt.Errorf("it failed for another reason: %w", failure)
	}
	return true, nil
}

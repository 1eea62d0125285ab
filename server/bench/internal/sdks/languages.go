package sdks

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/peer"
)

// Names of the languages.
const (
	Go         = "Go"
	TypeScript = "TypeScript"
	Python     = "Python"
)

// Places say where languages are.
type Places struct {
	SDKs   string // the folder with the sources of all SDKs
	Python string // the interpreter that has what sdk/python needs
}

// Languages are all that have an SDK.
func (p Places) Languages() []Language {
	return []Language{
		{Name: Go, Start: startGo},
		{Name: TypeScript, Start: p.startTypeScript},
		{Name: Python, Start: p.startPython},
	}
}

func startGo(ctx context.Context) (*Program, error) {
	cmd, err := child.Command(child.Config{Kind: child.Clients})
	if err != nil {
		return nil, err
	}
	return StartProgram(ctx, Go, cmd)
}

func (p Places) startTypeScript(ctx context.Context) (*Program, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("%w: node is not installed", peer.ErrUnavailable)
	}
	root := filepath.Join(p.SDKs, "typescript")
	script := filepath.Join(root, "build", "bench", "bench.js")
	if err := there("run make bench, which installs and builds them", filepath.Join(root, "node_modules"), script); err != nil {
		return nil, err
	}
	// A collection before each run, so that nobody pays for what another left behind.
	return StartProgram(ctx, TypeScript, exec.Command(node, "--expose-gc", script))
}

func (p Places) startPython(ctx context.Context) (*Program, error) {
	script := filepath.Join(p.SDKs, "python", "bench", "bench.py")
	if err := there("run make packages, or name the interpreter with -python", p.Python, script); err != nil {
		return nil, err
	}
	source, err := filepath.Abs(filepath.Join(p.SDKs, "python", "src"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(p.Python, script)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+source) // its packages are installed, the SDK is not
	return StartProgram(ctx, Python, cmd)
}

// there refuses when a file is missing, and says what to do.
func there(remedy string, files ...string) error {
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			return fmt.Errorf("%w: there is no %s: %s", peer.ErrUnavailable, f, remedy)
		}
	}
	return nil
}

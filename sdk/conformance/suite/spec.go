package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// helloLimit is how long an adapter may take until it answers its first command.
const helloLimit = 30 * time.Second

// AdapterSpec is a line of the table of adapters, ../adapters/adapters.json.
type AdapterSpec struct {
	// Name is its column in the parity table.
	Name string `json:"name"`
	// Dir is its directory, beside the table.
	Dir string `json:"dir"`
	// Needs are the programs of its tool-chain.
	Needs []string `json:"needs"`
	// Files have to be there, relative to Dir: what `make` builds or installs.
	Files []string `json:"files"`
	// Build is run in Dir before the first use; {out} is an empty directory.
	Build []string `json:"build"`
	// Command starts it, in Dir.
	Command []string `json:"command"`
	// Env is added to its environment.
	Env map[string]string `json:"env"`
	// About says in the table what its column is, where the name alone misleads.
	About string `json:"about"`
	// Known says of cases why the SDK fails them. One that passes must leave.
	Known map[string]string `json:"known"`

	dir   string
	argv  []string
	lacks map[string]string
}

// errMissing says that an adapter cannot be run on this machine.
var errMissing = errors.New("not there")

// LoadAdapters reads the table.
func LoadAdapters(file string) ([]*AdapterSpec, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var all []*AdapterSpec
	if err := decoder.Decode(&all); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, a := range all {
		a.dir, err = filepath.Abs(filepath.Join(filepath.Dir(file), a.Dir))
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Prepare builds an adapter and asks what it lacks. The error is errMissing if the
// tool-chain, or what it builds, is not there.
func (a *AdapterSpec) Prepare(ctx context.Context, out string) error {
	for _, program := range a.Needs {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is %w", program, errMissing)
		}
	}
	for _, file := range a.Files {
		if _, err := os.Stat(filepath.Join(a.dir, file)); err != nil {
			return fmt.Errorf("%s of the adapter %s is %w: build it first", file, a.Name, errMissing)
		}
	}
	fill := func(args []string) []string {
		var filled []string
		for _, arg := range args {
			filled = append(filled, strings.ReplaceAll(arg, "{out}", out))
		}
		return filled
	}
	if len(a.Build) > 0 {
		argv := fill(a.Build)
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = a.dir, append(os.Environ(), a.environ()...)
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build the adapter %s: %w\n%s", a.Name, err, text)
		}
	}
	a.argv = fill(a.Command)
	return a.hello(ctx)
}

// hello asks the adapter what its SDK lacks.
func (a *AdapterSpec) hello(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, helloLimit)
	defer cancel()
	run, err := StartAdapter(a, newTranscript(), a.Name)
	if err != nil {
		return fmt.Errorf("start the adapter %s: %w", a.Name, err)
	}
	c, err := run.Start("hello", nil)
	if err == nil {
		err = run.Wait(ctx, c)
	}
	if err = errors.Join(err, run.Close()); err != nil {
		return fmt.Errorf("%w\n%s", err, run.script)
	}
	a.lacks = map[string]string{}
	answer, _ := c.answer.(map[string]any)
	lacks, _ := answer["lacks"].(map[string]any)
	for feature, why := range lacks {
		a.lacks[feature] = fmt.Sprint(why)
	}
	return match("the answer to hello", map[string]any{"sdk": "*", "version": "*", "runtime": "*"}, c.answer)
}

// lack returns why the adapter cannot do what a case needs; empty: it can.
func (a *AdapterSpec) lack(needs map[string]bool) string {
	for _, feature := range slices.Sorted(maps.Keys(a.lacks)) {
		if needs[feature] {
			return a.lacks[feature]
		}
	}
	return ""
}

func (a *AdapterSpec) environ() []string {
	var env []string
	for name, value := range a.Env {
		env = append(env, name+"="+value)
	}
	return env
}

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/proglog/proglog/server/torture/internal/ledger"
)

// A part is one way to look for faults.
type part struct {
	name string
	unit string
	// goal is how many there shall be in all; 0: as many as come. With all it is
	// every one that there is, with seconds the time and not the count.
	goal    uint64
	all     bool
	seconds bool
	share   float64       // of a run's time, against the others
	least   time.Duration // of a slice, unless the run is shorter
	once    bool          // one slice in a run is enough: it tries the same every time
	// run does a slice of about this length from where the rows end. Its row has no
	// name if the part has written it itself.
	run func(ctx context.Context, b *bench, rows []ledger.Row, length time.Duration) (r ledger.Row, repeat string, err error)
}

// fuzzSlice is so long because a fuzzer first runs all that it kept.
const fuzzSlice = 45 * time.Second

// errSkipped says that a part cannot run on this machine.
var errSkipped = errors.New("this machine cannot run it")

const (
	crashPart  = "crash-simulation"
	faultPart  = "every-call-fails"
	damagePart = "damage"
	bugsPart   = "seeded-bugs"
)

// allParts returns the parts, with a fuzz target of the tree each.
func allParts(root string) ([]part, error) {
	parts := []part{
		{name: crashPart, unit: "crash states", goal: 1_000_000, share: 8, run: crashes},
		{name: faultPart, unit: "workloads", goal: 50, share: 2, run: faults},
		{name: damagePart, unit: "faults", all: true, share: 4, run: damage},
		{name: bugsPart, unit: "bugs caught", all: true, share: 1, once: true, run: seededBugs},
		trialPart("kill", 1000, 2),
		trialPart("power-ext4", 500, 1.5),
		trialPart("power-xfs", 0, 0.5),
		trialPart("histories", 2000, 3),
		trialPart("full-tmpfs", 0, 0.4),
		trialPart("full-ext4", 0, 0.4),
		trialPart("full-sudden", 0, 0.4),
		trialPart("full-shipped", 0, 0.2),
		trialPart("eio-ext4", 0, 0.4),
		trialPart("eio-xfs", 0, 0.4),
		trialPart("lock", 0, 0.2),
		trialPart("memory", 0, 0.2),
		trialPart("verify", 0, 0.4),
	}
	targets, err := fuzzTargets(root)
	if err != nil {
		return nil, err
	}
	for _, t := range targets {
		parts = append(parts, part{name: "fuzz/" + t.name, unit: "executions", goal: 600, seconds: true, share: 0.4, least: fuzzSlice, run: t.fuzz})
	}
	return parts, nil
}

// A fuzzTarget is one function.
type fuzzTarget struct {
	name   string
	module string // its directory below the root
	pkg    string // its directory below that of the module
}

var fuzzFunc = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// fuzzTargets finds the fuzz targets of the tree, in the order of their files.
func fuzzTargets(root string) (targets []fuzzTarget, err error) {
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); base == "node_modules" || strings.HasPrefix(base, ".") && name != root {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, match := range fuzzFunc.FindAllSubmatch(text, -1) {
			dir := filepath.Dir(name)
			module := dir
			for !exists(filepath.Join(module, "go.mod")) && module != root {
				module = filepath.Dir(module)
			}
			pkg, err := filepath.Rel(module, dir)
			if err != nil {
				return err
			}
			below, err := filepath.Rel(root, module)
			if err != nil {
				return err
			}
			t := fuzzTarget{name: string(match[1]), module: filepath.ToSlash(below), pkg: "./" + filepath.ToSlash(pkg)}
			t.pkg = strings.TrimSuffix(t.pkg, "/.")
			t.name = path.Base(filepath.ToSlash(dir)) + "." + t.name
			targets = append(targets, t)
		}
		return nil
	})
	return targets, err
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/proglog/proglog/server/torture/internal/ledger"
)

// rate returns how many of a part its last rows did in a second, or a guess.
func rate(rows []ledger.Row, part string, guess float64) float64 {
	count, seconds, seen := uint64(0), 0.0, 0
	for i := len(rows) - 1; i >= 0 && seen < 5; i-- {
		if rows[i].Part == part && rows[i].Count > 0 {
			count, seconds, seen = count+rows[i].Count, seconds+rows[i].Seconds, seen+1
		}
	}
	if seconds == 0 {
		return guess
	}
	return float64(count) / seconds
}

func amount(rows []ledger.Row, part string, guess float64, length time.Duration) uint64 {
	return max(1, uint64(rate(rows, part, guess)*length.Seconds()))
}

// An entry is a line that a simulation writes to PROGLOG_LEDGER.
type entry struct {
	Test     string    `json:"test"`
	Time     time.Time `json:"time"`
	First    uint64    `json:"first"`
	Next     uint64    `json:"next"`
	States   uint64    `json:"states"`
	Of       uint64    `json:"of"`
	Failures uint64    `json:"failures"`
	Seconds  float64   `json:"seconds"`
}

func readEntries(name string) (entries []entry, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// again is how a person repeats a test of the engine.
func again(env []string, flags, test string) string {
	return strings.TrimSpace(strings.Join(env, " ")+" GOWORK=off go -C server test -count=1 -timeout=0"+flags) + " -run '" + test + "' ./log"
}

// logTest runs a test of the engine that writes an entry, and makes a row of it.
func (b *bench) logTest(ctx context.Context, part, test string, env ...string) (r ledger.Row, repeat string, err error) {
	binary, err := b.testBinary(ctx, "server", "./log")
	if err != nil {
		return r, "", err
	}
	repeat = again(env, "", "^"+test+"$")
	file := filepath.Join(b.tmp, "entry")
	if err := os.RemoveAll(file); err != nil {
		return r, repeat, err
	}
	out, err := b.command(ctx, filepath.Join(b.root, "server/log"), append(env, "PROGLOG_LEDGER="+file),
		binary, "-test.run=^"+test+"$", "-test.timeout=0", "-test.v")
	if err != nil {
		err = failure(err, out)
		if said := replay.FindString(out); said != "" && part == crashPart {
			repeat = again([]string{said}, "", "^"+test+"$")
		}
	}
	entries, readErr := readEntries(file)
	if readErr != nil || len(entries) != 1 {
		return r, repeat, errors.Join(err, readErr, fmt.Errorf("%s wrote %d lines of what it tried", test, len(entries)))
	}
	r = entries[0].row(part)
	if err != nil {
		r.Failures = max(r.Failures, 1)
		r.Failure = repeat
	}
	return r, repeat, err
}

var replay = regexp.MustCompile(`PROGLOG_SEED=\d+`)

func (e *entry) row(part string) ledger.Row {
	return ledger.Row{Date: e.Time.Format(time.DateTime), Part: part, From: e.First, To: max(e.First, e.Next-1), Count: e.States, Of: e.Of, Failures: int(e.Failures), Seconds: e.Seconds}
}

func crashes(ctx context.Context, b *bench, rows []ledger.Row, length time.Duration) (ledger.Row, string, error) {
	return b.logTest(ctx, crashPart, "TestCrashAnywhere",
		fmt.Sprintf("PROGLOG_SEED=%d", ledger.Next(rows, crashPart, 1)),
		fmt.Sprintf("PROGLOG_CRASHES=%d", amount(rows, crashPart, 200, length)))
}

// damage goes through the list of all faults, and again from its beginning with
// others where they are drawn. Place n of the ledger is in round n divided by the
// length of the list.
func damage(ctx context.Context, b *bench, rows []ledger.Row, length time.Duration) (ledger.Row, string, error) {
	of, at := damageRound(rows)
	round := uint64(0)
	if of > 0 {
		round = at / of
	}
	from := at - round*of
	r, repeat, err := b.logTest(ctx, damagePart, "TestDamageAnywhere",
		fmt.Sprintf("PROGLOG_SEED=%d", round+1),
		fmt.Sprintf("PROGLOG_DAMAGE=%d-%d", from, from+amount(rows, damagePart, 500, length)))
	r.From, r.To = r.From+round*r.Of, r.To+round*r.Of
	return r, repeat, err
}

// damageRound returns how long the list of all faults was at last, and the place
// behind the last one that was tried of it. A change of the format changes the list.
func damageRound(rows []ledger.Row) (of, next uint64) {
	for _, r := range rows {
		if r.Part != damagePart {
			continue
		}
		if r.Of != of {
			next = 0
		}
		of, next = r.Of, max(next, r.To+1)
	}
	return of, next
}

var passedSubtest = regexp.MustCompile(`(?m)^ +--- PASS: (Test\w+)/(\S+)`)

func passed(out string, counts func(name string) bool) (n uint64) {
	for _, match := range passedSubtest.FindAllStringSubmatch(out, -1) {
		if counts(match[2]) {
			n++
		}
	}
	return n
}

// faults runs a series of workloads with every call failing.
func faults(ctx context.Context, b *bench, rows []ledger.Row, _ time.Duration) (r ledger.Row, repeat string, err error) {
	binary, err := b.testBinary(ctx, "server", "./log")
	if err != nil {
		return r, "", err
	}
	seed := ledger.Next(rows, faultPart, 1)
	env := []string{fmt.Sprintf("PROGLOG_SEED=%d", seed), "PROGLOG_CRASHES=1000000"}
	repeat = again(env, "", "^TestEveryCallFails$")
	began := time.Now()
	out, err := b.command(ctx, filepath.Join(b.root, "server/log"), env, binary, "-test.run=^TestEveryCallFails$", "-test.timeout=0", "-test.v")
	r = ledger.Row{Part: faultPart, From: seed, To: seed, Count: passed(out, func(string) bool { return true }), Seconds: time.Since(began).Seconds()}
	return judged(r, repeat, out, err)
}

// judged completes the row of a test that may have failed.
func judged(r ledger.Row, repeat, out string, err error) (ledger.Row, string, error) {
	if err == nil && r.Count == 0 {
		err = errors.New("nothing was tried")
	}
	if err != nil {
		r.Failures, r.Failure = 1, repeat
		err = failure(err, out)
	}
	return r, repeat, err
}

// seededBugs plants each bug.
func seededBugs(ctx context.Context, b *bench, rows []ledger.Row, _ time.Duration) (r ledger.Row, repeat string, err error) {
	binary, err := b.testBinary(ctx, "server", "./log", "-tags=seededbugs")
	if err != nil {
		return r, "", err
	}
	const tests = "^(TestSeededBugs|TestEverySeededBugIsCaught)$"
	repeat = again(nil, " -tags seededbugs", tests)
	began := time.Now()
	out, err := b.command(ctx, filepath.Join(b.root, "server/log"), nil, binary, "-test.run="+tests, "-test.timeout=0", "-test.v")
	bugs := map[string]bool{"none": true}
	caught := passed(out, func(name string) bool {
		bug, _, _ := strings.Cut(name, "/")
		first := !bugs[bug]
		bugs[bug] = true
		return first
	})
	n := ledger.Next(rows, bugsPart, 1)
	r = ledger.Row{Part: bugsPart, From: n, To: n, Count: caught, Of: caught, Seconds: time.Since(began).Seconds()}
	return judged(r, repeat, out, err)
}

var (
	executed = regexp.MustCompile(`execs: (\d+)`)
	elapsed  = regexp.MustCompile(`fuzz: elapsed: ([0-9hms.]+), execs`)
)

// endOfFuzzing is what Go's fuzzer says at times when its time is up, though no
// input has failed.
var endOfFuzzing = regexp.MustCompile(`(?m)^--- FAIL: Fuzz\w+ \([0-9.]+s\)\n {4}context deadline exceeded\nFAIL$`)

// fuzzMinimize bounds the tries to make an input smaller that finds something new.
// Go's minute for each of them would be most of a slice; inputs are small anyway.
const fuzzMinimize = "100x"

// fuzz fuzzes one target. What it finds that is new stays in Go's cache, and what
// fails beside the test, to be committed.
func (t *fuzzTarget) fuzz(ctx context.Context, b *bench, rows []ledger.Row, length time.Duration) (r ledger.Row, repeat string, err error) {
	function := t.name[strings.Index(t.name, ".")+1:]
	args := []string{"test", "-run=^$", "-fuzz=^" + function + "$", "-fuzztime=" + length.Round(time.Second).String(), "-fuzzminimizetime=" + fuzzMinimize, t.pkg}
	repeat = fmt.Sprintf("GOWORK=off go -C %s %s", t.module, strings.ReplaceAll(strings.Join(args, " "), "$", `\$`))
	out, err := b.command(ctx, filepath.Join(b.root, t.module), nil, "go", args...)
	if err != nil && endOfFuzzing.MatchString(out) {
		err = nil
	}
	name := "fuzz/" + t.name
	n := ledger.Next(rows, name, 1)
	r = ledger.Row{Part: name, From: n, To: n}
	if all := executed.FindAllStringSubmatch(out, -1); len(all) > 0 {
		r.Count, _ = strconv.ParseUint(all[len(all)-1][1], 10, 64)
	}
	if all := elapsed.FindAllStringSubmatch(out, -1); len(all) > 0 {
		if took, err := time.ParseDuration(all[len(all)-1][1]); err == nil {
			r.Seconds = took.Seconds()
		}
	}
	if found := strings.Index(out, "go test -run="); err != nil && found >= 0 {
		line, _, _ := strings.Cut(out[found:], "\n")
		repeat = fmt.Sprintf("GOWORK=off go -C %s %s %s", t.module, strings.TrimPrefix(line, "go "), t.pkg)
	}
	return judged(r, repeat, out, err)
}

// trialPart is a trial of the battery, which writes its rows itself.
func trialPart(name string, goal uint64, share float64) part {
	run := func(ctx context.Context, b *bench, rows []ledger.Row, length time.Duration) (r ledger.Row, repeat string, err error) {
		battery, ok := b.built["battery"]
		if !ok {
			battery = filepath.Join(b.tmp, "torture")
			if out, err := b.command(ctx, filepath.Join(b.root, "server/torture"), nil, "go", "build", "-o", battery, "."); err != nil {
				return r, "", failure(err, out)
			}
			b.built["battery"] = battery
		}
		cycles := amount(rows, name, 0.5, length)
		ledgerPath, err := filepath.Abs(b.ledger)
		if err != nil {
			return r, "", err
		}
		seed := ledger.Next(rows, name, 1)
		repeat = fmt.Sprintf("make torture ARGS='-trial %s -seed %d -cycles %d'", name, seed, cycles)
		out, err := b.command(ctx, b.root, nil, battery, "-bin", b.bin, "-trial", name, "-cycles", fmt.Sprint(cycles),
			"-ledger", ledgerPath, "-commit", b.commit)
		switch {
		case err != nil:
			return r, repeat, failure(err, out)
		case strings.Contains(out, name+": SKIP "):
			return r, repeat, fmt.Errorf("%w: %s", errSkipped, strings.TrimSpace(out))
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		fmt.Fprintf(b.out, "%-26s %d–%d: %s\n", name, seed, seed+cycles-1, strings.TrimPrefix(lines[len(lines)-1], name+": "))
		return r, repeat, nil
	}
	return part{name: name, unit: "cycles", goal: goal, share: share, run: run}
}

// addByHand makes rows of the lines that tests wrote in runs by hand.
func (b *bench) addByHand(name string) error {
	entries, err := readEntries(name)
	if err != nil {
		return err
	}
	parts := map[string]string{"TestCrashAnywhere": crashPart, "TestDamageAnywhere": damagePart}
	for _, e := range entries {
		if parts[e.Test] == "" {
			return fmt.Errorf("%s: nothing is known of %q", name, e.Test)
		}
		if err := b.record(e.row(parts[e.Test])); err != nil {
			return err
		}
	}
	return nil
}

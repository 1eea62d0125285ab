package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// An event is a line of go test -json; go doc test2json describes the fields.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build events
	Test        string
	Output      string
	Elapsed     float64 // seconds
	FailedBuild string
}

// counts are the outcomes of tests.
type counts struct{ passed, failed, skipped int }

func (c counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
}

// A summary takes events and prints what matters as soon as it is known.
type summary struct {
	out      io.Writer
	packages map[string]*packageState
	builds   map[string]string // output of builds, by import path
	total    counts
}

// A packageState is what is known of a package whose tests run.
type packageState struct {
	output  map[string]*strings.Builder // by test; "" is the package's own
	results map[string]string           // by test: pass, fail or skip
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, packages: map[string]*packageState{}, builds: map[string]string{}}
}

// read takes events until the input ends. A line that is no event is printed.
func (s *summary) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				s.take(e)
			} else {
				fmt.Fprintf(s.out, "%s\n", strings.TrimRight(string(line), "\n"))
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

func (s *summary) take(e event) {
	switch e.Action {
	case "build-output":
		s.builds[e.ImportPath] += e.Output
	case "output":
		s.state(e.Package).write(e.Test, e.Output)
	case "pass", "fail", "skip":
		if e.Test != "" {
			s.state(e.Package).results[e.Test] = e.Action
			return
		}
		s.finish(e)
	}
}

func (s *summary) state(name string) *packageState {
	p := s.packages[name]
	if p == nil {
		p = &packageState{output: map[string]*strings.Builder{}, results: map[string]string{}}
		s.packages[name] = p
	}
	return p
}

func (p *packageState) write(test, text string) {
	b := p.output[test]
	if b == nil {
		b = &strings.Builder{}
		p.output[test] = b
	}
	b.WriteString(text)
}

// finish prints a package that has ended, adds it to the total and forgets it.
func (s *summary) finish(e event) {
	p := s.state(e.Package)
	delete(s.packages, e.Package)
	c := p.count()
	for _, test := range slices.Sorted(maps.Keys(p.results)) {
		switch {
		case p.results[test] == "skip":
			fmt.Fprintf(s.out, "SKIP %s %s: %s\n", e.Package, test, reason(p.text(test)))
		case p.results[test] == "fail":
			fmt.Fprint(s.out, p.text(test))
		}
	}
	if e.Action == "fail" {
		if text, found := s.builds[e.FailedBuild]; found {
			fmt.Fprint(s.out, text)
			delete(s.builds, e.FailedBuild)
		}
		// What had no end when the package died is where it died.
		for _, test := range slices.Sorted(maps.Keys(p.output)) {
			if p.results[test] == "" && test != "" {
				fmt.Fprint(s.out, p.text(test))
			}
		}
		if c.failed == 0 {
			c.failed++ // a panic, a race, a build: nothing else would count it
		}
	}
	fmt.Fprint(s.out, p.closing(e))
	s.total.passed += c.passed
	s.total.failed += c.failed
	s.total.skipped += c.skipped
}

// closing is what the package itself printed if it failed, else go's one line
// about it.
func (p *packageState) closing(e event) string {
	own := p.text("")
	if e.Action == "fail" {
		return own
	}
	for line := range strings.Lines(own) {
		if strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "? ") {
			return line
		}
	}
	return fmt.Sprintf("%s\t%s\t%v\n", e.Action, e.Package, time.Duration(e.Elapsed*float64(time.Second)))
}

// text is what a test printed, without the lines that tell that it runs.
func (p *packageState) text(test string) string {
	b := p.output[test]
	if b == nil {
		return ""
	}
	var kept strings.Builder
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "=== ") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// count counts a package's tests; see the package comment for those with
// subtests.
func (p *packageState) count() counts {
	parents := map[string]bool{}
	failedBelow := map[string]bool{}
	for test, result := range p.results {
		for above := test; strings.Contains(above, "/"); {
			above = above[:strings.LastIndexByte(above, '/')]
			parents[above] = true
			failedBelow[above] = failedBelow[above] || result == "fail"
		}
	}
	var c counts
	for test, result := range p.results {
		switch {
		case result == "fail" && !failedBelow[test]:
			c.failed++
		case parents[test]:
		case result == "skip":
			c.skipped++
		case result == "pass":
			c.passed++
		}
	}
	return c
}

// reason is what a test said before it was skipped.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

// close ends the summary: a package that never ended has failed.
func (s *summary) close() counts {
	for _, name := range slices.Sorted(maps.Keys(s.packages)) {
		fmt.Fprintf(s.out, "FAIL\t%s: its tests never ended\n", name)
		s.total.failed++
	}
	for _, name := range slices.Sorted(maps.Keys(s.builds)) {
		fmt.Fprint(s.out, s.builds[name])
	}
	return s.total
}

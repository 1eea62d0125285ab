package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/proglog/proglog/server/torture/internal/ledger"
)

// A sum is what the ledger has of a part.
type sum struct {
	part     part
	count    uint64
	of       uint64 // of the last row
	failures int
	seconds  float64
	acked    uint64
	last     string // date
}

func sumsOf(rows []ledger.Row, parts []part) []sum {
	sums := make([]sum, len(parts))
	for i, p := range parts {
		s := sum{part: p}
		of, _ := damageRound(rows)
		for _, r := range rows {
			if r.Part != p.name {
				continue
			}
			if p.name == bugsPart { // every row tries the same
				s.count, s.of = r.Count, r.Of
			} else if p.name != damagePart || r.Of == of { // places in other lists are others
				s.count, s.of = s.count+r.Count, r.Of
			}
			s.failures += r.Failures
			s.seconds += r.Seconds
			s.acked += r.Acked
			s.last = max(s.last, r.Date[:min(10, len(r.Date))])
		}
		sums[i] = s
	}
	return sums
}

// reached says whether the goal is; met is false where there is none.
func (s *sum) reached() (has, met bool) {
	switch {
	case s.part.all:
		return true, s.of > 0 && s.count >= s.of
	case s.part.seconds:
		return true, s.seconds >= float64(s.part.goal)
	default:
		return s.part.goal > 0, s.count >= s.part.goal
	}
}

// goal is the goal in words.
func (s *sum) goal() string {
	switch {
	case s.part.all && s.of > 0:
		return "all " + thousands(s.of)
	case s.part.all:
		return "all"
	case s.part.seconds:
		return fmt.Sprintf("%d min", s.part.goal/60)
	case s.part.goal == 0:
		return "–"
	default:
		return thousands(s.part.goal)
	}
}

func (s *sum) state() string {
	switch has, met := s.reached(); {
	case s.last == "":
		return "not yet run"
	case !has:
		return ""
	case met:
		return "reached"
	default:
		return "not yet"
	}
}

// table prints the sums for a terminal.
func table(rows []ledger.Row, parts []part) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-32s %14s %-13s %14s %9s %9s  %s\n", "part", "tried", "", "deep goal", "minutes", "failures", "")
	for _, s := range sumsOf(rows, parts) {
		fmt.Fprintf(&b, "%-32s %14s %-13s %14s %9.1f %9d  %s\n",
			s.part.name, thousands(s.count), s.part.unit, s.goal(), s.seconds/60, s.failures, s.state())
	}
	return b.String()
}

// What the README says of each part; those of no line of their own are summed.
var readmeLines = []struct{ text, part string }{
	{"simulated crash states", crashPart},
	{"workloads in which each call of the file system failed in turn, with each error", faultPart},
	{"single faults in files: every bit flipped; sectors, cuts, missing files, pairs", damagePart},
	{"seeded bugs that their test caught", bugsPart},
	{"SIGKILL of the loaded server", "kill"},
	{"SIGKILL, then `proglog verify`, which has to find no damage", "verify"},
	{"several servers on one directory", "lock"},
	{"callers that send more than the memory limit", "memory"},
	{"power cuts of a real ext4", "power-ext4"},
	{"power cuts of a real xfs", "power-xfs"},
	{"full disks", "full-"},
	{"disks that refuse writes", "eio-"},
	{"histories checked for linearizability", "histories"},
}

const (
	beginMark = "<!-- the ledger's sums: written by make deep -->"
	endMark   = "<!-- end of the sums -->"
)

// readmeSums is the text between the marks.
func readmeSums(rows []ledger.Row, parts []part) string {
	var b strings.Builder
	sums := sumsOf(rows, parts)
	b.WriteString("| tried so far | count | goal | failures |\n| --- | --- | --- | --- |\n")
	var acked uint64
	var last string
	for _, s := range sums {
		acked += s.acked
		last = max(last, s.last)
	}
	for _, line := range readmeLines {
		var all sum
		for _, s := range sums {
			if s.part.name == line.part || strings.HasSuffix(line.part, "-") && strings.HasPrefix(s.part.name, line.part) {
				all.part, all.of = s.part, s.of
				all.count += s.count
				all.failures += s.failures
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d |\n", line.text, thousands(all.count), all.goal(), all.failures)
	}
	targets, done, fuzzed, failures, seconds := 0, 0, uint64(0), 0, 0.0
	for _, s := range sums {
		if !s.part.seconds {
			continue
		}
		targets++
		if _, met := s.reached(); met {
			done++
		}
		fuzzed += s.count
		failures += s.failures
		seconds += s.seconds
	}
	fmt.Fprintf(&b, "| inputs fuzzed, in %.0f minutes | %s | %d of %d targets 10 min | %d |\n\n", seconds/60, thousands(fuzzed), done, targets, failures)
	if last == "" {
		last = "no date yet"
	}
	fmt.Fprintf(&b, "The real server acknowledged %s records under these faults; each was looked for afterwards. Last run: %s.\n", thousands(acked), last)
	return b.String()
}

// cutReadme returns what is before, between and behind the marks.
func cutReadme(text string) (before, sums, after string, err error) {
	before, rest, found := strings.Cut(text, beginMark+"\n")
	sums, after, end := strings.Cut(rest, endMark+"\n")
	if !found || !end {
		return "", "", "", errors.New("the README has no place for the ledger's sums")
	}
	return before, sums, after, nil
}

// writeReadme puts the sums into the README, if they are others.
func writeReadme(name string, rows []ledger.Row, parts []part) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, had, after, err := cutReadme(string(text))
	if err != nil {
		return err
	}
	sums := "\n" + readmeSums(rows, parts) + "\n"
	if had == sums {
		return nil
	}
	return os.WriteFile(name, []byte(before+beginMark+"\n"+sums+endMark+"\n"+after), 0o644)
}

// thousands writes a number with commas.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

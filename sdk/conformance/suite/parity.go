package suite

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// The table stands in the page of the SDKs between these lines.
const (
	tableBegin = "<!-- The table below is made by the conformance suite: do not edit it. -->\n"
	tableEnd   = "<!-- The end of the table. -->\n"
)

// row is a row of the parity table.
type row struct{ subject, feature string }

func (r row) String() string { return r.subject + ": " + r.feature }

// Parity is what the adapters showed when the suite last ran in full: by adapter
// and row, why the SDK does not have it; empty: it does.
type Parity map[string]map[string]string

// LoadParity reads what was stored; nothing if nothing was.
func LoadParity(file string) (Parity, error) {
	p := Parity{}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	return p, json.Unmarshal(text, &p)
}

// Store writes what LoadParity reads.
func (p Parity) Store(file string) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(p); err != nil {
		return err
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}

// rows returns the rows of cases, in their order.
func rows(cases []*Case) []row {
	var all []row
	for _, c := range cases {
		if !slices.Contains(all, c.row()) {
			all = append(all, c.row())
		}
	}
	slices.SortStableFunc(all, func(a, b row) int {
		return slices.IndexFunc(cases, func(c *Case) bool { return c.Subject == a.subject }) -
			slices.IndexFunc(cases, func(c *Case) bool { return c.Subject == b.subject })
	})
	return all
}

// Check is an error unless every adapter of the table has exactly the rows that
// the cases have.
func (p Parity) Check(cases []*Case, specs []*AdapterSpec) error {
	var failure error
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if !slices.ContainsFunc(specs, func(a *AdapterSpec) bool { return a.Name == name }) {
			failure = errors.Join(failure, fmt.Errorf("there is no adapter %s", name))
		}
		left := maps.Clone(p[name])
		for _, r := range rows(cases) {
			if _, ok := left[r.String()]; !ok {
				failure = errors.Join(failure, fmt.Errorf("%s has no %q", name, r))
			}
			delete(left, r.String())
		}
		for r := range left {
			failure = errors.Join(failure, fmt.Errorf("%s has %q, which no case has", name, r))
		}
	}
	return failure
}

// Table draws the table, adapters in the order of specs, and its notes.
func (p Parity) Table(cases []*Case, specs []*AdapterSpec) string {
	var names []string
	for _, a := range specs {
		if p[a.Name] != nil {
			names = append(names, a.Name)
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| | | %s |\n| --- | --- |%s\n", strings.Join(names, " | "), strings.Repeat(" :-: |", len(names)))
	var notes []string
	subject := ""
	for _, r := range rows(cases) {
		first := ""
		if r.subject != subject {
			first, subject = r.subject, r.subject
		}
		fmt.Fprintf(&table, "| %s | %s |", first, r.feature)
		for _, name := range names {
			why, ran := p[name][r.String()]
			switch {
			case !ran:
				table.WriteString(" |")
			case why == "":
				table.WriteString(" ✓ |")
			default:
				if !slices.Contains(notes, why) {
					notes = append(notes, why)
				}
				fmt.Fprintf(&table, " – (%d) |", slices.Index(notes, why)+1)
			}
		}
		table.WriteString("\n")
	}
	for _, a := range specs {
		if a.About != "" && p[a.Name] != nil {
			fmt.Fprintf(&table, "\nThe column %s is %s.\n", a.Name, a.About)
		}
	}
	for i, why := range notes {
		fmt.Fprintf(&table, "\n%d. %s", i+1, why)
	}
	if len(notes) > 0 {
		table.WriteString("\n")
	}
	return table.String()
}

// inPage returns a page with another table between its markers.
func inPage(page, table string) (string, error) {
	before, rest, ok := strings.Cut(page, tableBegin)
	_, after, ends := strings.Cut(rest, tableEnd)
	if !ok || !ends {
		return "", errors.New("the page has no markers for the table")
	}
	return before + tableBegin + "\n" + table + "\n" + tableEnd + after, nil
}

// tally collects what the cases of one adapter showed.
type tally struct {
	ran   map[*Case]bool
	cells map[string]string
}

func newTally() *tally { return &tally{map[*Case]bool{}, map[string]string{}} }

// add notes the result of a case: why the SDK does not show it, or "".
func (t *tally) add(c *Case, why string) {
	t.ran[c] = true
	cell := t.cells[c.row().String()]
	if why != "" && !strings.Contains(cell, why) {
		cell = strings.TrimPrefix(cell+" "+why, " ")
	}
	t.cells[c.row().String()] = cell
}

// Package report shows figures to people: as text for a terminal, as Markdown,
// and curves as a picture.
package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A Report is sections, one after the other.
type Report struct {
	Title    string
	Sections []Section
}

// A Section is a heading, what the reader has to know, and a table. Each of
// them may be missing.
type Section struct {
	Title string
	Notes []string
	Head  []string
	Rows  [][]string
}

// Text writes the report for a terminal.
func (r *Report) Text(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "%s\n", r.Title)
	for _, s := range r.Sections {
		if s.Title != "" {
			fmt.Fprintf(out, "\n%s\n%s\n", s.Title, strings.Repeat("-", len([]rune(s.Title))))
		}
		for _, n := range s.Notes {
			fmt.Fprintf(out, "%s\n", n)
		}
		if len(s.Head) > 0 {
			fmt.Fprintf(out, "%s\n", strings.Join(s.Head, "\t"))
		}
		for _, row := range s.Rows {
			fmt.Fprintf(out, "%s\n", strings.Join(row, "\t"))
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// Markdown writes the report as Markdown. The picture, if it has a name, comes
// first.
func (r *Report) Markdown(w io.Writer, picture string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", r.Title)
	if picture != "" {
		fmt.Fprintf(&b, "\n![curves](%s)\n", picture)
	}
	for _, s := range r.Sections {
		if s.Title != "" {
			fmt.Fprintf(&b, "\n## %s\n", s.Title)
		}
		if len(s.Notes) > 0 {
			b.WriteString("\n")
		}
		for _, n := range s.Notes {
			fmt.Fprintf(&b, "- %s\n", n)
		}
		if len(s.Head) > 0 {
			fmt.Fprintf(&b, "\n%s%s", markdownRow(s.Head), markdownRow(rules(len(s.Head))))
		}
		for _, row := range s.Rows {
			b.WriteString(markdownRow(row))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func rules(n int) []string {
	r := make([]string, n)
	for i := range r {
		r[i] = "---"
	}
	return r
}

func markdownRow(cells []string) string {
	escaped := make([]string, len(cells))
	for i, c := range cells {
		escaped[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	return "| " + strings.Join(escaped, " | ") + " |\n"
}

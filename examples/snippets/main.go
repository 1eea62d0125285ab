// Snippets puts sections of the examples, which run in the tests, into the pages that
// show them. A section stands between two comments in an example,
//
//	// snippet: produce
//	// end snippet
//
// and its place in a page is the fenced block behind a mark:
//
//	<!-- snippet: go/quickstart/main.go produce -->
//
// A mark may name several sections; an empty line goes between them. An empty line may
// stand behind the mark, where the formatter of a page wants one.
//
// Run it from the top of the repository: go run ./examples/snippets rewrites the pages.
// A test fails when one of them is out of date.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	if err := rewrite("."); err != nil {
		fmt.Fprintln(os.Stderr, "snippets:", err)
		os.Exit(1)
	}
}

// rewrite brings the pages of a repository up to date.
func rewrite(top string) error {
	found, err := pages(top)
	if err != nil {
		return err
	}
	for page, text := range found {
		fresh, err := refresh(text, filepath.Join(top, "examples"))
		if err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
		if fresh == text {
			continue
		}
		if err := os.WriteFile(filepath.Join(top, page), []byte(fresh), 0o644); err != nil {
			return err
		}
		fmt.Println("snippets: rewrote", page)
	}
	return nil
}

// pages returns the pages below the top of a repository that have snippets, by their
// paths, with their texts.
func pages(top string) (map[string]string, error) {
	found := map[string]string{}
	for _, pattern := range []string{"*.md", "sdk/*/README.md", "server/docs/*.md"} {
		paths, err := filepath.Glob(filepath.Join(top, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			page, err := filepath.Rel(top, path)
			if err != nil {
				return nil, err
			}
			if strings.Contains(string(text), "<!-- snippet:") {
				found[filepath.ToSlash(page)] = string(text)
			}
		}
	}
	return found, nil
}

// refresh returns a page with its snippets cut anew from the examples in a folder.
func refresh(page, folder string) (string, error) {
	place := regexp.MustCompile("(?m)^(<!-- snippet: (\\S+) (.+) -->\n\n?)(```\\w+\n)(?s:.*?)^```$")
	if marks := strings.Count(page, "<!-- snippet:"); marks != len(place.FindAllString(page, -1)) {
		return "", fmt.Errorf("of %d marks some have no fenced block behind them", marks)
	}
	var failure error
	fresh := place.ReplaceAllStringFunc(page, func(found string) string {
		groups := place.FindStringSubmatch(found)
		text, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(groups[2])))
		if err != nil {
			failure = err
			return found
		}
		var sections []string
		for _, name := range strings.Fields(groups[3]) {
			section, err := cut(string(text), name)
			if err != nil {
				failure = fmt.Errorf("%s: %w", groups[2], err)
				return found
			}
			sections = append(sections, section)
		}
		return groups[1] + groups[4] + strings.Join(sections, "\n") + "```"
	})
	return fresh, failure
}

// cut returns a section of an example, moved to the left margin.
func cut(text, name string) (string, error) {
	section := regexp.MustCompile(`(?m)^([ \t]*)(?://|#) snippet: ` + regexp.QuoteMeta(name) + `\n((?s:.*?))^[ \t]*(?://|#) end snippet$`)
	found := section.FindStringSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("there is no section %q", name)
	}
	return strings.TrimPrefix(strings.ReplaceAll("\n"+found[2], "\n"+found[1], "\n"), "\n"), nil
}

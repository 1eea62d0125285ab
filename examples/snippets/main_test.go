package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Goal: the code that the pages show is the code that the tests run.
func TestPagesAreFresh(t *testing.T) {
	found, err := pages("../..")
	require.NoError(t, err)
	for _, page := range []string{"README.md", "sdk/go/README.md", "sdk/python/README.md", "sdk/typescript/README.md", "server/docs/without-an-sdk.md"} {
		require.Contains(t, found, page, "a page has lost its snippets")
	}
	for page, text := range found {
		t.Run(page, func(t *testing.T) {
			fresh, err := refresh(text, "..")
			require.NoError(t, err)
			assert.Equal(t, fresh, text, "out of date: make snippets rewrites it")
		})
	}
}

// Goal: no SDK's page shows code that no test runs.
func TestNoCodeIsWrittenByHand(t *testing.T) {
	block := regexp.MustCompile("(?m)(?:^(<!-- snippet: .+ -->)\n\n?)?^```(?:go|ts|typescript|js|javascript|python)\n(?s:.*?)^```$")
	readmes, err := filepath.Glob("../../sdk/*/README.md")
	require.NoError(t, err)
	for _, readme := range readmes {
		text, err := os.ReadFile(readme)
		require.NoError(t, err)
		for _, found := range block.FindAllStringSubmatch(string(text), -1) {
			assert.NotEmptyf(t, found[1], "%s: cut this from an example:\n%s", readme, found[0])
		}
	}
	assert.Empty(t, block.FindStringSubmatch("```go\na\n```\n")[1], "a block without a mark is seen")
}

// Goal: a section is found by its name, whatever the language, and put at the margin.
func TestRefresh(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "a.go"), []byte(
		"\t// snippet: one\n\tif a {\n\t\tb()\n\t}\n\t// end snippet\n\n# snippet: two\nc\n\nd\n# end snippet\n"), 0o600))
	const before, after = "text\n\n", "\n\nmore\n```go\nnot marked\n```\n"

	fresh, err := refresh(before+"<!-- snippet: a.go one two -->\n```go\nold\n```"+after, folder)
	require.NoError(t, err)
	want := before + "<!-- snippet: a.go one two -->\n```go\nif a {\n\tb()\n}\n\nc\n\nd\n```" + after
	assert.Equal(t, want, fresh)
	again, err := refresh(fresh, folder)
	require.NoError(t, err)
	assert.Equal(t, fresh, again, "a second time")
}

// Goal: a mark that names nothing is an error, not an old snippet.
func TestRefreshRefuses(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "a.go"), []byte("// snippet: one\n"), 0o600))
	for name, page := range map[string]string{
		"no such file":             "<!-- snippet: b.go one -->\n```go\n```\n",
		"no such section":          "<!-- snippet: a.go two -->\n```go\n```\n",
		"a section without an end": "<!-- snippet: a.go one -->\n```go\n```\n",
		"a mark without a block":   "<!-- snippet: a.go one -->\n\ntext\n",
	} {
		t.Run(name, func(t *testing.T) {
			fresh, err := refresh(page, folder)
			require.Error(t, err)
			assert.True(t, strings.HasPrefix(page, fresh))
		})
	}
}

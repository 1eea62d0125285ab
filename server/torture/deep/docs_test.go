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

// Goal: every test that the page on durability names is where it says.
func TestDurabilityNamesTestsThatAre(t *testing.T) {
	const dir = testRoot + "/server/docs"
	page, err := os.ReadFile(filepath.Join(dir, "durability.md"))
	require.NoError(t, err)
	links := regexp.MustCompile(`\[([^\]]+)\]\(([^)]+)\)`).FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(links), 40)
	for _, link := range links {
		text, err := os.ReadFile(filepath.Join(dir, link[2]))
		if assert.NoError(t, err, link[0]) && strings.HasPrefix(link[1], "Test") {
			assert.Contains(t, string(text), "func "+link[1]+"(", link[0])
		}
	}
	parts, err := allParts(testRoot)
	require.NoError(t, err)
	for _, name := range regexp.MustCompile("trials? `([^`]+)`").FindAllStringSubmatch(string(page), -1) {
		found := false
		for _, p := range parts {
			found = found || strings.HasPrefix(p.name, strings.TrimSuffix(name[1], "…"))
		}
		assert.True(t, found, name[0])
	}
}

package archtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// workspace loads the repository that this package is in.
func workspace(t *testing.T) []unit {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			break
		}
		require.NotEqual(t, filepath.Dir(dir), dir, "no go.work above the working directory")
		dir = filepath.Dir(dir)
	}
	units, err := load(os.DirFS(dir))
	require.NoError(t, err)
	return units
}

// Goal: no package of the workspace imports what the table does not allow.
func TestImports(t *testing.T) {
	units := workspace(t)
	require.NotEmpty(t, units)
	for _, broken := range checkImports(units) {
		t.Error(broken)
	}
}

// Goal: no file of the workspace breaks the rules of the house for sources.
func TestSources(t *testing.T) {
	for _, broken := range checkSources(workspace(t)) {
		t.Error(broken)
	}
}

// Goal: the walk sees the packages that the rules are about; rules over nothing
// would pass for ever.
func TestWorkspaceIsSeen(t *testing.T) {
	var rooms []string
	for _, u := range workspace(t) {
		rooms = append(rooms, u.room)
	}
	for _, room := range []string{
		"sdk/go/gen/log/v1", "sdk/conformance/origin", "server/commitlog", "server/log", "server/internal/archtest",
	} {
		assert.Contains(t, rooms, room)
	}
}

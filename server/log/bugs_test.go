package log

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The program that users get has no trace of the bugs that can be planted.
func TestProgramHasNoSeededBugs(t *testing.T) {
	name := os.Getenv("PROGLOG_BIN")
	if name == "" {
		t.Skip("SKIP: PROGLOG_BIN does not name the program, as it does in make test")
	}
	program, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Contains(t, string(program), "server/log", "this is the program")
	require.NotContains(t, string(program), "PROGLOG_BUG")
	for name := range declaredBugs(t) {
		require.NotContains(t, string(program), name)
	}
}

// declaredBugs returns what the source says of each bug.
func declaredBugs(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "internal/bug/bug.go", nil, parser.ParseComments)
	require.NoError(t, err)
	all := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		name, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		require.NoError(t, err)
		text := strings.TrimPrefix(strings.Join(strings.Fields(v.Doc.Text()), " "), v.Names[0].Name+" ")
		all[name] = strings.TrimSuffix(text, ".")
		return true
	})
	return all
}

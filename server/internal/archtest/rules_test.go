package archtest

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tree makes a fake repository with the modules of the real one and the given
// files.
func tree(t *testing.T, files map[string]string) []unit {
	t.Helper()
	top := fstest.MapFS{}
	for _, dir := range []string{"sdk/go", "sdk/conformance", "sdk/conformance/origin", "sdk/conformance/adapters/go", "server", "server/bench", "server/torture", "examples"} {
		top[dir+"/go.mod"] = &fstest.MapFile{Data: []byte("// a comment\nmodule " + repository + "/" + dir + "\n")}
	}
	for name, text := range files {
		top[name] = &fstest.MapFile{Data: []byte(text)}
	}
	units, err := load(top)
	require.NoError(t, err)
	return units
}

// source is a file that imports the given paths; those without a dot or a
// leading word of the standard library are inside the repository.
func source(paths ...string) string {
	var b strings.Builder
	b.WriteString("package p\n")
	for _, imported := range paths {
		if !strings.Contains(imported, ".") {
			imported = repository + "/" + imported
		}
		b.WriteString("import _ \"" + imported + "\"\n")
	}
	return b.String()
}

// Goal: what the table allows passes.
// Method: a fake package for each kind of allowance.
func TestAllowedImports(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"the SDK on its stubs":              {"sdk/go/a.go": source("sdk/go/gen/log/v1")},
		"the SDK on its two dependencies":   {"sdk/go/a.go": source("connectrpc.com/connect/v2", "google.golang.org/protobuf/proto")},
		"testify in the SDK's tests":        {"sdk/go/a_test.go": source("github.com/stretchr/testify/require")},
		"the engine on contract and files":  {"server/log/a.go": source("server/commitlog", "server/internal/vfs")},
		"the engine on its own rooms":       {"server/log/a.go": source("server/log/journal")},
		"one inner room on another":         {"server/log/journal/a.go": source("server/log/frame")},
		"an inner room on the contract":     {"server/log/journal/a.go": source("server/commitlog")},
		"a suite on what it tests":          {"server/commitlog/commitlogtest/a.go": source("server/commitlog")},
		"a test on a suite":                 {"server/log/a_test.go": source("server/commitlog/commitlogtest")},
		"an external test on its package":   {"server/log/a_test.go": source("server/log")},
		"the contract's test on the stubs":  {"server/commitlog/a_test.go": source("sdk/go/gen/log/v1")},
		"handlers on contract and stubs":    {"server/internal/rpc/a.go": source("server/commitlog", "sdk/go/gen/log/v1/logv1connect")},
		"the binary on all of the server":   {"server/cmd/proglog/a.go": source("server/log", "server/internal/rpc", "sdk/go")},
		"the bench on engine and SDK":       {"server/bench/a.go": source("server/log", "sdk/go")},
		"an adapter on its SDK":             {"sdk/conformance/adapters/go/a.go": source("sdk/go")},
		"the battery on the SDK":            {"server/torture/a.go": source("sdk/go", "sdk/go/gen/log/v1")},
		"an example on the SDK":             {"examples/go/a/a.go": source("sdk/go")},
		"an example's test on a server":     {"examples/go/a/a_test.go": source("sdk/conformance/proglogtest")},
		"the origin's client on its stubs":  {"sdk/conformance/origin/a_test.go": source("sdk/conformance/origin/gen/log/v1")},
		"other dependencies in the server":  {"server/log/a.go": source("golang.org/x/sys/unix")},
		"folders that are no code of ours":  {"server/log/testdata/a.go": source("sdk/go"), ".x/a.go": "no Go"},
		"the binary's tests on a raw calls": {"server/cmd/proglog/a_test.go": source("sdk/go/gen/log/v1")},
	} {
		t.Run(name, func(t *testing.T) { assert.Empty(t, checkImports(tree(t, files))) })
	}
}

// Goal: each kind of import that the table does not allow is found, and the
// message names the file and the import.
func TestForbiddenImports(t *testing.T) {
	for name, row := range map[string]struct{ file, imported string }{
		"stubs on the SDK":                {"sdk/go/gen/log/v1/a.go", "sdk/go"},
		"the SDK on the server":           {"sdk/go/a.go", "server/commitlog"},
		"the SDK on a third dependency":   {"sdk/go/a.go", "golang.org/x/sync/errgroup"},
		"the SDK on testify":              {"sdk/go/a.go", "github.com/stretchr/testify/require"},
		"the SDK's tests on another":      {"sdk/go/a_test.go", "google.golang.org/grpc"},
		"a lookalike of a dependency":     {"sdk/go/a.go", "google.golang.org/protobufs"},
		"the contract on the engine":      {"server/commitlog/a.go", "server/log"},
		"the contract on the stubs":       {"server/commitlog/a.go", "sdk/go/gen/log/v1"},
		"files on the contract":           {"server/internal/vfs/a.go", "server/commitlog"},
		"the engine on handlers":          {"server/log/a.go", "server/internal/rpc"},
		"the engine on the stubs":         {"server/log/a.go", "sdk/go/gen/log/v1"},
		"the engine on a suite":           {"server/log/a.go", "server/commitlog/commitlogtest"},
		"an inner room on the one above":  {"server/log/journal/a.go", "server/log"},
		"an inner room on handlers":       {"server/log/journal/a.go", "server/internal/rpc"},
		"a package on itself":             {"server/log/a.go", "server/log"},
		"handlers on the engine":          {"server/internal/rpc/a.go", "server/log"},
		"handlers on files":               {"server/internal/rpc/a.go", "server/internal/vfs"},
		"handlers on the SDK":             {"server/internal/rpc/a.go", "sdk/go"},
		"handlers' tests on the engine":   {"server/internal/rpc/a_test.go", "server/log"},
		"the replicated engine on ours":   {"server/internal/jetstream/a.go", "server/log"},
		"auth on handlers":                {"server/internal/auth/a.go", "server/internal/rpc"},
		"the console on anything":         {"server/internal/console/a.go", "server/commitlog"},
		"telemetry on the engine":         {"server/internal/telemetry/a.go", "server/log"},
		"the binary on stubs":             {"server/cmd/proglog/a.go", "sdk/go/gen/log/v1"},
		"the server on the bench":         {"server/log/a.go", "server/bench"},
		"the battery on the engine":       {"server/torture/a.go", "server/log"},
		"the server on the battery":       {"server/log/a.go", "server/torture"},
		"an example on the server":        {"examples/go/a/a.go", "server/log"},
		"an example on stubs":             {"examples/go/a/a.go", "sdk/go/gen/log/v1"},
		"an example's test on the server": {"examples/go/a/a_test.go", "server/log"},
		"conformance on the SDK":          {"sdk/conformance/a.go", "sdk/go"},
		"the suite on an adapter":         {"sdk/conformance/suite/a.go", "sdk/conformance/adapters/go"},
		"an adapter on stubs":             {"sdk/conformance/adapters/go/a.go", "sdk/go/gen/log/v1"},
		"the origin's client on the SDK":  {"sdk/conformance/origin/a_test.go", "sdk/go/gen/log/v1"},
		"a room that nobody knows":        {"server/log/a.go", "web/thing"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := checkImports(tree(t, map[string]string{row.file: source(row.imported)}))
			require.Len(t, broken, 1)
			assert.Contains(t, broken[0], row.file)
			assert.Contains(t, broken[0], row.imported)
		})
	}
}

// Goal: a package in no room of the table is found even if it imports nothing.
func TestUnknownRoom(t *testing.T) {
	broken := checkImports(tree(t, map[string]string{"server/internal/util/a.go": "package util\n"}))
	require.Equal(t, []string{"package server/internal/util is in no room of the table"}, broken)
}

// Goal: a tree that cannot be judged is an error, not a pass.
func TestLoadRefuses(t *testing.T) {
	for name, top := range map[string]fstest.MapFS{
		"code outside of all modules": {"stray/a.go": {Data: []byte("package a\n")}},
		"a foreign module path":       {"a/go.mod": {Data: []byte("module example.org/a\n")}, "a/a.go": {Data: []byte("package a\n")}},
		"a module without a name":     {"a/go.mod": {Data: []byte("go 1.26\n")}},
		"a file that does not parse":  {"a/go.mod": {Data: []byte("module " + repository + "/a\n")}, "a/a.go": {Data: []byte("func\n")}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(top)
			require.Error(t, err)
		})
	}
}

// Goal: what the rules for sources allow passes: long tests, generated code,
// errors, tables, compiled patterns, interface assertions, embedded files.
func TestAllowedSources(t *testing.T) {
	long := strings.Repeat("\n", maxLines+1)
	for name, files := range map[string]map[string]string{
		"a file at the limit":    {"server/log/a.go": "package p\n" + strings.Repeat("\n", maxLines-1)},
		"a long test":            {"server/log/a_test.go": "package p\n" + long},
		"a long generated file":  {"server/log/a.go": "// Code generated by x. DO NOT EDIT.\n\npackage p\nfunc init() {}\n" + long},
		"errors":                 {"server/log/a.go": "package p\nimport \"errors\"\nvar ErrClosed = errors.New(\"closed\")\n"},
		"a table":                {"server/log/a.go": "package p\nvar names = map[int]string{1: \"one\"}\n"},
		"an interface assertion": {"server/log/a.go": "package p\nimport \"io\"\nvar _ io.Reader = (*T)(nil)\ntype T struct{}\n"},
		"an embedded file":       {"server/log/a.go": "package p\nimport _ \"embed\"\n//go:embed page.html\nvar page []byte\n"},
		"a method called init":   {"server/log/a.go": "package p\ntype T struct{}\nfunc (T) init() {}\n"},
		"a table of functions":   {"server/log/a.go": "package p\nvar f = func() any { return make([]int, 1) }\n"},
		"a logger in a struct":   {"server/log/a.go": "package p\nimport \"log/slog\"\ntype T struct{ l *slog.Logger }\n"},
		"a pool of memory":       {"server/log/a.go": "package p\nimport \"sync\"\nvar pool = sync.Pool{New: func() any { return new(int) }}\n"},
		"a word inside a word":   {"server/log/a.go": "package p\n// MASTODON, XXXL\n"},
	} {
		t.Run(name, func(t *testing.T) { assert.Empty(t, checkSources(tree(t, files))) })
	}
}

// Goal: each thing that a source may not contain is found.
func TestForbiddenSources(t *testing.T) {
	for name, row := range map[string]struct{ file, text, want string }{
		"a long file":                {"server/log/a.go", "package p\n" + strings.Repeat("\n", maxLines), "401 lines"},
		"an init function":           {"server/log/a.go", "package p\nfunc init() {}\n", "init function"},
		"an unfinished comment":      {"server/log/a.go", "package p\n// TO" + "DO: later\n", "TO" + "DO"},
		"an unfinished test":         {"server/log/a_test.go", "package p\n// FIX" + "ME\n", "FIX" + "ME"},
		"a marked place":             {"sdk/go/a.go", "package p\nvar a = 1 // XX" + "X\n", "XX" + "X"},
		"a global logger":            {"server/log/a.go", "package p\nimport \"log/slog\"\nvar l = slog.Default()\n", "var l"},
		"a typed global logger":      {"server/log/a.go", "package p\nimport \"log/slog\"\nvar l *slog.Logger = nil\n", "var l"},
		"a global lock":              {"server/log/a.go", "package p\nimport \"sync\"\nvar a, mu = 1, sync.Mutex{}\n", "var a"},
		"a global metric":            {"server/log/a.go", "package p\nvar m = prometheus.NewCounter(x)\n", "var m"},
		"a variable to be set":       {"server/log/a.go", "package p\nvar version string\n", "var version"},
		"a global map to be filled":  {"server/log/a.go", "package p\nvar cache = make(map[string]int)\n", "var cache"},
		"a global in a group":        {"server/log/a.go", "package p\nvar (\n\ta = 1\n\tp = new(int)\n)\n", "var p"},
		"in a package of tests, too": {"server/internal/vfs/vfstest/a.go", "package p\nfunc init() {}\n", "init function"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := checkSources(tree(t, map[string]string{row.file: row.text}))
			require.Len(t, broken, 1)
			assert.Contains(t, broken[0], row.file)
			assert.Contains(t, broken[0], row.want)
		})
	}
}

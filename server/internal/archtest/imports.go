package archtest

import (
	"fmt"
	"path"
	"strings"
)

// A rule says what one room may import inside the repository. A room is a
// directory with all below it that have no rule of their own; within a room,
// packages may import downwards and sideways, never the one above; generated
// code lies as its generator wants it.
type rule struct {
	room string
	// may names the rooms that it may import. A name that ends in "/..." stands
	// for all rooms below.
	may []string
	// tests names what its test files may import besides. Packages whose name
	// ends in "test" need no mention: any test may import them.
	tests []string
}

// rules is the table "Who may import whom" of ARCHITECTURE.md. What is not in it
// is forbidden.
func rules() []rule {
	return []rule{
		{room: "sdk/go/gen"},
		{room: "sdk/go", may: []string{"sdk/go/gen"}},
		{room: "sdk/conformance"},
		{room: "sdk/conformance/origin"},
		{room: "sdk/conformance/adapters/go", may: []string{"sdk/go"}},

		// The encoding of a record is written by hand and tested against the
		// generated code.
		{room: "server/commitlog", tests: []string{"sdk/go/gen"}},
		{room: "server/internal/vfs"},
		{room: "server/log", may: []string{"server/commitlog", "server/internal/vfs"}},
		{room: "server/internal/jetstream", may: []string{"server/commitlog"}},
		{room: "server/internal/rpc", may: []string{"server/commitlog", "sdk/go/gen"}},
		{room: "server/internal/auth"},
		{room: "server/internal/console"},
		{room: "server/internal/telemetry", may: []string{"server/commitlog"}},
		{room: "server/internal/archtest"},
		{room: "server/internal/testsum"},
		// Raw calls beside those of the SDK belong into tests alone.
		{room: "server/cmd/proglog", may: []string{"server/...", "sdk/go"}, tests: []string{"sdk/go/gen"}},
		{room: "server/bench", may: []string{"server/...", "sdk/go", "sdk/go/gen"}},
		// The battery drives the binary, from outside.
		{room: "server/torture", may: []string{"sdk/go", "sdk/go/gen"}},

		{room: "examples", may: []string{"sdk/go"}},
	}
}

// external names the rooms whose dependencies outside of the repository are
// limited to a list: users get them all.
func external() map[string][]string {
	return map[string][]string{
		"sdk/go": {"connectrpc.com/connect/v2", "google.golang.org/protobuf"},
	}
}

// testModules is what test files may import from outside, where that is limited.
func testModules() []string { return []string{"github.com/stretchr/testify"} }

// checkImports returns a sentence for each import that the rules do not allow,
// and for each package that has no rule.
func checkImports(units []unit) []string {
	var broken []string
	for _, u := range units {
		own, found := ruleOf(u.room)
		if !found {
			broken = append(broken, fmt.Sprintf("package %s is in no room of the table", u.room))
			continue
		}
		for _, f := range u.files {
			for _, imported := range f.imports {
				if why := judge(u.room, own, f, imported); why != "" {
					broken = append(broken, fmt.Sprintf("%s imports %s: %s", f.name, imported, why))
				}
			}
		}
	}
	return broken
}

// judge returns why a file may not import something, or "".
func judge(room string, own rule, f file, imported string) string {
	target, inside := strings.CutPrefix(imported, repository+"/")
	if !inside {
		return judgeExternal(own, f, imported)
	}
	inTest := f.test || isTestPackage(room)
	switch {
	case isTestPackage(target):
		if inTest {
			return ""
		}
		return "a test package, outside of tests"
	case target == room:
		if f.test {
			return ""
		}
		return "itself"
	}
	other, found := ruleOf(target)
	if !found {
		return "it is in no room of the table"
	}
	if other.room == own.room {
		if within(room, target) && !inTest && !f.generated {
			return "the one above in its own room"
		}
		return ""
	}
	allowed := own.may
	if inTest {
		allowed = append(allowed[:len(allowed):len(allowed)], own.tests...)
	}
	for _, name := range allowed {
		above, all := strings.CutSuffix(name, "/...")
		if other.room == name || all && within(other.room, above) {
			return ""
		}
	}
	return "the table does not allow it"
}

// judgeExternal is judge for what comes from outside of the repository.
func judgeExternal(own rule, f file, imported string) string {
	allowed, limited := external()[own.room]
	first, _, _ := strings.Cut(imported, "/")
	if !limited || !strings.Contains(first, ".") { // the standard library has no dot
		return ""
	}
	if f.test {
		allowed = append(allowed[:len(allowed):len(allowed)], testModules()...)
	}
	for _, module := range allowed {
		if within(imported, module) {
			return ""
		}
	}
	return own.room + " stays at " + strings.Join(allowed, ", ")
}

// ruleOf returns the rule of the room that a package is in: that with the
// longest matching path.
func ruleOf(room string) (rule, bool) {
	var best rule
	for _, r := range rules() {
		if within(room, r.room) && len(r.room) > len(best.room) {
			best = r
		}
	}
	return best, best.room != ""
}

// within tells if a path is another or below it.
func within(name, above string) bool {
	return name == above || strings.HasPrefix(name, above+"/")
}

func isTestPackage(room string) bool {
	base := path.Base(room)
	return strings.HasSuffix(base, "test") && base != "archtest"
}

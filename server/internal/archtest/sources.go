package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// maxLines is how long a file of code may be.
const maxLines = 400

// checkSources returns a sentence for each file that breaks a rule about what a
// file may contain. Generated files are exempt, and tests from all but the one
// about unfinished work.
func checkSources(units []unit) []string {
	unfinished := regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "XX" + "X"}, "|") + `)\b`)
	var broken []string
	for _, u := range units {
		for _, f := range u.files {
			if f.generated {
				continue
			}
			if word := unfinished.FindString(f.text); word != "" {
				broken = append(broken, fmt.Sprintf("%s says %s: finish it, or open an issue", f.name, word))
			}
			if f.test {
				continue
			}
			if f.lines > maxLines {
				broken = append(broken, fmt.Sprintf("%s has %d lines: at most %d, one subject a file", f.name, f.lines, maxLines))
			}
			broken = append(broken, checkDeclarations(f)...)
		}
	}
	return broken
}

// checkDeclarations finds functions that run by themselves and state that a
// whole package shares.
func checkDeclarations(f file) []string {
	var broken []string
	for _, declared := range f.syntax.Decls {
		switch d := declared.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				broken = append(broken, f.name+" has an init function: let main or a constructor do it")
			}
		case *ast.GenDecl:
			if d.Tok != token.VAR {
				continue
			}
			for _, spec := range d.Specs {
				v := spec.(*ast.ValueSpec)
				if embedded(d.Doc) || embedded(v.Doc) {
					continue
				}
				if why := packageState(v); why != "" {
					broken = append(broken, fmt.Sprintf("%s has package state, var %s: %s", f.name, v.Names[0].Name, why))
				}
			}
		}
	}
	return broken
}

// embedded tells if the compiler fills a variable from a file.
func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ")
	})
}

// packageState returns why a variable of a package is state, not a fixed value
// such as an error or a table.
func packageState(v *ast.ValueSpec) string {
	if v.Names[0].Name == "_" {
		return "" // asserts at compile time that a type implements an interface
	}
	if len(v.Values) == 0 {
		return "without a value it is there to be assigned"
	}
	var why string
	look := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.SelectorExpr:
			from, ok := n.X.(*ast.Ident)
			pool := ok && from.Name == "sync" && n.Sel.Name == "Pool" // memory to use again: what it holds has no meaning
			if ok && !pool && slices.Contains(stateful(), from.Name) {
				why = from.Name + "." + n.Sel.Name + " changes, or differs between programs"
			}
		case *ast.CallExpr:
			if called, ok := n.Fun.(*ast.Ident); ok && (called.Name == "make" || called.Name == "new") {
				why = called.Name + " makes something to be changed"
			}
		}
		return true
	}
	if v.Type != nil {
		ast.Inspect(v.Type, look)
	}
	for _, value := range v.Values {
		ast.Inspect(value, look)
	}
	return why
}

// stateful names packages whose values do not belong into package variables:
// loggers, metrics, tracers, locks.
func stateful() []string {
	return []string{"slog", "log", "sync", "atomic", "prometheus", "promauto", "otel", "expvar", "rand"}
}

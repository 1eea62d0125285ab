package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// stamp is the version that the Makefile sets, from git's tags: the Go tool
// does not find those of a module below the repository's root.
var stamp = ""

// version prints what was built, from what, and by which Go.
func version(_ context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintln(stderr, "proglog version takes no arguments")
		return exitUsage
	}
	fmt.Fprintf(stdout, "proglog %s (%s %s/%s)\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return exitOK
}

// buildVersion returns what was stamped, or else the version that the Go tool
// wrote into the binary: a release's tag, or the commit it was built from.
func buildVersion() string {
	if stamp != "" {
		return stamp
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "commit " + s.Value
		}
	}
	return "development"
}

package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// printMachine says when and where figures were taken.
func printMachine(w io.Writer) {
	fmt.Fprintf(w, "machine     %s, %s %s/%s, kernel %s, %d CPUs %s\n", time.Now().Format(time.DateOnly),
		runtime.Version(), runtime.GOOS, runtime.GOARCH, kernel(), runtime.NumCPU(), processor())
}

// kernel returns the kernel's release, or "?" where the system does not tell.
func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(release))
}

// processor returns the model of the first processor, or "" where the system
// does not tell.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

package report

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// unknown stands for a fact that this system does not tell.
const unknown = "unknown"

// Machine says, in a few lines, where the figures come from: dir is where the
// data was.
func Machine(dir string, now time.Time) []string {
	return []string{
		"date: " + now.UTC().Format("2006-01-02 15:04 MST"),
		fmt.Sprintf("processors: %d x %s, GOMAXPROCS %d", runtime.NumCPU(), processor(), runtime.GOMAXPROCS(0)),
		fmt.Sprintf("system: %s/%s, kernel %s, %s", runtime.GOOS, runtime.GOARCH, fileOr("/proc/sys/kernel/osrelease", unknown), runtime.Version()),
		"file system: " + FileSystem(dir),
		"load when it began: " + LoadAverage(),
	}
}

// LoadAverage is the length of the run queue over the last 1, 5 and 15 minutes.
func LoadAverage() string {
	f := strings.Fields(fileOr("/proc/loadavg", unknown))
	return strings.Join(f[:min(3, len(f))], " ")
}

func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return unknown
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}

func fileOr(name, otherwise string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return otherwise
	}
	return strings.TrimSpace(string(b))
}

// FileSystem returns the type and the options of the file system that a
// directory is on, as the kernel's list of mounts has them.
func FileSystem(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return unknown
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	return mountOf(abs, fileOr("/proc/self/mountinfo", ""))
}

// mountOf finds a path's mount: of those above it the deepest, and of several in
// one place the last.
func mountOf(path, mountinfo string) string {
	best, kind := "", unknown
	for line := range strings.SplitSeq(mountinfo, "\n") {
		front, back, ok := strings.Cut(line, " - ")
		f, b := strings.Fields(front), strings.Fields(back)
		if !ok || len(f) < 6 || len(b) < 2 {
			continue
		}
		point := strings.ReplaceAll(f[4], `\040`, " ")
		inside := point == "/" || path == point || strings.HasPrefix(path, point+"/")
		if inside && len(point) >= len(best) {
			best, kind = point, fmt.Sprintf("%s (%s) on %s", b[0], f[5], b[1])
			if b[0] == "tmpfs" || b[0] == "ramfs" {
				kind += ", which is memory: a sync costs nothing here, and the figures say nothing about disks"
			}
		}
	}
	return kind
}

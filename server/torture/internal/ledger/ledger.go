// Package ledger keeps what long runs have proven: a file with a line of JSON for
// each run of each part, to which lines are only ever added.
package ledger

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// Row is a line of the ledger: what one run of a part tried, and of what.
type Row struct {
	Date string `json:"date"` // UTC
	Part string `json:"part"`
	From uint64 `json:"from"` // the first seed, or place in a list
	To   uint64 `json:"to"`   // the last one that was begun

	Count    uint64 `json:"count"`        // tried, in the unit of the part
	Of       uint64 `json:"of,omitempty"` // how many there are in all, if that is known
	Failures int    `json:"failures"`
	Failure  string `json:"failure,omitempty"`

	Acked   uint64 `json:"acked_records,omitempty"`
	Unknown uint64 `json:"unknown_requests,omitempty"`
	Seen    uint64 `json:"seen_by_tails,omitempty"`

	Seconds float64 `json:"seconds"`
	Version string  `json:"version"`
	Commit  string  `json:"commit,omitempty"`
	Go      string  `json:"go"`
	Machine string  `json:"machine"`
}

// Read returns the rows of a ledger; none if there is no such file.
func Read(path string) (rows []Row, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		var r Row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("line %d of %s: %w", n, path, err)
		}
		if r.Part == "" {
			return nil, fmt.Errorf("line %d of %s names no part", n, path)
		}
		rows = append(rows, r)
	}
	return rows, lines.Err()
}

// Next returns the seed behind the last one that rows have of a part, or first.
func Next(rows []Row, part string, first uint64) uint64 {
	for _, r := range rows {
		if r.Part == part {
			first = max(first, r.To+1)
		}
	}
	return first
}

// Append adds a row to a ledger.
func Append(path string, r Row) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Close())
}

// Machine describes the kind of machine that this is: system, processors, kernel.
func Machine() string {
	text := fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, found := strings.Cut(string(info), "model name"); found {
			model, _, _ := strings.Cut(rest, "\n")
			text += ", " + strings.TrimLeft(model, "\t :")
		}
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		if parts := strings.SplitN(string(release), ".", 3); len(parts) == 3 {
			text += ", Linux " + parts[0] + "." + parts[1]
		}
	}
	return text
}

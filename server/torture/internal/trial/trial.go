// Package trial has the trials of the battery: each drives the built binary under
// faults, and audits what it kept.
package trial

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Env is what a trial works with.
type Env struct {
	Bin string    // the binary
	Dir string    // a directory for data, on a real disk; the caller removes it
	Out io.Writer // gets a line for each cycle

	asShipped bool // servers have the default segments and journal
}

func (e *Env) say(format string, args ...any) { fmt.Fprintf(e.Out, format+"\n", args...) }

// Tally is what a trial did.
type Tally struct {
	Cycles  int    // without a failure
	Acked   uint64 // records that were acknowledged and audited
	Unknown uint64 // requests whose outcome nobody told, and that were audited
	Seen    uint64 // records that tails saw, and that were audited
}

func (t *Tally) add(other Tally) {
	t.Cycles += other.Cycles
	t.Acked += other.Acked
	t.Unknown += other.Unknown
	t.Seen += other.Seen
}

// Unavailable tells what a machine lacks for a trial.
type Unavailable struct{ Why string }

// Error says why.
func (u *Unavailable) Error() string { return u.Why }

// A Trial runs so many cycles, of which the first has the seed, the second the
// next, and so on. It ends with the first failure.
type Trial struct {
	Name string
	Says string
	Run  func(ctx context.Context, env *Env, seed uint64, cycles int) (Tally, error)
}

// All returns the trials.
func All() []Trial {
	return append([]Trial{
		{Name: "kill", Says: "SIGKILL, SIGSTOP and SIGTERM under writers and tails", Run: Kill},
		{Name: "verify", Says: "SIGKILL under writers, tails and trims, and proglog verify before the next start", Run: Verify},
		{Name: "lock", Says: "a second server on a data directory, and a LOCK that a killed one left", Run: Lock},
		{Name: "histories", Says: "concurrent calls over every protocol under faults, checked for linearizability", Run: Histories},
	}, machineTrials()...)
}

// fresh makes an empty directory of a name.
func (e *Env) fresh(name string) (string, error) {
	dir := filepath.Join(e.Dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// short returns the last lines of a long text, and of long lines the beginning.
func short(text string) string {
	const lines, most = 20, 600
	said := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	cut := said[max(0, len(said)-lines):]
	for i, line := range cut {
		if len(line) > most {
			cut[i] = line[:most] + "…"
		}
	}
	if len(cut) < len(said) {
		return "…\n" + strings.Join(cut, "\n")
	}
	return strings.Join(cut, "\n")
}

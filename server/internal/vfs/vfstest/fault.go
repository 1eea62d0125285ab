package vfstest

import (
	"path"
	"slices"
	"sync"
	"syscall"
)

// Fault says which calls fail, and how.
type Fault struct {
	Kinds []Kind // none: every kind
	Phase Phase
	Name  string // a pattern of path.Match for the name; "": every name
	// Nth is which of the matching calls fails, from 1; 0 is the first.
	Nth int
	// Sticky: all later ones fail, too, until Heal.
	Sticky bool
	// Err is EIO by default. With a [Partial], a part of the call is done.
	Err error
}

// Faults is a hook that makes calls fail. A Sync that fails loses what was
// unsynced in its file, as on Linux: see [Mem.SyncsAfterFailure].
type Faults struct {
	mu     sync.Mutex
	faults []Fault
	seen   []int
	fired  int
	healed bool
}

// NewFaults makes faults, each counting for itself; of those that match a call
// the first that is due decides.
func NewFaults(faults ...Fault) *Faults {
	return &Faults{faults: slices.Clone(faults), seen: make([]int, len(faults))}
}

// Hook is the hook to set.
func (f *Faults) Hook(op Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.healed {
		return nil
	}
	var failed error
	for i := range f.faults {
		fault := &f.faults[i]
		matches, err := fault.matches(op)
		if err != nil {
			return err
		}
		if !matches {
			continue
		}
		f.seen[i]++
		nth := max(1, fault.Nth)
		if failed == nil && (f.seen[i] == nth || fault.Sticky && f.seen[i] > nth) {
			failed = fault.error()
			f.fired++
		}
	}
	return failed
}

// Fired returns how many calls were made to fail.
func (f *Faults) Fired() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// Heal ends all faults. What they lost stays lost.
func (f *Faults) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.healed = true
}

func (f *Fault) matches(op Op) (bool, error) {
	if f.Phase != op.Phase || len(f.Kinds) > 0 && !slices.Contains(f.Kinds, op.Kind) {
		return false, nil
	}
	if f.Name == "" {
		return true, nil
	}
	return path.Match(f.Name, op.Name)
}

func (f *Fault) error() error {
	if f.Err == nil {
		return syscall.EIO
	}
	return f.Err
}

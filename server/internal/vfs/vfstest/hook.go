package vfstest

import (
	"errors"
	"math/rand/v2"
	"sync"
)

// Kind says which call of the file system is made.
type Kind int

// The kinds of calls. A file's Size is OpSize, too.
const (
	OpOpen Kind = iota + 1
	OpCreate
	OpReadAt
	OpWriteAt
	OpSync
	OpTruncate
	OpRename
	OpRemove
	OpMkdirAll
	OpReadDir
	OpSize
	OpSyncDir
	OpLock
	OpFree
	OpStamp
	OpSyncAll
)

func (k Kind) String() string {
	names := [...]string{
		"", "open", "create", "read", "write", "sync", "truncate", "rename", "remove", "mkdir",
		"readdir", "size", "syncdir", "lock", "free", "stamp", "syncall",
	}
	return names[k]
}

// Changes says whether calls of this kind change the file system, or make a
// change durable.
func (k Kind) Changes() bool {
	switch k {
	case OpCreate, OpWriteAt, OpSync, OpTruncate, OpRename, OpRemove, OpMkdirAll, OpSyncDir, OpSyncAll, OpLock:
		return true
	default:
		return false
	}
}

// Phase says where in a call its hook is asked.
type Phase int

const (
	// Before: the call has had no effect yet, and if it fails has none.
	Before Phase = iota
	// During: what the call does is there, but not durable; if the call fails,
	// it stays so. Only calls that make something durable by themselves come
	// here: a direct WriteAt, and MkdirAll for each directory that it makes.
	During
)

// Op is a call that a hook is asked about.
type Op struct {
	Kind  Kind
	Phase Phase
	Name  string // of the file or directory; the old name in a rename
	To    string // the new name in a rename
	Off   int64  // where a read or write begins; the size for a truncate
	Len   int    // bytes to read or write
	N     int    // counts the questions to hooks of this Mem, from 1
}

// Hook is asked before each call takes effect, and once more [During] some. Its
// error makes the call fail: without effect, except as [During], [Partial] and
// [Mem.SyncsAfterFailure] say. A hook may use the Mem, which asks it again
// then, and it may block; it has to be safe for concurrent use.
type Hook func(Op) error

// Chain asks one hook after the other until one fails.
func Chain(hooks ...Hook) Hook {
	return func(op Op) error {
		for _, h := range hooks {
			if err := h(op); err != nil {
				return err
			}
		}
		return nil
	}
}

// Partial is the error of a hook with which a call fails after having done a
// part of its work.
type Partial struct {
	Err error
	// Bytes is how many a WriteAt still writes; in direct mode whole sectors,
	// and durably.
	Bytes int
	// Rng decides for each unsynced sector whether a Sync makes it durable.
	Rng *rand.Rand
}

func (p *Partial) Error() string { return p.Err.Error() }

func (p *Partial) Unwrap() error { return p.Err }

// ErrCrashed is what every call of a crashed Mem returns.
var ErrCrashed = errors.New("the machine has crashed")

// Crasher is a hook that crashes a Mem, as far as the program that uses it can
// tell: see [CrashAt].
type Crasher struct {
	at    int
	crash func() *Mem

	mu    sync.Mutex
	seen  int
	state *Mem
}

// CrashAt makes a hook for m that crashes it at the n-th question about a
// change, from 1: that call and all later ones fail with ErrCrashed, and what
// crash returned for m at that moment is kept; crash may call m's Crash methods
// as often as it likes, but nothing that asks a hook. To try every point of a
// program:
//
//	for n := 1; ; n++ {
//		m := vfstest.NewMem()
//		c := vfstest.CrashAt(m, n, (*vfstest.Mem).CrashKeepNone)
//		m.SetHook(c.Hook)
//		run(m)
//		if c.State() == nil {
//			break // the program has fewer than n changes
//		}
//		check(c.State())
//	}
func CrashAt(m *Mem, n int, crash func(*Mem) *Mem) *Crasher {
	return &Crasher{at: n, crash: func() *Mem { return crash(m) }}
}

// Hook is the hook to set.
func (c *Crasher) Hook(op Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil && op.Kind.Changes() {
		c.seen++
		if c.seen == c.at {
			c.state = c.crash()
		}
	}
	if c.state != nil {
		return ErrCrashed
	}
	return nil
}

// State returns what the crash left, or nil if there was none yet.
func (c *Crasher) State() *Mem {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

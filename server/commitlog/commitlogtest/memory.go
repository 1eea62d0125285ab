// Package commitlogtest holds the suite that every engine passes ([Run], and
// [RunReopen] for those that outlive their process), and [Memory], the simplest
// engine that does.
package commitlogtest

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/proglog/proglog/server/commitlog"
)

// Options of a [Memory]. The zero value is useful.
type Options struct {
	Limits commitlog.Limits      // zero: [commitlog.DefaultLimits]
	Dedup  commitlog.DedupWindow // zero: [commitlog.DefaultDedupWindow]
	Now    func() time.Time      // the clock of its timestamps and ages; nil: [time.Now]
}

// Memory is the simplest correct engine: it keeps everything in memory, under
// one mutex, and loses it with the process. It serves as the engine of tests
// and as the plainest statement of what the contract asks for. It has no
// goroutine: retention happens whenever someone looks.
type Memory struct {
	limits commitlog.Limits
	dedup  commitlog.DedupWindow
	now    func() time.Time
	closed chan struct{} // closed by Close, to end the waits

	mu    sync.Mutex // guards what follows, the fields of all logs and the closing of closed
	logs  map[string]*memoryLog
	ended map[string]uint64 // the next offsets of deleted logs, by name
}

var _ commitlog.Engine = (*Memory)(nil)

// NewMemory returns an engine with nothing in it but the empty default log.
func NewMemory(opts Options) *Memory {
	if opts.Limits == (commitlog.Limits{}) {
		opts.Limits = commitlog.DefaultLimits()
	}
	if opts.Dedup == (commitlog.DedupWindow{}) {
		opts.Dedup = commitlog.DefaultDedupWindow()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	m := &Memory{
		limits: opts.Limits,
		dedup:  opts.Dedup,
		now:    opts.Now,
		closed: make(chan struct{}),
		logs:   make(map[string]*memoryLog),
		ended:  make(map[string]uint64),
	}
	m.logs[""] = m.newLog("")
	return m
}

func (m *Memory) newLog(name string) *memoryLog {
	return &memoryLog{
		engine: m, name: name, id: rand.Text(), first: m.ended[name],
		producers: make(map[string]*memoryProducer), changed: make(chan struct{}),
	}
}

// Close ends all waits with [commitlog.ErrClosed], and so does every later
// call that can fail. It may be called more than once.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.check() == nil {
		close(m.closed)
	}
	return nil
}

// Check implements [commitlog.Engine].
func (m *Memory) Check() error { return m.check() }

func (m *Memory) check() error {
	select {
	case <-m.closed:
		return commitlog.ErrClosed
	default:
		return nil
	}
}

// Capabilities implements [commitlog.Engine].
func (m *Memory) Capabilities() commitlog.Capabilities {
	return commitlog.Capabilities{
		ExpectedOffset: true, Producers: true, NamedLogs: true, Trim: true, Seal: true, FindTime: true,
		Durability: commitlog.InMemory, Dedup: m.dedup,
	}
}

// find returns a log that is to be used or looked at now. Guarded by mu.
func (m *Memory) find(name string) (*memoryLog, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	l, ok := m.logs[name]
	if !ok {
		return nil, &commitlog.LogNotFoundError{Name: name}
	}
	return l, nil
}

// Log implements [commitlog.Engine].
func (m *Memory) Log(_ context.Context, name string) (commitlog.CommitLog, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, err := m.find(name)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Put implements [commitlog.Engine].
func (m *Memory) Put(_ context.Context, name string, change commitlog.Change) (commitlog.CommitLog, bool, error) {
	if err := commitlog.CheckLogName(name); err != nil {
		return nil, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(); err != nil {
		return nil, false, err
	}
	l, exists := m.logs[name]
	if !exists {
		l = m.newLog(name)
		m.logs[name] = l
	}
	if err := l.set(change); err != nil {
		return nil, false, err // only what is there can be sealed, so nothing was made
	}
	return l, !exists, nil
}

// Delete implements [commitlog.Engine].
func (m *Memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, err := m.find(name)
	if err != nil {
		return err
	}
	if name == "" {
		return commitlog.ErrDeleteDefault
	}
	m.ended[name] = l.bounds().Next
	delete(m.logs, name)
	l.end()
	return nil
}

// List implements [commitlog.Engine].
func (m *Memory) List(_ context.Context, prefix string, after *string, max int) ([]commitlog.Info, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(); err != nil {
		return nil, false, err
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(m.logs)), func(name string) bool {
		return !strings.HasPrefix(name, prefix) || after != nil && name <= *after
	})
	more := len(names) > max
	var logs []commitlog.Info
	for _, name := range names[:min(max, len(names))] {
		m.logs[name].expire()
		logs = append(logs, m.logs[name].info())
	}
	return logs, more, nil
}

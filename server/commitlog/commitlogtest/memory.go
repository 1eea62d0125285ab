// Package commitlogtest holds the suite that every engine passes ([Run], and
// [RunReopen] for those that outlive their process), and [Memory], the simplest
// engine that does.
package commitlogtest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/proglog/proglog/server/commitlog"
)

// Options of a [Memory]. The zero value is useful.
type Options struct {
	Limits commitlog.Limits // zero: [commitlog.DefaultLimits]
	Now    func() time.Time // the clock of its timestamps; nil: [time.Now]
}

// Memory is the simplest correct engine: it keeps everything in memory, under
// one mutex, and loses it with the process. It serves as the engine of tests
// and as the plainest statement of what the contract asks for.
type Memory struct {
	limits commitlog.Limits
	now    func() time.Time
	closed chan struct{} // closed by Close, to end the waits

	mu   sync.Mutex // guards what follows, the fields of all logs and the closing of closed
	logs map[string]*memoryLog
}

// memoryLog is a log of a [Memory], whose mutex guards all of it but id.
type memoryLog struct {
	engine *Memory
	id     string

	envelopes [][]byte      // the record at offset i is envelopes[i]; none of them ever changes
	last      time.Time     // the timestamp of the last record
	grown     chan struct{} // closed and replaced whenever records are appended
}

var (
	_ commitlog.Engine    = (*Memory)(nil)
	_ commitlog.CommitLog = (*memoryLog)(nil)
)

// errNoRecords is what a batch without records fails with. It has no type,
// since callers are to refuse such a batch themselves.
var errNoRecords = errors.New("a batch without records")

// NewMemory returns an engine with nothing in it but the empty default log.
func NewMemory(opts Options) *Memory {
	if opts.Limits == (commitlog.Limits{}) {
		opts.Limits = commitlog.DefaultLimits()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	m := &Memory{
		limits: opts.Limits,
		now:    opts.Now,
		closed: make(chan struct{}),
		logs:   make(map[string]*memoryLog),
	}
	m.logs[""] = m.newLog()
	return m
}

func (m *Memory) newLog() *memoryLog {
	return &memoryLog{engine: m, id: rand.Text(), grown: make(chan struct{})}
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
	return commitlog.Capabilities{ExpectedOffset: true, NamedLogs: true, Durability: commitlog.InMemory}
}

// Log implements [commitlog.Engine].
func (m *Memory) Log(_ context.Context, name string) (commitlog.CommitLog, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(); err != nil {
		return nil, err
	}
	l, ok := m.logs[name]
	if !ok {
		return nil, &commitlog.LogNotFoundError{Name: name}
	}
	return l, nil
}

// Create implements [commitlog.Engine].
func (m *Memory) Create(_ context.Context, name string) (commitlog.CommitLog, bool, error) {
	if err := commitlog.CheckLogName(name); err != nil {
		return nil, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(); err != nil {
		return nil, false, err
	}
	if l, ok := m.logs[name]; ok {
		return l, false, nil
	}
	l := m.newLog()
	m.logs[name] = l
	return l, true, nil
}

// ID implements [commitlog.CommitLog].
func (l *memoryLog) ID() string { return l.id }

// Bounds implements [commitlog.CommitLog].
func (l *memoryLog) Bounds() commitlog.Bounds {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	return l.bounds()
}

func (l *memoryLog) bounds() commitlog.Bounds {
	return commitlog.Bounds{Next: uint64(len(l.envelopes))}
}

// Append implements [commitlog.CommitLog]. It looks at the context before it
// begins and never after, so its outcome is always known.
func (l *memoryLog) Append(ctx context.Context, batches ...commitlog.Batch) ([]commitlog.Ack, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	if err := l.engine.check(); err != nil {
		return nil, err
	}
	acks := make([]commitlog.Ack, 0, len(batches))
	defer func() {
		if len(acks) > 0 {
			close(l.grown)
			l.grown = make(chan struct{})
		}
	}()
	for _, b := range batches {
		if err := l.judge(b); err != nil {
			return acks, err
		}
		acks = append(acks, l.append(b.Records))
	}
	return acks, nil
}

// judge returns why a batch cannot be appended now: its form first, then what
// depends on the log.
func (l *memoryLog) judge(b commitlog.Batch) error {
	if len(b.Records) == 0 {
		return errNoRecords
	}
	if err := l.engine.limits.Check(b); err != nil {
		return err
	}
	if next := l.bounds().Next; b.ExpectedOffset != nil && *b.ExpectedOffset != next {
		return &commitlog.OffsetMismatchError{Expected: *b.ExpectedOffset, Next: next}
	}
	return nil
}

// append adds the records, which all get the same timestamp: now, or that of
// the record before them if the clock went back.
func (l *memoryLog) append(records []commitlog.Record) commitlog.Ack {
	now := l.engine.now().Round(0).UTC() // without the monotonic reading, which is not encoded
	if now.After(l.last) || len(l.envelopes) == 0 {
		l.last = now
	}
	ack := commitlog.Ack{First: l.bounds().Next, Time: l.last}
	for _, r := range records {
		r.Offset, r.Time = l.bounds().Next, l.last
		l.envelopes = append(l.envelopes, commitlog.AppendEnvelope(nil, &r))
	}
	ack.Next = l.bounds().Next
	return ack
}

// Read implements [commitlog.CommitLog].
func (l *memoryLog) Read(_ context.Context, from uint64, limit commitlog.ReadLimit, buf []byte) (commitlog.Run, error) {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	if err := l.engine.check(); err != nil {
		return commitlog.Run{}, err
	}
	bounds := l.bounds()
	if from >= bounds.Next {
		return commitlog.Run{}, &commitlog.OffsetError{Offset: from, Bounds: bounds}
	}
	records := l.envelopes[from:]
	if limit.Records > 0 {
		records = records[:min(limit.Records, len(records))]
	}
	size := len(records[0]) // one record is returned whatever its size
	n := 1
	for n < len(records) && (limit.Bytes == 0 || size+len(records[n]) <= limit.Bytes) {
		size += len(records[n])
		n++
	}
	run := commitlog.Run{First: from, Next: from + uint64(n), Envelopes: slices.Grow(buf[:0], size)}
	for _, envelope := range records[:n] {
		run.Envelopes = append(run.Envelopes, envelope...)
	}
	run.Tail = run.Next == bounds.Next
	return run, nil
}

// Wait implements [commitlog.CommitLog].
func (l *memoryLog) Wait(ctx context.Context, offset uint64) (commitlog.Bounds, error) {
	for {
		bounds, grown := l.state()
		if bounds.Next > offset {
			return bounds, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return bounds, ctx.Err()
		case <-l.engine.closed:
			return bounds, commitlog.ErrClosed
		}
	}
}

// state returns the bounds and the channel that is closed when they change.
func (l *memoryLog) state() (commitlog.Bounds, <-chan struct{}) {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	return l.bounds(), l.grown
}

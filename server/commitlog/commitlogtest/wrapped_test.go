package commitlogtest

import (
	"context"
	"crypto/rand"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/proglog/proglog/server/commitlog"
)

// wrapped is an engine in memory whose logs are seen through a function.
type wrapped struct {
	*Memory
	log func(commitlog.CommitLog) commitlog.CommitLog
}

func (w *wrapped) Log(ctx context.Context, name string) (commitlog.CommitLog, error) {
	l, err := w.Memory.Log(ctx, name)
	if err != nil {
		return nil, err
	}
	return w.log(l), nil
}

func (w *wrapped) Put(ctx context.Context, name string, change commitlog.Change) (commitlog.CommitLog, bool, error) {
	l, created, err := w.Memory.Put(ctx, name, change)
	if err != nil {
		return nil, false, err
	}
	return w.log(l), created, nil
}

type appender func(context.Context, commitlog.CommitLog, []commitlog.Batch) ([]commitlog.Ack, error)

type appending struct {
	commitlog.CommitLog
	f appender
}

func (a appending) Append(ctx context.Context, batches ...commitlog.Batch) ([]commitlog.Ack, error) {
	return a.f(ctx, a.CommitLog, batches)
}

func onAppend(f appender) func(commitlog.CommitLog) commitlog.CommitLog {
	return func(l commitlog.CommitLog) commitlog.CommitLog { return appending{l, f} }
}

type reader func(commitlog.CommitLog, uint64, commitlog.ReadLimit, []byte) (commitlog.Run, error)

type reading struct {
	commitlog.CommitLog
	f reader
}

func (r reading) Read(_ context.Context, from uint64, limit commitlog.ReadLimit, buf []byte) (commitlog.Run, error) {
	return r.f(r.CommitLog, from, limit, buf)
}

func onRead(f reader) func(commitlog.CommitLog) commitlog.CommitLog {
	return func(l commitlog.CommitLog) commitlog.CommitLog { return reading{l, f} }
}

type waiter func(context.Context, commitlog.CommitLog, uint64) (commitlog.Bounds, error)

type waiting struct {
	commitlog.CommitLog
	f waiter
}

func (w waiting) Wait(ctx context.Context, offset uint64) (commitlog.Bounds, error) {
	return w.f(ctx, w.CommitLog, offset)
}

func onWait(f waiter) func(commitlog.CommitLog) commitlog.CommitLog {
	return func(l commitlog.CommitLog) commitlog.CommitLog { return waiting{l, f} }
}

// sameID is a log with the identity of all others.
type sameID struct{ commitlog.CommitLog }

func (sameID) ID() string { return "log" }

// ahead is a log whose bounds count a record that is not there yet.
type ahead struct{ commitlog.CommitLog }

func (a ahead) Bounds() commitlog.Bounds {
	b := a.CommitLog.Bounds()
	b.Next++
	return b
}

// named is an engine in memory whose names go through two functions.
type named struct {
	*Memory
	log, put func(m *Memory, name string) (commitlog.CommitLog, bool, error)
}

func (n named) Log(_ context.Context, name string) (commitlog.CommitLog, error) {
	l, _, err := n.log(n.Memory, name)
	return l, err
}

func (n named) Put(_ context.Context, name string, _ commitlog.Change) (commitlog.CommitLog, bool, error) {
	return n.put(n.Memory, name)
}

func find(m *Memory, name string) (commitlog.CommitLog, bool, error) {
	l, err := m.Log(context.Background(), name)
	return l, false, err
}

func put(m *Memory, name string) (commitlog.CommitLog, bool, error) {
	return m.Put(context.Background(), name, commitlog.Change{})
}

// modest is an engine in memory that claims to be able to do nothing beyond the
// least; it refuses only if strict.
type modest struct {
	*wrapped
	strict bool
}

func newModest(strict bool) modest {
	m := NewMemory(Options{})
	if !strict {
		return modest{&wrapped{m, func(l commitlog.CommitLog) commitlog.CommitLog { return l }}, strict}
	}
	return modest{&wrapped{m, func(l commitlog.CommitLog) commitlog.CommitLog { return modestLog{l} }}, strict}
}

func (modest) Capabilities() commitlog.Capabilities { return commitlog.Capabilities{} }

func (m modest) Put(ctx context.Context, name string, change commitlog.Change) (commitlog.CommitLog, bool, error) {
	if m.strict {
		switch {
		case name != "":
			return nil, false, lacking("named logs")
		case change.Sealed != nil:
			return nil, false, lacking("sealing")
		case change.Retention != nil:
			return nil, false, lacking("retention")
		}
	}
	return m.wrapped.Put(ctx, name, change)
}

func (m modest) Delete(ctx context.Context, name string) error {
	if m.strict {
		return lacking("deletion")
	}
	return m.wrapped.Delete(ctx, name)
}

func lacking(capability string) error { return &commitlog.UnsupportedError{Capability: capability} }

// modestLog is a log of a strict modest engine.
type modestLog struct{ commitlog.CommitLog }

func (l modestLog) Append(ctx context.Context, batches ...commitlog.Batch) ([]commitlog.Ack, error) {
	for i, b := range batches {
		if b.ExpectedOffset != nil || b.Producer != nil {
			acks, err := l.CommitLog.Append(ctx, batches[:i]...)
			if err == nil {
				err = lacking("producers and expected offsets")
			}
			return acks, err
		}
	}
	return l.CommitLog.Append(ctx, batches...)
}

func (l modestLog) FindTime(context.Context, time.Time) (uint64, error) {
	return 0, lacking("finding times")
}

func (l modestLog) Trim(context.Context, uint64) (uint64, error) { return 0, lacking("trimming") }

// Goal: an engine that lacks every capability, and says so, passes the suite.
func TestModestEngine(t *testing.T) {
	Run(t, func(*testing.T) commitlog.Engine { return newModest(true) })
}

func engineMutants() []mutant {
	memory := func(limits commitlog.Limits) *Memory { return NewMemory(Options{Limits: limits}) }
	over := func(change func(*commitlog.Limits)) func() commitlog.Engine {
		return func() commitlog.Engine {
			l := commitlog.DefaultLimits()
			change(&l)
			return memory(l)
		}
	}
	names := func(log, put func(*Memory, string) (commitlog.CommitLog, bool, error)) func() commitlog.Engine {
		return func() commitlog.Engine { return named{NewMemory(Options{}), log, put} }
	}
	return []mutant{
		{fault: "all logs have one identity", caughtBy: "Logs/IDsDiffer",
			log: func(l commitlog.CommitLog) commitlog.CommitLog { return sameID{l} }},
		{fault: "bounds are ahead", caughtBy: "Append/OffsetsStartAtZeroAndAreContiguous",
			log: func(l commitlog.CommitLog) commitlog.CommitLog { return ahead{l} }},
		{fault: "value one over", caughtBy: "Limits/ValueBytes", open: over(func(l *commitlog.Limits) { l.ValueBytes++ })},
		{fault: "value one under", caughtBy: "Limits/ValueBytes", open: over(func(l *commitlog.Limits) { l.ValueBytes-- })},
		{fault: "headers one over", caughtBy: "Limits/Headers", open: over(func(l *commitlog.Limits) { l.Headers++ })},
		{fault: "header bytes one over", caughtBy: "Limits/HeaderBytes", open: over(func(l *commitlog.Limits) { l.HeaderBytes++ })},
		{fault: "batch records one under", caughtBy: "Limits/BatchRecords", open: over(func(l *commitlog.Limits) { l.BatchRecords-- })},
		{fault: "batch bytes one over", caughtBy: "Limits/BatchBytes", open: over(func(l *commitlog.Limits) { l.BatchBytes++ })},
		{fault: "asking for a log makes it", caughtBy: "Logs/UnknownIsNotFound", open: names(put, put)},
		{fault: "every put made it", caughtBy: "Logs/PutIsIdempotent",
			open: names(find, func(m *Memory, name string) (commitlog.CommitLog, bool, error) {
				l, _, err := put(m, name)
				return l, true, err
			})},
		{fault: "names ignore case", caughtBy: "Logs/NamesAreDistinct",
			open: names(find, func(m *Memory, name string) (commitlog.CommitLog, bool, error) {
				return put(m, strings.ToLower(name))
			})},
		{fault: "names are cleaned", caughtBy: "Logs/InvalidNamesAreRefused",
			open: names(find, func(m *Memory, name string) (commitlog.CommitLog, bool, error) {
				return put(m, strings.ReplaceAll(strings.Trim(name, "/"), "//", "/"))
			})},
		{fault: "named logs are one", caughtBy: "Logs/AreIsolated",
			open: names(find, func(m *Memory, _ string) (commitlog.CommitLog, bool, error) { return put(m, "") })},
		{fault: "does what it does not claim: names", caughtBy: "Logs/PutIsIdempotent",
			open: func() commitlog.Engine { return newModest(false) }},
		{fault: "does what it does not claim: expected offsets", caughtBy: "Expected/MetOrNot",
			open: func() commitlog.Engine { return newModest(false) }},
	}
}

func reopenMutants() []mutant {
	// onReopen changes the logs of an engine between two of its lives.
	onReopen := func(change func(name string, l *memoryLog) (keep bool)) Reopen {
		s := shelf{}
		return func(t *testing.T, dir string, now func() time.Time) (commitlog.Engine, func() error) {
			if before, ok := s[dir]; ok {
				maps.DeleteFunc(before.logs, func(name string, l *memoryLog) bool { return !change(name, l) })
			}
			return s.open(t, dir, now)
		}
	}
	return []mutant{
		{fault: "the last record is lost", caughtBy: "KeepsWhatWasAcked", reopen: onReopen(func(_ string, l *memoryLog) bool {
			l.records = l.records[:max(0, len(l.records)-1)]
			return true
		})},
		{fault: "the last time is lost", caughtBy: "TimeNeverGoesBack", reopen: onReopen(func(_ string, l *memoryLog) bool {
			l.last = time.Time{}
			return true
		})},
		{fault: "empty logs are lost", caughtBy: "KeepsEmptyLogs", reopen: onReopen(func(name string, l *memoryLog) bool {
			return name == "" || len(l.records) > 0
		})},
		{fault: "identities change", caughtBy: "KeepsEmptyLogs", reopen: onReopen(func(_ string, l *memoryLog) bool {
			l.id = rand.Text()
			return true
		})},
		{fault: "an append that the end refused comes back", caughtBy: "RandomCallsAgreeWithSlices",
			reopen: onReopen(func(_ string, l *memoryLog) bool {
				l.append([]commitlog.Record{{}})
				return true
			})},
	}
}

package log

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/log/internal/bug"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// Every change of what is set of a log goes the way of a batch: it is judged
// while a group is built, stands in the group as a Meta frame, and is seen by
// others once the group is durable.

// newLog makes a log as its first meta says: empty, at the offset that it is to
// begin with.
func (e *Engine) newLog(m meta) *Log {
	return &Log{engine: e, number: m.number, name: m.name, id: e.logID(m.id), meta: m, end: m.first}
}

// set takes over a meta, with what follows from it. The caller holds commitMu.
func (l *Log) set(m meta) {
	l.meta = m
	if l.deleted() {
		l.producers = producers{}
	}
	l.drop()
}

// change makes a group that runs f while it is built.
func (e *Engine) change(ctx context.Context, f func(full bool) error) error {
	p := pendings.Get().(*pending)
	p.change, p.size = f, 2*frame.HeaderSize+512
	_, err := e.committer.submit(ctx, p)
	return err
}

// record puts a meta into the group that is being built, and takes it over.
func (e *Engine) record(l *Log, m meta) {
	e.committer.builder.mark(frame.Meta, m.number, 0, m.append(nil))
	l.set(m)
	e.changed = append(e.changed, l)
}

// current returns the log that has a name in the group that is being built.
func (e *Engine) current(name string) *Log {
	if l, ok := e.renamed[name]; ok {
		return l
	}
	return e.named(name)
}

// Put implements [commitlog.Engine].
func (e *Engine) Put(ctx context.Context, name string, change commitlog.Change) (commitlog.CommitLog, bool, error) {
	if err := commitlog.CheckLogName(name); err != nil {
		return nil, false, err
	}
	if l := e.named(name); l != nil && change == (commitlog.Change{}) {
		return l, false, nil
	}
	var l *Log
	made := false
	err := e.change(ctx, func(full bool) error {
		l = e.current(name)
		if l == nil {
			if full {
				return commitlog.ErrStorageFull
			}
			made = true
			l = e.make(name)
		}
		m := l.meta
		if r := change.Retention; r != nil {
			m.maxAge, m.maxBytes = int64(r.MaxAge), r.MaxBytes
		}
		if s := change.Sealed; s != nil && *s {
			m.flags |= metaSealed
		} else if s != nil && m.flags&metaSealed != 0 {
			return commitlog.ErrUnseal
		}
		if made || m != l.meta {
			e.record(l, m)
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return l, made, nil
}

// make makes a log. It goes on where a deleted one of its name ended, so that no
// offset is ever given twice under one name.
func (e *Engine) make(name string) *Log {
	e.numbers++
	m := meta{number: e.numbers, name: name, created: e.committer.builder.now}
	e.options.random(m.id[:])
	if grave := e.graves[name]; grave != nil && !bug.On(bug.OffsetReused) {
		m.first = grave.end
	}
	l := e.newLog(m)
	e.logs = append(e.logs, l)
	e.renamed[name] = l
	return l
}

// Delete implements [commitlog.Engine].
func (e *Engine) Delete(ctx context.Context, name string) error {
	if name == "" {
		return commitlog.ErrDeleteDefault
	}
	err := e.change(ctx, func(bool) error {
		l := e.current(name)
		if l == nil {
			return &commitlog.LogNotFoundError{Name: name}
		}
		m := l.meta
		m.flags |= metaDeleted
		m.first = l.end
		e.record(l, m)
		e.renamed[name], e.graves[name] = nil, l
		return nil
	})
	if err == nil {
		e.collect()
	}
	return err
}

// publishNames lets others see what was made and deleted in a group that is
// durable.
func (e *Engine) publishNames() {
	if len(e.renamed) == 0 {
		return
	}
	e.namesMu.Lock()
	defer e.namesMu.Unlock()
	for name, l := range e.renamed {
		if l == nil {
			delete(e.names, name)
		} else {
			e.names[name] = l
		}
	}
	clear(e.renamed)
	e.sorted = nil
}

// List implements [commitlog.Engine].
func (e *Engine) List(ctx context.Context, prefix string, after *string, max int) (infos []commitlog.Info, more bool, err error) {
	names := e.sortedNames()
	from := prefix
	i, _ := slices.BinarySearch(names, from)
	if after != nil && *after >= from {
		var found bool
		if i, found = slices.BinarySearch(names, *after); found {
			i++
		}
	}
	for ; i < len(names) && strings.HasPrefix(names[i], prefix); i++ {
		if len(infos) == max {
			return infos, true, nil
		}
		l := e.named(names[i])
		if l == nil {
			continue // deleted meanwhile
		}
		info, err := l.Info(ctx)
		if err != nil {
			return nil, false, err
		}
		infos = append(infos, info)
	}
	return infos, false, nil
}

func (e *Engine) sortedNames() []string {
	e.namesMu.Lock()
	defer e.namesMu.Unlock()
	if e.sorted == nil {
		for name := range e.names {
			e.sorted = append(e.sorted, name)
		}
		slices.Sort(e.sorted)
	}
	return e.sorted
}

// Trim implements [commitlog.CommitLog].
func (l *Log) Trim(ctx context.Context, first uint64) (uint64, error) {
	kept := l.view.Load().first
	if first <= kept && !l.view.Load().isDeleted() {
		return kept, nil
	}
	err := l.engine.change(ctx, func(bool) error {
		if l.deleted() {
			return l.notFound()
		}
		m := l.meta
		m.first = max(m.first, min(first, l.end))
		kept = m.first
		if m != l.meta {
			l.engine.record(l, m)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	l.engine.collect()
	return kept, nil
}

// collect removes the files of segments that are durably out of their logs. If
// it is cut off, the next start does it.
func (e *Engine) collect() {
	c := &e.committer
	c.commitMu.Lock()
	garbage := e.garbage
	e.garbage = nil
	e.removing++
	c.commitMu.Unlock()
	for _, g := range garbage {
		if err := g.Remove(); err != nil {
			e.options.Logger.Warn("cannot remove a segment; the next start will", "error", err)
		}
	}
	c.commitMu.Lock()
	e.removing--
	c.commitMu.Unlock()
}

// sweep removes the files that a crash kept collect from: those of deleted logs,
// and those of segments before the first of a log. All else that belongs to
// nobody is left alone.
func (e *Engine) sweep() error {
	names, err := e.fs.ReadDir(segmentsDir)
	if err != nil {
		return err
	}
	first := make(map[uint64]uint64, len(e.logs)) // the lowest offset that a file can begin with
	for _, l := range e.logs {
		first[l.number] = l.end
		if len(l.segments) > 0 {
			first[l.number] = l.segments[0].Base
		}
	}
	for _, name := range names {
		log, base, ok := segment.ParseName(name)
		lowest, known := first[log]
		if !ok || !known || base >= lowest && !e.isGrave(log) {
			continue
		}
		if err := e.fs.Remove(segmentsDir + "/" + name); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) isGrave(number uint64) bool {
	return slices.ContainsFunc(e.logs, func(l *Log) bool { return l.number == number && l.deleted() })
}

// Info implements [commitlog.CommitLog].
func (l *Log) Info(ctx context.Context) (commitlog.Info, error) {
	next, last, size := l.next.Load(), l.last.Load(), l.size.Load()
	v := l.view.Load()
	if v.isDeleted() {
		return commitlog.Info{}, l.notFound()
	}
	info := commitlog.Info{
		Name: l.name, ID: l.ID(), Bounds: commitlog.Bounds{First: v.first, Next: max(next, v.first)},
		Settings: commitlog.Settings{
			Retention: commitlog.Retention{MaxAge: time.Duration(v.maxAge), MaxBytes: v.maxBytes},
			Sealed:    v.flags&metaSealed != 0,
		},
	}
	if last != 0 {
		info.LastTime = time.Unix(0, last).UTC()
	}
	for i, s := range v.segments {
		end := s.end
		if i == len(v.segments)-1 {
			end = size
		}
		info.Bytes += uint64(max(0, end-segment.HeaderSize))
	}
	if info.First < info.Next {
		run, err := l.Read(ctx, info.First, commitlog.ReadLimit{Records: 1}, nil)
		if err != nil {
			return info, nil // trimmed meanwhile, or damaged: its time is not known
		}
		for rec := range run.All() {
			info.FirstTime = rec.Time
		}
	}
	return info, nil
}

func (v *view) isDeleted() bool { return v.flags&metaDeleted != 0 }

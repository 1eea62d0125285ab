package commitlogtest

import (
	"context"
	"testing"
	"time"

	"github.com/proglog/proglog/server/commitlog"
)

// changed is an engine in memory with another Put, Delete or List, where given.
type changed struct {
	*Memory
	put    func(m *Memory, name string, change commitlog.Change) (commitlog.CommitLog, bool, error)
	delete func(m *Memory, name string) error
	list   func(m *Memory, prefix string, after *string, max int) ([]commitlog.Info, bool, error)
}

func (c changed) Put(ctx context.Context, name string, change commitlog.Change) (commitlog.CommitLog, bool, error) {
	if c.put == nil {
		return c.Memory.Put(ctx, name, change)
	}
	return c.put(c.Memory, name, change)
}

func (c changed) Delete(ctx context.Context, name string) error {
	if c.delete == nil {
		return c.Memory.Delete(ctx, name)
	}
	return c.delete(c.Memory, name)
}

func (c changed) List(ctx context.Context, prefix string, after *string, max int) ([]commitlog.Info, bool, error) {
	if c.list == nil {
		return c.Memory.List(ctx, prefix, after, max)
	}
	return c.list(c.Memory, prefix, after, max)
}

func engineStateMutants() []mutant {
	ctx := context.Background()
	putting := func(f func(m *Memory, l *memoryLog, change *commitlog.Change)) func() commitlog.Engine {
		return func() commitlog.Engine {
			return changed{Memory: NewMemory(Options{}), put: func(m *Memory, name string, change commitlog.Change) (commitlog.CommitLog, bool, error) {
				if l := m.logs[name]; l != nil {
					f(m, l, &change)
				}
				return m.Put(ctx, name, change)
			}}
		}
	}
	deleting := func(f func(m *Memory, name string) error) func() commitlog.Engine {
		return func() commitlog.Engine { return changed{Memory: NewMemory(Options{}), delete: f} }
	}
	listing := func(f func(m *Memory, prefix string, after *string, max int) ([]commitlog.Info, bool, error)) func() commitlog.Engine {
		return func() commitlog.Engine { return changed{Memory: NewMemory(Options{}), list: f} }
	}
	return []mutant{
		{fault: "a log cannot be sealed later", caughtBy: "Settings/SealEndsTheLog",
			open: putting(func(_ *Memory, _ *memoryLog, c *commitlog.Change) { c.Sealed = nil })},
		{fault: "a log can be unsealed", caughtBy: "Settings/SealIsForEver",
			open: putting(func(_ *Memory, l *memoryLog, c *commitlog.Change) {
				if c.Sealed != nil {
					l.settings.Sealed = false
				}
			})},
		{fault: "a refused change changes", caughtBy: "Settings/SealIsForEver",
			open: putting(func(_ *Memory, l *memoryLog, c *commitlog.Change) {
				if c.Retention != nil {
					l.settings.Retention = *c.Retention
				}
			})},
		{fault: "a change resets what it does not name", caughtBy: "Settings/RetentionIsStored",
			open: putting(func(_ *Memory, l *memoryLog, _ *commitlog.Change) { l.settings.Retention = commitlog.Retention{} })},
		{fault: "handles outlive their log", caughtBy: "Delete/EndsTheHandles",
			open: deleting(func(m *Memory, name string) error {
				l := m.logs[name]
				err := m.Delete(ctx, name)
				if err == nil {
					l.deleted = false
				}
				return err
			})},
		{fault: "the default log can be deleted", caughtBy: "Delete/UnknownAndDefault",
			open: deleting(func(m *Memory, name string) error {
				if name == "" {
					return nil
				}
				return m.Delete(ctx, name)
			})},
		{fault: "what is unknown can be deleted", caughtBy: "Delete/UnknownAndDefault",
			open: deleting(func(m *Memory, name string) error {
				if _, ok := m.logs[name]; !ok {
					return nil
				}
				return m.Delete(ctx, name)
			})},
		{fault: "offsets begin again", caughtBy: "Delete/NameGoesOnBehind",
			open: deleting(func(m *Memory, name string) error {
				defer clear(m.ended)
				return m.Delete(ctx, name)
			})},
		{fault: "a deleted log is emptied only", caughtBy: "Delete/NameGoesOnBehind",
			open: deleting(func(m *Memory, name string) error {
				l := m.logs[name]
				if l == nil || name == "" {
					return m.Delete(ctx, name)
				}
				again := *l
				err := m.Delete(ctx, name)
				again.first, again.records, again.settings = m.ended[name], nil, commitlog.Settings{}
				m.logs[name] = &again
				return err
			})},
		{fault: "a page begins with the last of the one before", caughtBy: "List/OrderPrefixAndPages",
			open: listing(func(m *Memory, prefix string, after *string, most int) ([]commitlog.Info, bool, error) {
				if after != nil {
					before := (*after)[:max(0, len(*after)-1)]
					after = &before
				}
				return m.List(ctx, prefix, after, most)
			})},
		{fault: "there is never more", caughtBy: "List/OrderPrefixAndPages",
			open: listing(func(m *Memory, prefix string, after *string, max int) ([]commitlog.Info, bool, error) {
				logs, _, err := m.List(ctx, prefix, after, max)
				return logs, false, err
			})},
		{fault: "a full page has more", caughtBy: "List/OrderPrefixAndPages",
			open: listing(func(m *Memory, prefix string, after *string, max int) ([]commitlog.Info, bool, error) {
				logs, _, err := m.List(ctx, prefix, after, max)
				return logs, len(logs) == max, err
			})},
		{fault: "the default log is not listed", caughtBy: "List/DefaultAlone",
			open: listing(func(m *Memory, prefix string, after *string, max int) ([]commitlog.Info, bool, error) {
				if after == nil {
					after = new(string)
				}
				return m.List(ctx, prefix, after, max)
			})},
	}
}

func reopenStateMutants() []mutant {
	all := func(change func(m *Memory, l *memoryLog)) Reopen {
		s := shelf{}
		return func(t *testing.T, dir string, now func() time.Time) (commitlog.Engine, func() error) {
			if m, ok := s[dir]; ok {
				for _, l := range m.logs {
					change(m, l)
				}
			}
			return s.open(t, dir, now)
		}
	}
	producers := func(change func(m *Memory, p *memoryProducer)) Reopen {
		return all(func(m *Memory, l *memoryLog) {
			for _, p := range l.producers {
				change(m, p)
			}
		})
	}
	return []mutant{
		{fault: "producers are lost", caughtBy: "KeepsProducers",
			reopen: all(func(_ *Memory, l *memoryLog) { clear(l.producers) })},
		{fault: "all acks but the last are lost", caughtBy: "KeepsProducers",
			reopen: producers(func(_ *Memory, p *memoryProducer) { p.acks = p.acks[len(p.acks)-1:] })},
		{fault: "epochs are lost", caughtBy: "KeepsProducers",
			reopen: producers(func(_ *Memory, p *memoryProducer) { p.epoch = 0 })},
		{fault: "a start makes producers younger", caughtBy: "ForgetsSilentProducers",
			reopen: producers(func(m *Memory, p *memoryProducer) { p.acks[len(p.acks)-1].Time = m.now() })},
		{fault: "settings are lost", caughtBy: "KeepsTrimsAndSettings",
			reopen: all(func(_ *Memory, l *memoryLog) { l.settings = commitlog.Settings{} })},
		{fault: "an empty log begins again", caughtBy: "KeepsTrimsAndSettings",
			reopen: all(func(_ *Memory, l *memoryLog) {
				if len(l.records) == 0 {
					l.first = 0
				}
			})},
		{fault: "the last time is that of the start", caughtBy: "RetentionByAge",
			reopen: all(func(m *Memory, l *memoryLog) {
				if len(l.records) == 0 {
					l.last = m.now().UTC()
				}
			})},
		{fault: "ends of deleted logs are lost", caughtBy: "KeepsDeletes",
			reopen: all(func(m *Memory, _ *memoryLog) { clear(m.ended) })},
	}
}

package log

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// What a sim does to its engine, and what it must hold then.

// life does random work until the crash, or for so long.
func (s *sim) life() {
	if s.engine != nil {
		s.close()
	}
	if s.ended(s.open()) {
		return
	}
	for range 20 + s.rng.IntN(60) {
		if s.ended(s.step()) {
			break
		}
	}
	s.close()
}

func (s *sim) step() error {
	name := s.names[s.rng.IntN(len(s.names))]
	switch n := s.rng.IntN(44); n {
	case 0:
		return s.checkpoint()
	case 1:
		s.close()
		return s.open()
	case 2, 3, 4, 5, 6, 7, 8, 9, 10, 11:
		return s.group()
	default:
		if n < 20 {
			return s.change(name)
		}
		return s.append(name)
	}
}

// change does something else than to append to a log.
func (s *sim) change(name string) error {
	switch s.rng.IntN(8) {
	case 0:
		return s.prove()
	case 1, 2:
		return s.create(s.newName(nil))
	case 3:
		return s.trim(name)
	case 4:
		return s.remove(name)
	case 5:
		return s.seal(name)
	case 6:
		return s.keep(name)
	default:
		return s.retain()
	}
}

// prove writes the idle seal.
func (s *sim) prove() error {
	c := &s.engine.committer
	c.commitMu.Lock()
	defer c.commitMu.Unlock()
	return c.journal.Seal(&c.group)
}

// newName is of no log that is there, and not taken: names are forgotten, so their
// number may be that of a log.
func (s *sim) newName(taken map[string]bool) string {
	for n := len(s.names); ; n++ {
		name := fmt.Sprintf("log-%d", n)
		if l := s.logs[name]; !taken[name] && (l == nil || !l.made) {
			return name
		}
	}
}

func (s *sim) create(name string) error { return s.one(s.createCall(name)) }

// append appends a random batch, sometimes of records that fill a frame or
// more.
func (s *sim) append(name string) error {
	return s.appendSizes(name, s.rng.IntN(3) == 0, s.sizes()...)
}

func (s *sim) sizes() []int {
	most := 200
	if s.rng.IntN(8) == 0 {
		most = 2000
	}
	sizes := make([]int, 1+s.rng.IntN(4))
	for i := range sizes {
		sizes[i] = s.rng.IntN(most)
	}
	return sizes
}

// appendSizes appends a batch of records of these sizes and of random content,
// from the log's producer or from nobody.
func (s *sim) appendSizes(name string, produced bool, sizes ...int) error {
	return s.one(s.appendCall(name, s.batch(produced, sizes...)))
}

// trim removes records below a random offset.
func (s *sim) trim(name string) error {
	model := s.logs[name]
	return s.trimTo(name, model.base+uint64(s.rng.IntN(len(model.acked)+1)))
}

func (s *sim) trimTo(name string, to uint64) error { return s.one(s.trimCall(name, to)) }

// seal ends a log for good; the default log stays open.
func (s *sim) seal(name string) error { return s.one(s.sealCall(name)) }

// keep sets what is to be kept of a log.
func (s *sim) keep(name string) error { return s.one(s.keepCall(name)) }

// retain applies retention to all logs. Where it has to end is for other tests;
// here it ends there or has not begun.
func (s *sim) retain() error {
	clock := s.engine.options.Now
	now := clock()
	s.engine.options.Now = func() time.Time { return now }
	defer func(e *Engine) { e.options.Now = clock }(s.engine)
	for _, name := range s.names {
		model, l := s.logs[name], s.engine.named(name)
		if l == nil {
			continue
		}
		first, err := l.expired(context.Background(), now)
		if err != nil {
			return fmt.Errorf("log %q: what is expired: %w", name, err)
		}
		if first < model.first || first > model.next() {
			s.fail("log %q from %d to %d: expired up to %d", name, model.first, model.next(), first)
		}
		model.trim = first
	}
	if err := s.engine.applyRetention(); err != nil {
		if !isOpen(err) {
			s.settleTrims()
		}
		return err
	}
	for _, name := range s.names {
		if model, l := s.logs[name], s.engine.named(name); l != nil {
			if first := l.Bounds().First; first != max(model.first, model.trim) {
				s.fail("log %q: kept from %d, want %d", name, first, max(model.first, model.trim))
			}
			model.first, model.trim = max(model.first, model.trim), 0
		}
	}
	return nil
}

// settleTrims learns which of the trims under way were made before an error that says
// that the rest was not.
func (s *sim) settleTrims() {
	for name, model := range s.logs {
		if l := s.named(name); l != nil {
			if first := l.Bounds().First; first == max(model.first, model.trim) {
				model.first = first
			}
		}
		model.trim = 0
	}
}

// remove deletes a log, and most times makes it anew.
func (s *sim) remove(name string) error {
	call := s.deleteCall(name)
	if call == nil {
		return nil
	}
	if err := s.one(call); err != nil || s.rng.IntN(4) == 0 {
		return err
	}
	return s.create(name)
}

func (s *sim) deleted(model *simLog) {
	*model = simLog{base: model.next(), first: model.next(), lives: model.lives + 1}
}

// values are the records of the batch.
func (b *sent) values() (values [][]byte) {
	for _, r := range b.batch.Records {
		values = append(values, r.Value)
	}
	return values
}

// ack takes a batch over that has got its offset.
func (l *simLog) ack(b sent, first uint64) {
	l.acked = append(l.acked[:len(l.acked):len(l.acked)], b.values()...)
	b.first = first
	if b.batch.Producer == nil {
		return
	}
	l.sequence = b.batch.Producer.Sequence + 1
	l.recent = append(l.recent, b)
	if len(l.recent) > recentBatches {
		l.recent = slices.Clone(l.recent[len(l.recent)-recentBatches:])
	}
}

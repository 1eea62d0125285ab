package log

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/proglog/proglog/server/commitlog"
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
	switch s.rng.IntN(44) {
	case 0:
		return s.engine.checkpoint()
	case 1:
		return s.prove()
	case 2:
		return s.create(fmt.Sprintf("log-%d", len(s.names)))
	case 3:
		s.close()
		return s.open()
	case 4:
		return s.trim(name)
	case 5:
		return s.remove(name)
	case 6:
		return s.seal(name)
	case 7:
		return s.keep(name)
	case 8:
		return s.retain()
	default:
		return s.append(name)
	}
}

// prove writes the idle seal.
func (s *sim) prove() error {
	c := &s.engine.committer
	c.commitMu.Lock()
	defer c.commitMu.Unlock()
	return c.journal.Seal(&c.group)
}

func (s *sim) create(name string) error {
	if s.logs[name] == nil {
		s.logs[name] = &simLog{}
	}
	if !slices.Contains(s.names, name) { // also if it was refused before
		s.names = append(s.names, name)
	}
	_, made, err := s.engine.Put(context.Background(), name, commitlog.Change{})
	if err == nil {
		s.logs[name].made = true
		if !made {
			s.fail("log %s was there before it was made", name)
		}
	}
	return err
}

// append appends a random batch, sometimes of records that fill a frame or
// more.
func (s *sim) append(name string) error {
	most := 200
	if s.rng.IntN(8) == 0 {
		most = 2000
	}
	sizes := make([]int, 1+s.rng.IntN(4))
	for i := range sizes {
		sizes[i] = s.rng.IntN(most)
	}
	return s.appendSizes(name, s.rng.IntN(3) == 0, sizes...)
}

// appendSizes appends a batch of records of these sizes and of random content,
// from the log's producer or from nobody.
func (s *sim) appendSizes(name string, produced bool, sizes ...int) error {
	model := s.logs[name]
	cl, err := s.engine.Log(context.Background(), name)
	if err != nil {
		if missing := (*commitlog.LogNotFoundError)(nil); errors.As(err, &missing) && !model.made {
			return s.create(name)
		}
		return err
	}
	var batch commitlog.Batch
	model.pending = nil
	if produced {
		batch.Producer = &commitlog.Producer{ID: "p", Epoch: 3, Sequence: model.sequence}
	}
	for _, size := range sizes {
		value := make([]byte, 8+size)
		binary.LittleEndian.PutUint64(value, s.rng.Uint64())
		for i := 8; i < len(value); i++ {
			value[i] = byte(i)
		}
		model.pending = append(model.pending, value)
		batch.Records = append(batch.Records, commitlog.Record{Value: value})
	}
	if produced {
		model.retry = &batch
	}
	acks, err := cl.Append(context.Background(), batch)
	if model.sealed {
		model.pending, model.retry = nil, nil
		if err == nil {
			s.fail("log %q is sealed, but an append got %v", name, acks)
		}
		if sealed := (*commitlog.LogSealedError)(nil); errors.As(err, &sealed) {
			return nil
		}
		return err
	}
	if err != nil {
		return err
	}
	if acks[0].First != model.next() || acks[0].Next != acks[0].First+uint64(len(batch.Records)) || acks[0].Duplicate {
		s.fail("log %q: ack %v for offset %d", name, acks[0], model.next())
	}
	if produced {
		model.produced(acks[0].First)
	}
	model.acked = append(model.acked, model.pending...)
	model.pending = nil
	return nil
}

// produced is the ack of the batch that the producer had under way.
func (l *simLog) produced(first uint64) {
	l.last, l.lastAck, l.retry = l.retry, first, nil
	l.sequence++
}

// trim removes records below a random offset.
func (s *sim) trim(name string) error {
	model := s.logs[name]
	return s.trimTo(name, model.base+uint64(s.rng.IntN(len(model.acked)+1)))
}

func (s *sim) trimTo(name string, to uint64) error {
	model := s.logs[name]
	l := s.engine.named(name)
	if l == nil {
		return nil
	}
	model.trim = to
	first, err := l.Trim(context.Background(), model.trim)
	if err != nil {
		return err
	}
	if want := max(model.first, model.trim); first != want {
		s.fail("log %q: trimmed to %d, want %d", name, first, want)
	}
	model.first, model.trim = first, 0
	return nil
}

// seal ends a log for good; the default log stays open.
func (s *sim) seal(name string) error {
	model := s.logs[name]
	if name == "" || s.engine.named(name) == nil {
		return nil
	}
	model.sealing = true
	sealed := true
	_, _, err := s.engine.Put(context.Background(), name, commitlog.Change{Sealed: &sealed})
	if err == nil {
		model.sealed, model.sealing = true, false
	}
	return err
}

// keep sets what is to be kept of a log.
func (s *sim) keep(name string) error {
	if s.engine.named(name) == nil {
		return nil
	}
	keep := commitlog.Retention{MaxBytes: 1 + uint64(s.rng.IntN(30_000))}
	if s.rng.IntN(2) == 0 {
		keep = commitlog.Retention{MaxAge: time.Duration(1+s.rng.IntN(100)) * time.Microsecond}
	}
	_, _, err := s.engine.Put(context.Background(), name, commitlog.Change{Retention: &keep})
	return err
}

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

// remove deletes a log, and most times makes it anew.
func (s *sim) remove(name string) error {
	model := s.logs[name]
	if name == "" || s.engine.named(name) == nil {
		return nil
	}
	model.deleting = true
	if err := s.engine.Delete(context.Background(), name); err != nil {
		return err
	}
	s.deleted(model)
	if s.rng.IntN(4) == 0 {
		return nil
	}
	_, made, err := s.engine.Put(context.Background(), name, commitlog.Change{})
	if err == nil && !made {
		s.fail("log %q was there after it was deleted", name)
	}
	model.made = err == nil
	return err
}

func (s *sim) deleted(model *simLog) {
	*model = simLog{base: model.next(), first: model.next()}
}

package log

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/proglog/proglog/server/commitlog"
)

// A simCall is a call of the engine, made alone or in a group with others.
type simCall struct {
	do func() error
	// begin notes that the call is under way: from now on a crash leaves open what
	// comes of it. In a group, those of changes come before those of appends.
	begin func()
	// end takes over what came of it. What failed for certain was not done.
	end     func(err error) error
	batches []commitlog.Batch // nil: a change

	err  error
	done chan struct{}
}

// one makes a call alone; nil is none.
func (s *sim) one(c *simCall) error {
	if c == nil {
		return nil
	}
	c.begin()
	return c.end(c.do())
}

// open says whether the outcome of a call is open after this error.
func isOpen(err error) bool { return errors.Is(err, commitlog.ErrOutcomeUnknown) }

func (s *sim) createCall(name string) *simCall {
	if s.logs[name] == nil {
		s.logs[name] = &simLog{}
	}
	if !slices.Contains(s.names, name) { // also if it was refused before
		s.names = append(s.names, name)
	}

	var made bool
	return &simCall{
		do: func() (err error) {
			// Not an empty change, which is answered without a group while the log is there.
			_, made, err = s.engine.Put(context.Background(), name, commitlog.Change{Retention: &commitlog.Retention{}})
			return err
		},
		begin: func() {},
		end: func(err error) error {
			if err != nil {
				s.logs[name].maybe = s.logs[name].maybe || isOpen(err)
				return err
			}
			if !made && !s.logs[name].maybe {
				s.fail("log %s was there before it was made", name)
			}
			s.logs[name].made, s.logs[name].maybe, s.logs[name].number = true, false, s.engine.named(name).number
			return nil
		},
	}
}

// batch draws a batch; its producer's sequence is to be set.
func (s *sim) batch(produced bool, sizes ...int) (b commitlog.Batch) {
	if produced {
		b.Producer = &commitlog.Producer{ID: "p", Epoch: 3}
	}
	for _, size := range sizes {
		value := make([]byte, 8+size)
		binary.LittleEndian.PutUint64(value, s.rng.Uint64())
		for i := 8; i < len(value); i++ {
			value[i] = byte(i)
		}
		b.Records = append(b.Records, commitlog.Record{Value: value})
	}
	return b
}

// appendCall appends batches in one call. Those of the producer have the sequences
// that are next.
func (s *sim) appendCall(name string, batches ...commitlog.Batch) *simCall {
	return s.appendAfter(name, 0, batches...)
}

// appendAfter is appendCall behind so many other batches of the producer that have
// no ack yet. It returns the call that makes the log if there is none.
func (s *sim) appendAfter(name string, others uint64, batches ...commitlog.Batch) *simCall {
	model := s.logs[name]
	cl, err := s.engine.Log(context.Background(), name)
	if missing := (*commitlog.LogNotFoundError)(nil); errors.As(err, &missing) && !model.made {
		return s.createCall(name)
	}
	for i := range batches {
		if p := batches[i].Producer; p != nil {
			p.Sequence = model.sequence + others
			others++
		}
	}
	lives, deleted, sealed := model.lives, false, false
	var acks []commitlog.Ack
	return &simCall{
		batches: batches,
		do: func() error {
			if err == nil {
				acks, err = cl.Append(context.Background(), batches...)
			}
			return err
		},
		begin: func() {
			deleted = model.lives != lives || model.deleting
			sealed = model.sealed || model.sealing
			if deleted || sealed {
				return
			}
			for _, b := range batches {
				model.pending = append(model.pending, sent{batch: b})
			}
		},
		end: func(err error) error {
			if deleted || sealed {
				return s.wantRefusal(name, deleted, err)
			}
			for i, ack := range acks {
				if ack.First != model.next() || ack.Next != ack.First+uint64(len(batches[i].Records)) || ack.Duplicate {
					s.fail("log %q: ack %v for offset %d", name, ack, model.next())
				}
				model.ack(model.pending[0], ack.First)
				model.pending = model.pending[1:]
			}
			if err != nil && !isOpen(err) { // nothing of the others was written
				model.pending = slices.DeleteFunc(model.pending, func(b sent) bool {
					return slices.ContainsFunc(batches[len(acks):], func(c commitlog.Batch) bool { return &c.Records[0] == &b.batch.Records[0] })
				})
			}
			return err
		},
	}
}

// wantRefusal holds the engine to refuse an append to a log that is gone or sealed.
// After a failure of storage it may say that instead.
func (s *sim) wantRefusal(name string, deleted bool, err error) error {
	missing, sealed := (*commitlog.LogNotFoundError)(nil), (*commitlog.LogSealedError)(nil)
	unknown := (*commitlog.SequenceForgottenError)(nil) // a producer's second batch, the first being refused
	switch {
	case err == nil:
		s.fail("log %q is deleted: %v, or sealed, but an append was acked", name, deleted)
	case deleted && errors.As(err, &missing), !deleted && (errors.As(err, &sealed) || errors.As(err, &unknown)):
		return nil
	}
	return err
}

// trimCall is nil if there is no such log.
func (s *sim) trimCall(name string, to uint64) *simCall {
	model, l := s.logs[name], s.engine.named(name)
	if l == nil {
		return nil
	}
	var first uint64
	return &simCall{
		do: func() (err error) {
			first, err = l.Trim(context.Background(), to)
			return err
		},
		begin: func() { model.trim = to },
		end: func(err error) error {
			if err != nil {
				return err
			}
			if want := max(model.first, to); first != want {
				s.fail("log %q: trimmed to %d, want %d", name, first, want)
			}
			model.first, model.trim = first, 0
			return nil
		},
	}
}

// sealCall is nil if there is no such log, or it has to stay open.
func (s *sim) sealCall(name string) *simCall {
	if name == "" {
		return nil
	}
	sealed := true
	call := s.changeCall(name, commitlog.Change{Sealed: &sealed})
	if call == nil {
		return nil
	}
	model := s.logs[name]
	call.begin = func() { model.sealing = true }
	call.end = func(err error) error {
		if err == nil {
			model.sealed = true
		}
		if err == nil || !isOpen(err) {
			model.sealing = false
		}
		return err
	}
	return call
}

// keepCall sets what is to be kept of a log.
func (s *sim) keepCall(name string) *simCall {
	keep := commitlog.Retention{MaxBytes: 1 + uint64(s.rng.IntN(30_000))}
	if s.rng.IntN(2) == 0 {
		keep = commitlog.Retention{MaxAge: time.Duration(1+s.rng.IntN(100)) * time.Microsecond}
	}
	call := s.changeCall(name, commitlog.Change{Retention: &keep})
	if call == nil {
		return nil
	}
	model := s.logs[name]
	call.begin = func() { model.keeping = &keep }
	call.end = func(err error) error {
		if err == nil {
			model.keep = keep
		}
		if err == nil || !isOpen(err) {
			model.keeping = nil
		}
		return err
	}
	return call
}

func (s *sim) changeCall(name string, change commitlog.Change) *simCall {
	if s.engine.named(name) == nil {
		return nil
	}
	return &simCall{
		do: func() error {
			_, _, err := s.engine.Put(context.Background(), name, change)
			return err
		},
		begin: func() {},
		end:   func(err error) error { return err },
	}
}

// deleteCall is nil if there is no such log, or it has to stay.
func (s *sim) deleteCall(name string) *simCall {
	model := s.logs[name]
	if name == "" || s.engine.named(name) == nil {
		return nil
	}
	return &simCall{
		do:    func() error { return s.engine.Delete(context.Background(), name) },
		begin: func() { model.deleting = true },
		end: func(err error) error {
			switch {
			case err == nil:
				s.deleted(model)
			case !isOpen(err):
				model.deleting = false
			}
			return err
		},
	}
}

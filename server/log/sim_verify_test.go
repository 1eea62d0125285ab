package log

import (
	"context"
	"time"

	"github.com/proglog/proglog/server/commitlog"
)

// verify compares every log with what it must hold, and takes over what a call
// in flight came to. A retry of a producer's batch then gives one copy of it.
func (s *sim) verify() {
	for _, name := range s.names {
		model := s.logs[name]
		l := s.engine.named(name)
		if l == nil {
			if model.made && !model.deleting {
				s.fail("log %q is lost", name)
			}
			if model.deleting {
				s.deleted(model)
			}
			continue
		}
		if model.deleting && l.number != model.number {
			s.deleted(model) // and made anew
		}
		model.made, model.deleting, model.number = true, false, l.number
		there := s.verifyLog(name, model, l)
		s.retry(name, model, l, there)
		s.replay(name, model, l)
	}
}

// verifyReads looks at every log of which no creation or deletion was under way, where
// appends are refused.
func (s *sim) verifyReads() {
	for _, name := range s.names {
		model := s.logs[name]
		if l := s.engine.named(name); l != nil && model.made && !model.deleting {
			s.verifyLog(name, model, l)
		} else if model.made && !model.deleting {
			s.fail("log %q is lost", name)
		}
	}
}

// verifyLog returns how many of the batches under way are there.
func (s *sim) verifyLog(name string, model *simLog, l *Log) (there int) {
	if sealed := l.view.Load().flags&metaSealed != 0; sealed != model.sealed && !model.sealing {
		s.fail("log %q: sealed is %v, want %v", name, sealed, model.sealed)
	} else {
		model.sealed, model.sealing = sealed, false
	}
	v := l.view.Load()
	keep := commitlog.Retention{MaxAge: time.Duration(v.maxAge), MaxBytes: v.maxBytes}
	if keep != model.keep && (model.keeping == nil || keep != *model.keeping) {
		s.fail("log %q: retention is %v, want %v", name, keep, model.keep)
	}
	model.keep, model.keeping = keep, nil
	first := l.Bounds().First
	if first != model.first && (model.trim == 0 || first != max(model.first, model.trim)) {
		s.fail("log %q begins at %d, want %d, or %d", name, first, model.first, model.trim)
	}
	model.first, model.trim = first, 0
	got := s.readAll(l, name)
	want := model.acked[first-model.base:]
	for there < len(model.pending) && len(got) > len(want) {
		want = append(want[:len(want):len(want)], model.pending[there].values()...)
		there++
	}
	if len(got) != len(want) {
		s.fail("log %q has %d records, want %d", name, len(got), len(want))
	}
	for i := range want {
		if string(got[i]) != string(want[i]) {
			s.fail("log %q: record %d is not what was acked", name, first+uint64(i))
		}
	}
	return there
}

// retry sends the producer's batches again whose outcome a crash left open: those
// that are there get their ack, the others are appended.
func (s *sim) retry(name string, model *simLog, l *Log, there int) {
	pending := model.pending
	model.pending = nil
	for i, p := range pending {
		if i < there {
			p.first = model.next()
			model.ack(p, p.first)
		}
		if p.batch.Producer == nil || i >= there && p.batch.Producer.Sequence != model.sequence {
			continue // or one before it was refused for certain
		}
		acks, err := l.Append(context.Background(), p.batch)
		switch {
		case err != nil:
			s.fail("log %q: retry of sequence %d: %v", name, p.batch.Producer.Sequence, err)
		case acks[0].Duplicate != (i < there):
			s.fail("log %q: the retry is a duplicate: %v, but the batch was there: %v", name, acks[0].Duplicate, i < there)
		case i < there && acks[0].First != p.first || i >= there && acks[0].First != model.next():
			s.fail("log %q: the retry of sequence %d got offset %d", name, p.batch.Producer.Sequence, acks[0].First)
		}
		if i >= there {
			model.ack(p, acks[0].First)
		}
	}
}

// replay sends the producer's latest acked batches again: they get the same acks.
func (s *sim) replay(name string, model *simLog, l *Log) {
	for _, p := range model.recent {
		acks, err := l.Append(context.Background(), p.batch)
		if err != nil {
			s.fail("log %q: sequence %d again: %v", name, p.batch.Producer.Sequence, err)
		}
		if !acks[0].Duplicate || acks[0].First != p.first {
			s.fail("log %q: sequence %d again: %v, want the ack of offset %d", name, p.batch.Producer.Sequence, acks[0], p.first)
		}
	}
}

func (s *sim) readAll(cl commitlog.CommitLog, name string) (values [][]byte) {
	var last time.Time
	bounds := cl.Bounds()
	for at := bounds.First; at < bounds.Next; {
		run, err := cl.Read(context.Background(), at, commitlog.ReadLimit{Records: 1 + s.rng.IntN(9)}, nil)
		if err != nil {
			s.fail("log %q: read %d: %v", name, at, err)
		}
		for rec, err := range run.All() {
			if err != nil || rec.Offset != at || rec.Time.Before(last) {
				s.fail("log %q: record %d: offset %d, time %v after %v, %v", name, at, rec.Offset, rec.Time, last, err)
			}
			last = rec.Time
			at++
			values = append(values, append([]byte{}, rec.Value...))
		}
		if len(run.Envelopes) == 0 {
			s.fail("log %q: read %d: nothing, with bounds %v", name, at, bounds)
		}
	}
	return values
}

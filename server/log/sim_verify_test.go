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
		model.made, model.deleting = true, false
		s.verifyLog(name, model, l)
		if model.retry != nil {
			s.retry(name, model, l)
		}
		s.replay(name, model, l)
	}
}

func (s *sim) verifyLog(name string, model *simLog, l *Log) {
	if sealed := l.view.Load().flags&metaSealed != 0; sealed != model.sealed && !model.sealing {
		s.fail("log %q: sealed is %v, want %v", name, sealed, model.sealed)
	} else {
		model.sealed, model.sealing = sealed, false
	}
	first := l.Bounds().First
	if first != model.first && (model.trim == 0 || first != max(model.first, model.trim)) {
		s.fail("log %q begins at %d, want %d, or %d", name, first, model.first, model.trim)
	}
	model.first, model.trim = first, 0
	got := s.readAll(l, name)
	want := model.acked[first-model.base:]
	if len(model.pending) > 0 && len(got) == len(want)+len(model.pending) {
		want = append(want[:len(want):len(want)], model.pending...)
		model.acked = append(model.acked[:len(model.acked):len(model.acked)], model.pending...)
	}
	if model.retry == nil {
		model.pending = nil
	}
	if len(got) != len(want) {
		s.fail("log %q has %d records, want %d", name, len(got), len(want))
	}
	for i := range want {
		if string(got[i]) != string(want[i]) {
			s.fail("log %q: record %d is not what was acked", name, first+uint64(i))
		}
	}
}

// retry sends a producer's batch again, whose outcome a crash left open.
func (s *sim) retry(name string, model *simLog, l *Log) {
	there := len(model.pending) > 0 && l.end == model.next() && s.endsWith(model, model.pending)
	acks, err := l.Append(context.Background(), *model.retry)
	if err != nil {
		s.fail("log %q: retry: %v", name, err)
	}
	if acks[0].Duplicate != there {
		s.fail("log %q: the retry is a duplicate: %v, but the batch was there: %v", name, acks[0].Duplicate, there)
	}
	if !there {
		model.acked = append(model.acked[:len(model.acked):len(model.acked)], model.pending...)
	}
	if acks[0].Next != model.next() {
		s.fail("log %q: the retry ends at %d, want %d", name, acks[0].Next, model.next())
	}
	model.produced(acks[0].First)
	model.pending = nil
}

// replay sends the producer's last acked batch again: it gets the same ack.
func (s *sim) replay(name string, model *simLog, l *Log) {
	if model.last == nil {
		return
	}
	acks, err := l.Append(context.Background(), *model.last)
	if err != nil {
		s.fail("log %q: sequence %d again: %v", name, model.last.Producer.Sequence, err)
	}
	if !acks[0].Duplicate || acks[0].First != model.lastAck {
		s.fail("log %q: sequence %d again: %v, want the ack of offset %d", name, model.last.Producer.Sequence, acks[0], model.lastAck)
	}
}

func (s *sim) endsWith(model *simLog, tail [][]byte) bool {
	if len(model.acked) < len(tail) {
		return false
	}
	for i, v := range tail {
		if string(model.acked[len(model.acked)-len(tail)+i]) != string(v) {
			return false
		}
	}
	return true
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

package commitlogtest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// A modelProducer is what a log has to remember of a producer: all of its
// epoch's batches, of which only the last are answered.
type modelProducer struct {
	epoch   uint64
	batches []commitlog.Batch
	acks    []commitlog.Ack
}

// produced makes a random producer's batch of b: mostly its next one, else one
// that came before, changed or not, or one that must be refused.
func (m *model) produced(l *modelLog, b commitlog.Batch) commitlog.Batch {
	id := string(rune('p' + m.rand.IntN(3)))
	p := l.producers[id]
	if p == nil {
		p = &modelProducer{epoch: m.rand.Uint64N(3)}
	}
	next := uint64(len(p.acks))
	b.Producer = &commitlog.Producer{ID: id, Epoch: p.epoch, Sequence: next}
	switch m.rand.IntN(8) {
	case 0, 1:
		if next > 0 {
			return p.batches[m.rand.Uint64N(next)]
		}
	case 2:
		b.Producer.Sequence = m.rand.Uint64N(next + 3)
	case 3:
		b.Producer.Epoch += m.rand.Uint64N(2)
		b.Producer.Sequence = m.rand.Uint64N(2)
	case 4:
		b.Producer.Epoch = m.rand.Uint64N(p.epoch + 1)
	}
	return b
}

// judge returns the ack that a batch is answered with, if it came before, or
// what it has to be refused with.
func (l *modelLog) judge(b commitlog.Batch, window commitlog.DedupWindow) (*commitlog.Ack, error) {
	if err := commitlog.DefaultLimits().Check(b); err != nil {
		return nil, err
	}
	var gap error
	if b.Producer != nil {
		ack, refusal, late := l.judgeSequence(b, window)
		if ack != nil || refusal != nil {
			return ack, refusal
		}
		gap = late
	}
	next := l.bounds().Next
	switch {
	case l.settings.Sealed:
		return nil, &commitlog.LogSealedError{Next: next}
	case gap != nil:
		return nil, gap
	case b.ExpectedOffset != nil && *b.ExpectedOffset != next:
		return nil, &commitlog.OffsetMismatchError{Expected: *b.ExpectedOffset, Next: next}
	}
	return nil, nil
}

// judgeSequence returns the ack of a sequence that came before, what is refused
// in any log, and what is refused in one that is not sealed.
func (l *modelLog) judgeSequence(b commitlog.Batch, window commitlog.DedupWindow) (*commitlog.Ack, error, error) {
	p, epoch, seq := l.producers[b.Producer.ID], b.Producer.Epoch, b.Producer.Sequence
	if p == nil {
		if seq > 0 {
			return nil, &commitlog.SequenceForgottenError{}, nil
		}
		return nil, nil, nil
	}
	next := uint64(len(p.acks))
	switch {
	case epoch < p.epoch:
		return nil, &commitlog.FencedError{Epoch: p.epoch}, nil
	case epoch > p.epoch && seq > 0:
		return nil, nil, &commitlog.SequenceGapError{Epoch: p.epoch}
	case epoch > p.epoch:
		return nil, nil, nil
	case seq > next:
		return nil, nil, &commitlog.SequenceGapError{Epoch: p.epoch, Expected: next}
	case seq == next:
		return nil, nil, nil
	case next-seq > uint64(window.Acks):
		return nil, &commitlog.SequenceForgottenError{Expected: next}, nil
	case commitlog.Digest(b.Records) != commitlog.Digest(p.batches[seq].Records):
		return nil, &commitlog.SequenceReusedError{Sequence: seq}, nil
	}
	return &p.acks[seq], nil, nil
}

// append does what an engine has done when it acked a new batch.
func (l *modelLog) append(b commitlog.Batch, ack commitlog.Ack) {
	for i, r := range b.Records {
		r.Offset, r.Time = ack.First+uint64(i), ack.Time
		l.records = append(l.records, r)
	}
	l.last = ack.Time
	if b.Producer == nil {
		return
	}
	p := l.producers[b.Producer.ID]
	if p == nil || p.epoch != b.Producer.Epoch {
		p = &modelProducer{epoch: b.Producer.Epoch}
		l.producers[b.Producer.ID] = p
	}
	p.batches, p.acks = append(p.batches, b), append(p.acks, ack)
}

func (m *model) requireRefusal(want, err error) {
	switch want := want.(type) {
	case *commitlog.TooLargeError:
		requireAs(m, want, err)
	case *commitlog.SequenceForgottenError:
		requireAs(m, want, err)
	case *commitlog.SequenceReusedError:
		requireAs(m, want, err)
	case *commitlog.SequenceGapError:
		requireAs(m, want, err)
	case *commitlog.FencedError:
		requireAs(m, want, err)
	case *commitlog.LogSealedError:
		requireAs(m, want, err)
	case *commitlog.OffsetMismatchError:
		requireAs(m, want, err)
	default:
		require.ErrorIs(m.t, err, want)
	}
}

func requireAs[E error](m *model, want E, err error) {
	var got E
	require.ErrorAs(m.t, err, &got)
	require.Equal(m.t, want, got)
}

// trim trims at a random offset, mostly near the first one.
func (m *model) trim(log commitlog.CommitLog, l *modelLog) {
	if !m.can.Trim {
		return
	}
	first := l.first + m.rand.Uint64N(10)
	switch m.rand.IntN(6) {
	case 0:
		first = m.rand.Uint64N(l.first + 1)
	case 1:
		first = m.rand.Uint64N(l.bounds().Next + 3)
	}
	l.first = max(l.first, min(first, l.bounds().Next))
	got, err := log.Trim(patient(m.t), first)
	require.NoError(m.t, err)
	require.Equal(m.t, l.first, got)
	require.Equal(m.t, l.bounds(), log.Bounds())
}

// change sets what the engine can set: a retention that removes nothing, and the
// seal, of logs that can be deleted.
func (m *model) change(e commitlog.Engine, name string, l *modelLog) {
	var change commitlog.Change
	if m.can.Trim && m.rand.IntN(2) == 0 {
		r := commitlog.Retention{MaxAge: time.Duration(m.rand.IntN(3)) * 1000 * time.Hour, MaxBytes: uint64(m.rand.IntN(3)) << 40}
		change.Retention, l.settings.Retention = &r, r
	}
	if m.can.Seal && m.can.Trim && name != "" && m.rand.IntN(2) == 0 {
		change.Sealed, l.settings.Sealed = sealed(true).Sealed, true
	}
	log := mustPut(m.t, e, name, change)
	require.Equal(m.t, l.id, log.ID())
}

// delete deletes the log, unless it is the default; the next step with its name
// makes another.
func (m *model) delete(e commitlog.Engine, log commitlog.CommitLog, name string, l *modelLog) {
	if !m.can.Trim || name == "" {
		return
	}
	require.NoError(m.t, e.Delete(patient(m.t), name))
	require.NoError(m.t, checkDeleted(patient(m.t), log, name))
	*l = modelLog{first: l.bounds().Next, records: l.records, producers: map[string]*modelProducer{}}
}

// verifyInfo holds what the engine says of a log, and the times it finds in it,
// to the model.
func (m *model) verifyInfo(log commitlog.CommitLog, name string, l *modelLog) {
	want := commitlog.Info{Name: name, ID: l.id, Bounds: l.bounds(), LastTime: l.last, Settings: l.settings}
	got := mustInfo(m.t, log)
	want.Bytes = got.Bytes
	if l.first < want.Next {
		want.FirstTime = l.records[l.first].Time
		require.Positive(m.t, got.Bytes)
	}
	if l.last.IsZero() {
		got.LastTime = l.last // of a log that took a deleted one's name, it may be that one's
	}
	require.NoError(m.t, sameInfo(want, got))
	if m.can.FindTime {
		requireTimes(m.t, log, l.records[l.first:])
	}
}

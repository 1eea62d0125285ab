package commitlogtest

import (
	"context"
	"math"

	"github.com/proglog/proglog/server/commitlog"
)

// memoryProducer is what a log remembers of one producer.
type memoryProducer struct {
	epoch uint64
	next  uint64      // sequence
	acks  []memoryAck // of the sequences before next, the latest last; never empty
}

// memoryAck is the ack of one sequence.
type memoryAck struct {
	commitlog.Ack
	digest uint32 // of its records
}

func (p *memoryProducer) latest() memoryAck { return p.acks[len(p.acks)-1] }

// Append implements [commitlog.CommitLog]. It looks at the context before it
// begins and never after, so its outcome is always known.
func (l *memoryLog) Append(ctx context.Context, batches ...commitlog.Batch) ([]commitlog.Ack, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	if err := l.enter(); err != nil {
		return nil, err
	}
	acks := make([]commitlog.Ack, 0, len(batches))
	defer func() {
		if len(acks) > 0 {
			l.wake()
		}
	}()
	for _, b := range batches {
		if err := l.engine.limits.Check(b); err != nil {
			return acks, err
		}
		if original, err := l.replay(b); err != nil {
			return acks, err
		} else if original != nil {
			acks = append(acks, *original)
			continue
		}
		if err := l.judge(b); err != nil {
			return acks, err
		}
		ack := l.append(b.Records)
		l.learn(b, ack)
		acks = append(acks, ack)
	}
	return acks, nil
}

// replay returns the ack of a sequence that came before, or why there is none to
// be had any more. Both nil: the batch is new.
func (l *memoryLog) replay(b commitlog.Batch) (*commitlog.Ack, error) {
	if b.Producer == nil {
		return nil, nil
	}
	p, seq := l.producer(b.Producer.ID), b.Producer.Sequence
	switch {
	case p == nil && seq > 0:
		return nil, &commitlog.SequenceForgottenError{}
	case p == nil || b.Producer.Epoch != p.epoch || seq >= p.next:
		return nil, nil
	case p.next-seq > uint64(len(p.acks)):
		return nil, &commitlog.SequenceForgottenError{Expected: p.next}
	}
	known := p.acks[uint64(len(p.acks))-(p.next-seq)]
	if known.Next-known.First != uint64(len(b.Records)) || known.digest != commitlog.Digest(b.Records) {
		return nil, &commitlog.SequenceReusedError{Sequence: seq}
	}
	original := known.Ack
	original.Duplicate = true
	return &original, nil
}

// judge returns why a new batch cannot be appended now.
func (l *memoryLog) judge(b commitlog.Batch) error {
	next := l.bounds().Next
	var p *memoryProducer
	if b.Producer != nil {
		p = l.producers[b.Producer.ID]
	}
	if p != nil && b.Producer.Epoch < p.epoch {
		return &commitlog.FencedError{Epoch: p.epoch}
	}
	if l.settings.Sealed {
		return &commitlog.LogSealedError{Next: next}
	}
	if p != nil {
		expected := p.next
		if b.Producer.Epoch > p.epoch {
			expected = 0
		}
		if b.Producer.Sequence != expected {
			return &commitlog.SequenceGapError{Epoch: p.epoch, Expected: expected}
		}
	}
	if b.ExpectedOffset != nil && *b.ExpectedOffset != next {
		return &commitlog.OffsetMismatchError{Expected: *b.ExpectedOffset, Next: next}
	}
	return nil
}

// append adds the records, which all get the same timestamp: now, or that of
// the record before them if the clock went back.
func (l *memoryLog) append(records []commitlog.Record) commitlog.Ack {
	now := l.engine.now().Round(0).UTC() // without the monotonic reading, which is not encoded
	if now.After(l.last) || l.last.IsZero() {
		l.last = now
	}
	ack := commitlog.Ack{First: l.bounds().Next, Time: l.last}
	for _, r := range records {
		r.Offset, r.Time = l.bounds().Next, l.last
		envelope := commitlog.AppendEnvelope(nil, &r)
		l.records = append(l.records, memoryRecord{envelope, l.last})
		l.bytes += uint64(len(envelope))
	}
	ack.Next = l.bounds().Next
	return ack
}

// learn remembers the ack of a batch that was appended.
func (l *memoryLog) learn(b commitlog.Batch, ack commitlog.Ack) {
	if b.Producer == nil {
		return
	}
	p := l.producers[b.Producer.ID]
	if p == nil {
		if len(l.producers) >= l.engine.dedup.Producers {
			l.forgetOne()
		}
		p = &memoryProducer{}
		l.producers[b.Producer.ID] = p
	}
	if b.Producer.Epoch != p.epoch {
		p.epoch, p.acks = b.Producer.Epoch, nil // the acks of lower epochs are fenced with them
	}
	p.next = b.Producer.Sequence + 1
	p.acks = append(p.acks, memoryAck{ack, commitlog.Digest(b.Records)})
	p.acks = p.acks[max(0, len(p.acks)-l.engine.dedup.Acks):]
}

// producer returns a producer that is still remembered, or nil.
func (l *memoryLog) producer(id string) *memoryProducer {
	p := l.producers[id]
	if p != nil && l.engine.now().Sub(p.latest().Time) > l.engine.dedup.MaxAge {
		delete(l.producers, id)
		return nil
	}
	return p
}

// forgetOne forgets the producer that appended nothing for longest.
func (l *memoryLog) forgetOne() {
	silent, since := "", uint64(math.MaxUint64)
	for id, p := range l.producers {
		if p.latest().First < since {
			silent, since = id, p.latest().First
		}
	}
	delete(l.producers, silent)
}

package log

import (
	"container/list"
	"encoding/binary"
	"errors"
	"time"

	"github.com/proglog/proglog/server/commitlog"
)

// producers is what a log remembers of those who write to it, so that a retry
// gets its first ack again. It commits with the data: what it learns stands in
// the frames' producer blocks, and between them and a crash, in the table of the
// last checkpoint. It belongs to whoever holds commitMu.
type producers struct {
	byID  map[string]*producer
	order list.List // of *producer, the one that has been silent for longest first
}

// A producer is one id. Its acks are those of the latest sequences, the last of
// them that of next-1.
type producer struct {
	id    string
	place *list.Element
	epoch uint64
	next  uint64 // sequence
	last  int64  // time of the latest ack
	acks  []sequenceAck
}

// A sequenceAck is the ack of one sequence, and what tells its records from
// others.
type sequenceAck struct {
	first  uint64
	count  uint32
	digest uint32
	time   int64
}

func (a sequenceAck) ack() commitlog.Ack {
	return commitlog.Ack{First: a.first, Next: a.first + uint64(a.count), Time: time.Unix(0, a.time).UTC(), Duplicate: true}
}

// find returns a producer that is still remembered, or nil.
func (s *producers) find(id string, now int64, window commitlog.DedupWindow) *producer {
	p := s.byID[id]
	if p != nil && now-p.last > int64(window.MaxAge) {
		s.forget(p)
		return nil
	}
	return p
}

// replay judges a sequence that is not to be appended: one that came before, or
// is forgotten, or one of a lower epoch. Without ack and error it goes on to be
// judged.
func (s *producers) replay(b *commitlog.Batch, now int64, window commitlog.DedupWindow) (ack commitlog.Ack, replayed bool, err error) {
	p := s.find(b.Producer.ID, now, window)
	if p == nil {
		if b.Producer.Sequence > 0 {
			return ack, false, &commitlog.SequenceForgottenError{}
		}
		return ack, false, nil
	}
	seq := b.Producer.Sequence
	switch {
	case b.Producer.Epoch < p.epoch:
		return ack, false, &commitlog.FencedError{Epoch: p.epoch}
	case b.Producer.Epoch > p.epoch || seq >= p.next:
		return ack, false, nil
	case p.next-seq > uint64(len(p.acks)):
		return ack, false, &commitlog.SequenceForgottenError{Expected: p.next}
	}
	known := p.acks[uint64(len(p.acks))-(p.next-seq)]
	if known.digest != commitlog.Digest(b.Records) || known.count != uint32(len(b.Records)) {
		return ack, false, &commitlog.SequenceReusedError{Sequence: seq}
	}
	return known.ack(), true, nil
}

// gap says whether a sequence that was not appended before is the next one.
func (s *producers) gap(b *commitlog.Batch) error {
	p := s.byID[b.Producer.ID]
	seq := b.Producer.Sequence
	switch {
	case p == nil:
		return nil // replay saw to it that it is 0
	case b.Producer.Epoch > p.epoch && seq > 0:
		return &commitlog.SequenceGapError{Epoch: p.epoch, Expected: 0}
	case b.Producer.Epoch == p.epoch && seq > p.next:
		return &commitlog.SequenceGapError{Epoch: p.epoch, Expected: p.next}
	}
	return nil
}

// learn remembers the ack of a sequence that was appended.
func (s *producers) learn(block producerBlock, first uint64, at int64, window commitlog.DedupWindow) {
	p := s.byID[block.id]
	if p == nil {
		for len(s.byID) >= window.Producers {
			s.forget(s.order.Front().Value.(*producer))
		}
		p = s.add(&producer{id: block.id})
	}
	s.order.MoveToBack(p.place)
	if block.epoch != p.epoch || block.sequence != p.next {
		p.epoch, p.next, p.acks = block.epoch, block.sequence, nil
	}
	p.next, p.last = p.next+1, at
	if len(p.acks) >= window.Acks {
		keep := copy(p.acks, p.acks[len(p.acks)-window.Acks+1:])
		p.acks = p.acks[:keep]
	}
	p.acks = append(p.acks, sequenceAck{first: first, count: block.count, digest: block.digest, time: at})
}

func (s *producers) add(p *producer) *producer {
	if s.byID == nil {
		s.byID = map[string]*producer{}
	}
	s.byID[p.id] = p
	p.place = s.order.PushBack(p)
	return p
}

func (s *producers) forget(p *producer) {
	delete(s.byID, p.id)
	s.order.Remove(p.place)
}

// A producerBlock is what a frame says of the batch that it begins with.
type producerBlock struct {
	id       string
	epoch    uint64
	sequence uint64
	count    uint32 // records of the batch, which may go on in further frames
	digest   uint32
}

func blockOf(b *commitlog.Batch) producerBlock {
	return producerBlock{
		id: b.Producer.ID, epoch: b.Producer.Epoch, sequence: b.Producer.Sequence,
		count: uint32(len(b.Records)), digest: commitlog.Digest(b.Records),
	}
}

func (k producerBlock) size() int { return 1 + len(k.id) + 24 }

func (k producerBlock) append(b []byte) []byte {
	le := binary.LittleEndian
	b = append(b, byte(len(k.id)))
	b = append(b, k.id...)
	b = le.AppendUint64(b, k.epoch)
	b = le.AppendUint64(b, k.sequence)
	b = le.AppendUint32(b, k.count)
	return le.AppendUint32(b, k.digest)
}

var errProducerBlock = errors.New("the producer block of a frame is damaged, or of a later version")

func readProducerBlock(b []byte) (k producerBlock, err error) {
	r := tableReader{b: b}
	n := int(r.bytes(1)[0])
	k = producerBlock{id: string(r.bytes(n)), epoch: r.u64(), sequence: r.u64(), count: r.u32(), digest: r.u32()}
	if r.bad || len(r.b) != 0 || n == 0 {
		return k, errProducerBlock
	}
	return k, nil
}

// append writes the snapshot of all producers, those that are forgotten by age
// left out.
func (s *producers) append(b []byte, now int64, window commitlog.DedupWindow) []byte {
	le := binary.LittleEndian
	at, n := len(b), uint32(0)
	b = le.AppendUint32(b, 0)
	for e := s.order.Front(); e != nil; e = e.Next() {
		p := e.Value.(*producer)
		if now-p.last > int64(window.MaxAge) {
			continue
		}
		n++
		b = append(b, byte(len(p.id)))
		b = append(b, p.id...)
		b = le.AppendUint64(b, p.epoch)
		b = le.AppendUint64(b, p.next)
		b = le.AppendUint32(b, uint32(len(p.acks)))
		for _, a := range p.acks {
			b = le.AppendUint64(b, a.first)
			b = le.AppendUint32(b, a.count)
			b = le.AppendUint32(b, a.digest)
			b = le.AppendUint64(b, uint64(a.time))
		}
	}
	le.PutUint32(b[at:], n)
	return b
}

// read adds what append wrote.
func (s *producers) read(r *tableReader) {
	for n := r.u32(); n > 0 && !r.bad; n-- {
		p := &producer{id: string(r.bytes(int(r.bytes(1)[0]))), epoch: r.u64(), next: r.u64()}
		for k := r.u32(); k > 0 && !r.bad; k-- {
			a := sequenceAck{first: r.u64(), count: r.u32(), digest: r.u32(), time: int64(r.u64())}
			p.acks, p.last = append(p.acks, a), a.time
		}
		s.add(p)
	}
}

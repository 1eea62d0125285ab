package log

import (
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/journal"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// A span is frames of one log that lie side by side in the group, and go side
// by side into one segment.
type span struct {
	segment  *segment.Segment
	create   bool     // the segment's file has to be made
	sealed   sealable // with create: the segment before
	from, to int      // in the group's memory
	position int64
}

// A builder turns the batches of a group into frames, log after log. It is the
// only place that gives out offsets. What it changes in a Log readers do not see
// before the group is durable; if the group fails, the engine ends, so nothing
// is ever taken back.
type builder struct {
	group   *journal.Group
	segSize int64
	now     int64
	spans   []span

	log    *Log
	block  producerBlock // that the next frame begins with; none without an id
	header frame.Header  // of the open frame
	at     int           // of the open frame in the group's memory
	open   bool
}

func (b *builder) reset(now time.Time) {
	b.group.Reset()
	b.now = now.UnixNano()
	clear(b.spans)
	b.spans = b.spans[:0]
}

// begin turns to a log.
func (b *builder) begin(l *Log) {
	b.log = l
	l.touched = true
}

// add appends a batch that was judged good, and says what its ack will be.
func (b *builder) add(batch *commitlog.Batch) commitlog.Ack {
	l := b.log
	l.time = max(l.time, b.now)
	if l.active() == nil || l.lost || b.end() >= b.segmentSize() || b.expired() {
		b.close(false)
		b.roll()
	}
	ack := commitlog.Ack{First: l.end, Time: time.Unix(0, l.time).UTC()}
	if batch.Producer != nil {
		b.close(false) // its block stands at the start of a frame
		b.block = blockOf(batch)
		l.producers.learn(b.block, l.end, l.time, l.engine.options.Dedup)
	}
	for i := range batch.Records {
		rec := commitlog.Record{Offset: l.end, Time: ack.Time, Value: batch.Records[i].Value, Headers: batch.Records[i].Headers}
		size := commitlog.EnvelopeSize(&rec)
		if b.open && b.payload()+size > frame.TargetPayload {
			b.close(i > 0)
		}
		b.group.Room(frame.HeaderSize + b.block.size() + size + frame.Align)
		if !b.open {
			b.openFrame()
		}
		b.group.SetBuf(commitlog.AppendEnvelope(b.group.Buf(), &rec))
		b.header.Count++
		l.end++
	}
	ack.Next = l.end
	return ack
}

// finish ends the work on a log.
func (b *builder) finish() { b.close(false) }

// payload is the size of the open frame's payload so far.
func (b *builder) payload() int { return len(b.group.Buf()) - b.at - frame.HeaderSize }

// end is the position where the segment would end if the open frame closed.
func (b *builder) end() int64 {
	if !b.open {
		return b.log.position
	}
	return b.log.position + int64(frame.Size(b.payload()))
}

func (b *builder) openFrame() {
	l := b.log
	b.at = len(b.group.Buf())
	b.group.SetBuf(b.group.Buf()[:b.at+frame.HeaderSize])
	b.header = frame.Header{
		Kind: frame.Records, Log: l.meta.number, Base: l.end,
		Position: uint64(l.position), Time: l.time, Segment: l.active().Number,
	}
	if b.block.id != "" {
		b.header.Flags |= frame.Producer
		b.header.Aux = uint16(b.block.size())
		b.group.SetBuf(b.block.append(b.group.Buf()))
		b.block = producerBlock{}
	}
	b.open = true
}

// minSegmentBytes is the least size at which a segment is sealed for the sake of
// retention by bytes.
const minSegmentBytes = 16 << 10

// segmentSize is where the log's segments end: where all do, or, so that a log
// with a bound on its bytes gives space back, at an eighth of that.
func (b *builder) segmentSize() int64 {
	if most := b.log.meta.maxBytes; most > 0 && most < uint64(b.segSize)*8 {
		return min(b.segSize, max(int64(most/8), minSegmentBytes))
	}
	return b.segSize
}

// expired says whether the active segment holds only what retention by age
// wants gone, or soon will: in a new one, new records do not keep the old.
func (b *builder) expired() bool {
	maxAge := b.log.meta.maxAge
	return maxAge > 0 && b.log.time-b.log.active().Created > maxAge
}

// close completes the open frame and gives it a place in the segment.
func (b *builder) close(continued bool) {
	if !b.open {
		return
	}
	b.open = false
	l, g := b.log, b.log.active()
	buf := b.group.Buf()
	payload := buf[b.at+frame.HeaderSize:]
	b.header.Length = uint32(len(payload))
	b.header.PayloadCRC = frame.Checksum(payload)
	if continued {
		b.header.Flags |= frame.Continued
	}
	b.header.Put(buf[b.at:], g.Seed, l.chain)
	l.chain = b.header.Chain
	size := b.pad()
	b.group.Added(b.at)
	g.Added(b.header.Base, l.position)
	if n := len(b.spans); n > 0 && b.spans[n-1].segment == g && b.spans[n-1].to == b.at {
		b.spans[n-1].to = b.at + size
	} else {
		b.spans = append(b.spans, span{segment: g, from: b.at, to: b.at + size, position: l.position})
	}
	l.position += int64(size)
}

// pad fills the frame at b.at with zeros to its size, and returns that.
func (b *builder) pad() int {
	size := (len(b.group.Buf()) - b.at + frame.Align - 1) &^ (frame.Align - 1)
	var zeros [frame.Align]byte
	b.group.SetBuf(append(b.group.Buf(), zeros[:size-(len(b.group.Buf())-b.at)]...))
	return size
}

// roll ends the active segment and begins the next.
func (b *builder) roll() {
	l := b.log
	spec := segment.Spec{Log: l.meta.number, Number: 1, Base: l.end, Nonce: l.engine.options.nonce(), Chain: l.chain, Created: l.time}
	var sealed sealable
	if g := l.active(); g != nil {
		spec.Number = g.Number + 1
		sealed = sealable{g, l.position}
	}
	b.mark(frame.Roll, l.meta.number, l.end, appendSpec(nil, &spec))
	l.addSegment(l.engine.segments.New(spec))
	l.lost = false
	at := len(b.group.Buf())
	b.spans = append(b.spans, span{segment: l.active(), create: true, sealed: sealed, from: at, to: at, position: l.position})
}

// mark adds a frame that is in the journal alone.
func (b *builder) mark(kind frame.Kind, log, base uint64, payload []byte) {
	b.group.Room(frame.HeaderSize + len(payload) + frame.Align)
	b.at = len(b.group.Buf())
	buf := b.group.Buf()[:b.at+frame.HeaderSize]
	buf = append(buf, payload...)
	b.group.SetBuf(buf)
	h := frame.Header{
		Kind: kind, Log: log, Base: base, Time: b.now,
		Length: uint32(len(payload)), PayloadCRC: frame.Checksum(payload),
	}
	h.Put(buf[b.at:], 0, 0)
	b.pad()
	b.group.Added(b.at)
}

// cutPositions makes every log that was written to since the last cut go on in
// a new block, so that no byte which a checkpoint is about to call durable is
// ever written again. The caller holds commitMu.
func cutPositions(logs []*Log) {
	for _, l := range logs {
		if l.touched && !bug.On(bug.SharedBlock) {
			l.position = vfs.AlignUp(l.position)
			l.touched = false
		}
	}
}

package log

import (
	"math"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// A logWriter writes the frames of one log into segments of a new directory.
// Payloads stay byte for byte what they were; headers are made anew, for a new
// segment, place and chain.
type logWriter struct {
	set    *segment.Set
	random func([]byte)
	number uint64

	segments []segmentRow
	active   *segment.Segment
	source   uint32 // the segment that the last frame came from
	position int64
	chain    uint32
	end      uint64 // offset of the next record
	time     int64  // of the last record
	written  int64
	buf      []byte
}

// frame writes a frame of the source, with the segment that it came from.
func (w *logWriter) frame(h frame.Header, payload []byte) error {
	if w.active == nil || h.Segment != w.source || h.Next()-w.active.Base > math.MaxInt32 {
		if err := w.roll(h.Base, h.Time); err != nil {
			return err
		}
		w.source = h.Segment
	}
	w.buf = append(append(w.buf[:0], make([]byte, frame.HeaderSize)...), payload...)
	h.Log, h.Segment, h.Position = w.number, w.active.Number, uint64(w.position)
	h.Put(w.buf, w.active.Seed, w.chain)
	w.time = max(w.time, h.Time)
	return w.write(&h, h.Size())
}

// lost keeps the place of records from the end up to an offset.
func (w *logWriter) lost(next uint64) error {
	for w.end < next {
		n := min(next-w.end, math.MaxInt32)
		if w.active == nil || w.end+n-w.active.Base > math.MaxInt32 {
			if err := w.roll(w.end, w.time); err != nil {
				return err
			}
			w.source = 0
		}
		h := frame.Header{
			Log: w.number, Segment: w.active.Number, Base: w.end, Count: uint32(n),
			Position: uint64(w.position), Time: w.time,
		}
		w.buf, h = segment.Lost(w.buf[:0], h, w.active.Seed, w.chain)
		if err := w.write(&h, h.Size()); err != nil {
			return err
		}
	}
	return nil
}

func (w *logWriter) write(h *frame.Header, size int) error {
	for len(w.buf) < size {
		w.buf = append(w.buf, 0)
	}
	if w.active.Buffer(w.buf, w.position) >= segment.FlushSize {
		if err := w.active.Flush(); err != nil {
			return err
		}
	}
	w.active.Added(h.Base, w.position)
	w.position += int64(size)
	w.written += int64(size)
	w.chain, w.end = h.Chain, h.Next()
	return nil
}

// roll begins the next segment.
func (w *logWriter) roll(base uint64, created int64) error {
	if err := w.seal(); err != nil {
		return err
	}
	var nonce [8]byte
	w.random(nonce[:])
	spec := segment.Spec{
		Log: w.number, Number: uint32(len(w.segments) + 1), Base: base, Chain: w.chain, Created: max(created, w.time),
		Nonce: (&tableReader{b: nonce[:]}).u64(),
	}
	w.active = w.set.New(spec)
	w.position = segment.HeaderSize
	w.segments = append(w.segments, segmentRow{spec: spec})
	w.active.Begin()
	return nil
}

// seal ends the active segment, durably.
func (w *logWriter) seal() error {
	if w.active == nil {
		return nil
	}
	w.segments[len(w.segments)-1].end = w.position
	if err := w.active.Persist(); err != nil {
		return err
	}
	return w.active.Seal(w.position)
}

// row ends the log, durably.
func (w *logWriter) row(m meta) (row, error) {
	if w.active != nil {
		if err := w.active.Persist(); err != nil {
			return row{}, err
		}
		// What was synced is never written again, as after any checkpoint.
		w.position = vfs.AlignUp(w.position)
		w.segments[len(w.segments)-1].end = 0
	}
	return row{meta: m, next: w.end, time: w.time, chain: w.chain, position: w.position, segments: w.segments}, nil
}

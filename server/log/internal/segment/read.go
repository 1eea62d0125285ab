package segment

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
	"github.com/proglog/proglog/server/log/internal/frame"
)

const (
	smallRead = IndexStride + frame.HeaderSize + frame.TargetPayload
	largeRead = 256 << 10
	firstWalk = smallRead
)

// What reads read into, of all sets: a pool of each set would keep the memory of
// sets that are gone for two collections more.
var (
	smallReads = sync.Pool{New: func() any { b := make([]byte, smallRead); return &b }}
	largeReads = sync.Pool{New: func() any { b := make([]byte, largeRead); return &b }}
)

// A walker steps through the frames of a segment.
type walker struct {
	g   *Segment
	pos int64 // of the next frame; 0: the first
	end int64 // where frames end

	buf   []byte
	start int64 // position of buf
}

// bytes returns at least n bytes at a position, or all there are.
func (w *walker) bytes(pos int64, n int) ([]byte, error) {
	if pos >= w.start && pos+int64(n) <= w.start+int64(len(w.buf)) {
		return w.buf[pos-w.start:], nil
	}
	// Small at first: most walks are over small stores, or a few frames.
	if want := min(max(firstWalk, 4*cap(w.buf)), largeRead); cap(w.buf) < max(n, want) {
		w.buf = make([]byte, max(n, want))
	}
	b, err := w.g.readAt(w.buf[:cap(w.buf)], pos)
	if err != nil {
		return nil, fmt.Errorf("read %s at position %d: %w", w.g.Name(), pos, err)
	}
	w.buf, w.start = b, pos
	return b, nil
}

// next returns the next frame's header and position, nil at the end. What is no
// frame it steps over, to the next place where one begins.
func (w *walker) next() (*frame.Header, int64, error) {
	if w.pos == 0 {
		w.pos = HeaderSize
	}
	for w.pos+frame.HeaderSize <= w.end {
		b, err := w.bytes(w.pos, frame.HeaderSize)
		if err != nil {
			return nil, 0, err
		}
		if len(b) < frame.HeaderSize {
			return nil, 0, nil
		}
		h, err := w.g.parse(b, w.pos)
		if err == nil {
			pos := w.pos
			w.pos += int64(h.Size())
			return &h, pos, nil
		}
		w.pos += frame.Align
	}
	return nil, 0, nil
}

// Read appends to out the envelopes of the records from an offset on, up to but
// not including the offset limit: either the log's durable end or the segment's
// own. It returns the offset after the last, which is limit unless max was
// reached first. The error is *commitlog.DamagedError if not even one record
// could be had.
func (g *Segment) Read(out []byte, from, limit uint64, max commitlog.ReadLimit) ([]byte, uint64, error) {
	run, next, err := g.read(out, from, limit, max)
	if damage := (*commitlog.DamagedError)(nil); errors.As(err, &damage) && !bug.On(bug.IndexTrusted) && g.distrust() {
		return g.read(out, from, limit, max)
	}
	return run, next, err
}

// Passing says whether an error is the machine's, not the file's: it says
// nothing about what the disk holds, and the read can be tried again.
func Passing(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EINTR)
}

func (g *Segment) read(out []byte, from, limit uint64, max commitlog.ReadLimit) ([]byte, uint64, error) {
	offset, pos, indexed, err := g.lookup(from)
	if Passing(err) {
		return out, from, fmt.Errorf("%w: %w", commitlog.ErrOverloaded, err)
	}
	if err != nil {
		return out, from, &commitlog.DamagedError{First: from, Next: limit, Cause: err}
	}
	// One record is before the next indexed frame; many take large strides.
	one := max.Records == 1 || limit-from == 1
	want := int64(largeRead)
	switch {
	case one && indexed > pos:
		want = min(indexed-pos, largeRead)
	case one, max.Bytes > 0 && max.Bytes < smallRead:
		want = smallRead
	}
	pool := &smallReads
	if want > smallRead {
		pool = &largeReads
	}
	scratch := pool.Get().(*[]byte)
	defer pool.Put(scratch)
	chunk := (*scratch)[:want]
	r := reader{g: g, out: out, from: from, at: from, limit: limit, max: max}
	for offset < limit && !r.full {
		n, next, err := r.step(chunk, pos, offset)
		pos, offset = pos+int64(n), next
		if err == nil {
			chunk = *scratch // if there is more to read, it is behind what was indexed
			continue
		}
		if r.at > from {
			break // the next read begins at the damage, and tells
		}
		if Passing(err) {
			return out, from, fmt.Errorf("%w: %w", commitlog.ErrOverloaded, err)
		}
		damage, behind := g.damage(offset, limit, pos, err)
		if damage.Next > from {
			return out, from, damage
		}
		pos, offset = behind, damage.Next // it is all before what is wanted
	}
	return r.out, r.at, nil
}

// A reader is one Read under way.
type reader struct {
	g     *Segment
	out   []byte
	from  uint64
	at    uint64 // the next offset to append
	limit uint64
	max   commitlog.ReadLimit
	bytes int // of envelopes appended
	full  bool
}

// step takes what follows at a position, where the frame of an offset should be.
// It returns how many bytes it took, and the offset of what follows.
func (r *reader) step(scratch []byte, pos int64, offset uint64) (n int, next uint64, err error) {
	chunk, err := r.g.readAt(scratch, pos)
	if err != nil {
		return 0, offset, err
	}
	n, next, err = r.frames(chunk, pos, offset)
	if n == 0 && err == nil { // the first frame is larger than the chunk
		return r.largeFrame(pos, offset)
	}
	return n, next, err
}

// frames takes whole frames off a chunk.
func (r *reader) frames(chunk []byte, pos int64, offset uint64) (n int, next uint64, err error) {
	for offset < r.limit && !r.full {
		rest := chunk[n:]
		if len(rest) < frame.HeaderSize {
			if n > 0 {
				return n, offset, nil // the next chunk has it
			}
			return n, offset, frame.ErrShort
		}
		if at := pos + int64(n); frame.IsZero(rest) && at%vfs.BlockSize != 0 {
			if err := r.g.checkGap(at); err != nil {
				return n, offset, err
			}
			n += int(vfs.AlignUp(at) - at)
			if n > len(chunk) {
				return n, offset, nil
			}
			continue
		}
		h, err := r.g.parse(rest, pos+int64(n))
		if err == nil && h.Base != offset {
			err = fmt.Errorf("it begins at offset %d where %d should be", h.Base, offset)
		}
		if err != nil {
			return n, offset, err
		}
		if h.Next() > r.at {
			if len(rest) < h.Size() {
				return n, offset, nil
			}
			if err := r.take(&h, rest); err != nil {
				return n, offset, err
			}
		}
		n += h.Size()
		offset = h.Next()
		if n >= len(chunk) {
			return n, offset, nil
		}
	}
	return n, offset, nil
}

// checkGap says whether there are only zeros up to the next block, where frames
// go on after a checkpoint. Anything else that begins with zeros is damage.
func (g *Segment) checkGap(pos int64) error {
	gap, err := g.readAt(make([]byte, vfs.AlignUp(pos)-pos), pos)
	if err != nil {
		return err
	}
	for _, c := range gap {
		if c != 0 {
			return frame.ErrMagic
		}
	}
	return nil
}

// largeFrame takes a frame that is larger than a chunk.
func (r *reader) largeFrame(pos int64, offset uint64) (n int, next uint64, err error) {
	head, err := r.g.readAt(make([]byte, frame.HeaderSize), pos)
	if err != nil {
		return 0, offset, err
	}
	h, err := r.g.parse(head, pos)
	if err != nil {
		return 0, offset, err
	}
	b, err := r.g.readAt(make([]byte, h.Size()), pos)
	if err != nil {
		return 0, offset, err
	}
	if err := r.take(&h, b); err != nil {
		return 0, offset, err
	}
	return h.Size(), h.Next(), nil
}

// ErrLost is the cause of a damaged range that a repair could not copy from the
// directory that it repaired. What damage there was is gone; the records are too.
var ErrLost = errors.New("these records were lost before a repair, which kept their place")

// take appends the records of a frame, as far as the limits go.
func (r *reader) take(h *frame.Header, b []byte) error {
	if h.Kind == frame.Lost {
		return ErrLost
	}
	payload, err := h.Payload(b)
	if err != nil {
		return err
	}
	envelopes := payload[h.Aux:]
	end := h.Next()
	if r.at == h.Base && end <= r.limit &&
		(r.max.Records == 0 || end-r.from <= uint64(r.max.Records)) &&
		(r.max.Bytes == 0 || r.bytes+len(envelopes) <= r.max.Bytes) {
		r.out = append(r.out, envelopes...)
		r.bytes += len(envelopes)
		r.at = end
		r.full = r.max.Records != 0 && r.at-r.from == uint64(r.max.Records)
		return nil
	}
	for offset := h.Base; offset < end && offset < r.limit; offset++ {
		envelope, rest, err := commitlog.CutEnvelope(envelopes)
		if err != nil {
			return err
		}
		envelopes = rest
		if offset < r.at {
			continue
		}
		if r.at > r.from &&
			(r.max.Records != 0 && r.at-r.from >= uint64(r.max.Records) ||
				r.max.Bytes != 0 && r.bytes+len(envelope) > r.max.Bytes) {
			r.full = true
			return nil
		}
		r.out = append(r.out, envelope...)
		r.bytes += len(envelope)
		r.at = offset + 1
	}
	return nil
}

// A placeError says where in a store something is wrong.
type placeError struct {
	name  string
	pos   int64
	cause error
}

func (e *placeError) Error() string {
	return fmt.Sprintf("%s at position %d: %v", e.name, e.pos, e.cause)
}

func (e *placeError) Unwrap() error { return e.cause }

// PositionOf returns the position in its store at which damage begins.
func PositionOf(d *commitlog.DamagedError) int64 {
	if place := (*placeError)(nil); errors.As(d.Cause, &place) {
		return place.pos
	}
	return 0
}

// damage finds out how far the damage at a position goes: from the offset that
// should be there to the next frame that is whole, or to the limit. It also
// returns where that frame is. If that is the frame of the offset, only bytes
// between frames are damaged, and the range is empty.
func (g *Segment) damage(offset, limit uint64, pos int64, cause error) (d *commitlog.DamagedError, behind int64) {
	d = &commitlog.DamagedError{First: offset, Next: limit, Cause: &placeError{g.Name(), pos, cause}}
	w := walker{g: g, pos: pos, end: maxPosition}
	for {
		h, at, err := w.next()
		if err != nil || h == nil {
			return d, maxPosition
		}
		if h.Base > offset {
			d.Next = min(h.Base, limit)
			return d, at
		}
		if h.Base == offset && h.Kind == frame.Lost {
			d.Next = min(h.Next(), limit)
			return d, at + int64(h.Size())
		}
		// The frame of the offset itself: its header is whole, its payload not.
		if b, err := w.bytes(at, h.Size()); h.Base == offset && err == nil {
			if _, err := h.Payload(b); err != nil {
				d.Next = min(h.Next(), limit)
				return d, at + int64(h.Size())
			}
			if at > pos {
				d.Next = offset
				return d, at
			}
		}
	}
}

// maxPosition is beyond the end of every store.
const maxPosition = 1 << 32

package log

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// A recovery replays the journal behind a table. It checks every frame against
// what must come next in its log, and writes it to the very place where it was
// meant to be. It can be cut off anywhere and begun again: it changes neither
// the table nor the journal, and of a segment only what is behind the table's
// end.
type recovery struct {
	engine   *Engine
	dry      bool // only checks
	byNumber map[uint64]*Log
	numbers  uint64        // given to logs
	full     bool          // no space for segments
	cut      map[*Log]bool // their last segment was shortened to the table's end
	group    inGroup
}

// newRecovery takes over the rows of the table.
func newRecovery(e *Engine, t *table) *recovery {
	r := &recovery{engine: e, byNumber: map[uint64]*Log{}, numbers: t.logs, cut: map[*Log]bool{}}
	for i := range t.rows {
		w := &t.rows[i]
		l := e.newLog(w.meta)
		l.end, l.time, l.chain, l.position = w.next, w.time, w.chain, w.position
		l.saved.Store(w.next)
		l.producers.read(&tableReader{b: w.producers})
		for k := range w.segments {
			s := &w.segments[k]
			end := s.end
			if k == len(w.segments)-1 {
				end = w.position
			}
			l.segments = append(l.segments, sealable{e.segments.Existing(s.spec, end), s.end})
		}
		r.byNumber[w.meta.number] = l
	}
	return r
}

// finish hands the logs to the engine, in the order of their numbers.
func (r *recovery) finish() {
	e := r.engine
	e.numbers = r.numbers
	e.logs = slices.SortedFunc(maps.Values(r.byNumber), func(a, b *Log) int { return cmp.Compare(a.number, b.number) })
	for _, l := range e.logs {
		if l.deleted() {
			e.graves[l.name] = l
		} else {
			e.names[l.name] = l
		}
		l.publish()
	}
	for _, g := range e.garbage {
		g.Discard() // sweep finds its files
	}
	e.garbage = nil
	r.reportMissing()
}

// reportMissing warns of segments that are gone. Their records are DATA_LOSS;
// all others can be read.
func (r *recovery) reportMissing() {
	e := r.engine
	names, err := e.fs.ReadDir(segmentsDir)
	if err != nil {
		e.options.Logger.Warn("cannot list segments", "error", err)
		return
	}
	there := make(map[string]bool, len(names))
	for _, n := range names {
		there[n] = true
	}
	for _, l := range e.logs {
		for i, s := range l.segments {
			if there[s.Name()] || !s.Made() {
				continue
			}
			next := l.end
			if i+1 < len(l.segments) {
				next = l.segments[i+1].Base
			}
			l.lost = i == len(l.segments)-1
			e.options.Logger.Error("a segment is missing: its records are lost", "log", l.meta.name, "file", s.Name(), "first", s.Base, "next", next)
		}
	}
}

// stakes are the logs as far as the frames so far tell, each with the end that it
// has by them.
func (r *recovery) stakes() (stakes []Stake) {
	for _, l := range r.byNumber {
		if !l.deleted() {
			stakes = append(stakes, Stake{Log: l.name, From: l.end})
		}
	}
	return sortStakes(stakes)
}

// errMismatch reports whole frames that cannot follow from what was before. No
// crash leaves them.
var errMismatch = errors.New("the journal does not fit its logs")

// replay applies the frames of one group.
func (r *recovery) replay(frames []byte) error {
	r.group = inGroup{}
	for len(frames) > 0 {
		h, err := frame.Peek(frames)
		if err != nil {
			return err
		}
		b := frames[:h.Size()]
		frames = frames[h.Size():]
		payload := b[frame.HeaderSize : frame.HeaderSize+int(h.Length)]
		switch {
		case h.Kind == frame.Records && r.group.drops(&h):
		case h.Kind == frame.Records:
			err = r.records(&h, b)
		case h.Kind == frame.Meta:
			err = r.meta(payload)
		case h.Kind == frame.Roll:
			err = r.roll(&h, payload)
		case h.Kind >= frame.Optional:
			// Of a later version, which says that it can be left out.
		default:
			err = fmt.Errorf("frame kind %d is of a later version", h.Kind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *recovery) meta(payload []byte) error {
	in := tableReader{b: payload}
	m := readMeta(&in)
	if in.bad {
		return fmt.Errorf("%w: a log's settings are damaged, or of a later version", errMismatch)
	}
	l := r.byNumber[m.number]
	if l == nil {
		l = r.engine.newLog(m)
		r.byNumber[m.number] = l
		r.numbers = max(r.numbers, m.number)
	}
	l.set(m)
	return nil
}

func (r *recovery) roll(h *frame.Header, payload []byte) error {
	in := tableReader{b: payload}
	spec := readSpec(&in, h.Log)
	l := r.byNumber[h.Log]
	if in.bad || l == nil || spec.Base != l.end || spec.Chain != l.chain || int(spec.Number) != r.lastNumber(l)+1 {
		return fmt.Errorf("%w: segment %d of log %d does not follow from what was before", errMismatch, spec.Number, h.Log)
	}
	before, end := l.active(), l.position
	g := r.engine.segments.New(spec)
	l.addSegment(g)
	if r.dry {
		return nil
	}
	if before != nil {
		r.engine.dirty.sealed = append(r.engine.dirty.sealed, sealable{before, end})
	}
	g.Begin()
	r.cut[l] = true
	r.engine.dirty.list(g)
	return nil
}

func (r *recovery) lastNumber(l *Log) int {
	if g := l.active(); g != nil {
		return int(g.Number)
	}
	return 0
}

// records puts a frame where it belongs.
func (r *recovery) records(h *frame.Header, b []byte) error {
	l := r.byNumber[h.Log]
	if l == nil || l.active() == nil {
		return fmt.Errorf("%w: log %d is not known", errMismatch, h.Log)
	}
	g := l.active()
	if _, err := frame.Parse(b, g.Seed); err != nil {
		return fmt.Errorf("%w: log %d: %w", errMismatch, h.Log, err)
	}
	if h.Segment == g.Number && h.Position == uint64(vfs.AlignUp(l.position)) {
		l.position = vfs.AlignUp(l.position) // a checkpoint that was not completed made its cut here
	}
	if h.Base != l.end || h.Segment != g.Number || h.Position != uint64(l.position) || !frame.CheckChain(b, l.chain) {
		return fmt.Errorf("%w: log %d: a frame at offset %d, segment %d, position %d does not follow from offset %d, segment %d, position %d",
			errMismatch, h.Log, h.Base, h.Segment, h.Position, l.end, g.Number, l.position)
	}
	if h.Flags&frame.Producer != 0 {
		block, err := readProducerBlock(b[frame.HeaderSize:][:h.Aux])
		if err != nil {
			return err
		}
		if !r.group.forgets(block.id) {
			l.producers.learn(block, h.Base, h.Time, r.engine.options.Dedup)
		}
	}
	position := l.position
	l.position += int64(h.Size())
	l.end, l.chain, l.time, l.touched = h.Next(), h.Chain, h.Time, true
	if r.dry {
		return nil
	}
	return r.write(l, h.Base, b, position)
}

// write gives a frame to the segment, which is cut off there first, once.
func (r *recovery) write(l *Log, base uint64, b []byte, position int64) error {
	g := l.active()
	if !r.cut[l] {
		r.cut[l] = true
		if err := r.reopen(l, g.Cut(position)); err != nil {
			return err
		}
	}
	r.engine.dirty.list(g)
	size := g.Buffer(b, position)
	g.Added(base, position)
	return r.bound(g, size)
}

// bound keeps the memory and the open files of a recovery in bounds. The journal
// still has all that goes to segments, so a torn later write of a block that was
// synced is made good from it.
func (r *recovery) bound(g *segment.Segment, size int) error {
	e := r.engine
	var err error
	switch {
	case r.full:
	case e.tails.over() || e.segments.Pinned() >= int64(e.options.OpenFiles):
		list := e.dirty.take()
		unlistLate(list)
		if err = e.persist(list); err != nil {
			for _, g := range list {
				e.dirty.list(g)
			}
		}
	case size >= e.options.flushBytes:
		err = g.Flush()
	}
	if isFull(err) {
		r.full, err = true, nil // it stays in memory until there is room
	}
	return err
}

// reopen deals with an active segment whose file is gone: its records are lost,
// and reported, but what comes after them is not.
func (r *recovery) reopen(l *Log, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		l.active().Replace()
		return nil
	}
	return err
}

package log

import (
	"bytes"
	"errors"
	"fmt"
	"iter"

	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// A logRepair copies one log: at each offset it takes the frame that the segment
// has there, or the journal, and where neither has one it keeps the place.
type logRepair struct {
	*repair
	log    *sourceLog
	out    logWriter
	report RepairedLog

	begun bool       // a frame was taken
	at    uint64     // the offset that is next to be found
	held  *heldFrame // taken, not yet written: the next frame may show that it is a wrong one
	bad   []badPlace // damage seen since the last frame
	chain uint32     // of the held frame, or the last one
	known bool       // chain is that of the record before at
	early uint64     // records of frames from before the table's cut
}

// A heldFrame is a frame with its bytes.
type heldFrame struct {
	frame.Header
	raw  []byte
	file string
	pos  int64
}

// A badPlace is where bytes are no frame.
type badPlace struct {
	file     string
	position int64
	why      string
}

// copyLog copies a log and returns its row of the new table.
func (r *repair) copyLog(l *sourceLog, id [16]byte) (row, error) {
	c := &logRepair{
		repair: r, log: l, at: l.meta.first,
		report: RepairedLog{Log: l.meta.name, First: l.meta.first, Notes: l.notes},
	}
	set := segment.NewSet(r.to, segmentsDir, id, 4, 1<<20)
	c.out = logWriter{set: set, random: r.random, number: l.number, end: l.meta.first}
	if l.row != nil {
		c.out.time = l.row.time
	}
	w, err := c.run()
	if err = errors.Join(err, set.Close()); err != nil {
		return row{}, fmt.Errorf("copy %s: %w", shownLog(l.meta.name), err)
	}
	return w, nil
}

func (c *logRepair) run() (row, error) {
	l := c.log
	m := l.meta
	c.random(m.id[:])
	if m.flags&metaDeleted != 0 {
		w, err := c.out.row(m)
		if l.row != nil {
			w.next = max(w.next, l.row.next)
		}
		return w, err
	}
	created := c.out.time
	c.out.time = 0
	if err := c.frames(); err != nil {
		return row{}, err
	}
	if err := c.finish(); err != nil {
		return row{}, err
	}
	c.out.time = max(c.out.time, created)
	w, err := c.out.row(m)
	w.producers = l.producers.append(nil, c.out.time, l.window())
	c.report.Next = c.out.end
	if c.early > 0 {
		c.report.Notes = append(c.report.Notes, fmt.Sprintf("its segments no longer hold %d of its records as they were written; they were taken from the journal, whose files still had them", c.early))
	}
	c.source.report.Logs = append(c.source.report.Logs, c.report)
	c.source.report.Bytes += c.out.written
	return w, err
}

// frames takes frame after frame from segments and journal, by offset.
func (c *logRepair) frames() error {
	next, stop := iter.Pull2(c.segmentFrames())
	defer stop()
	s, err, more := next()
	frames := c.log.frames
	for {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err != nil {
			return err
		}
		for len(frames) > 0 && !c.wanted(&frames[0].Header) {
			frames = frames[1:]
		}
		if more && !c.wanted(&s.Header) {
			s, err, more = next()
			continue
		}
		switch {
		case !more && len(frames) == 0:
			return nil
		case len(frames) > 0 && (!more || frames[0].Base < s.Base || frames[0].Base == s.Base && c.better(&frames[0], s)):
			f, ok, err := c.journalFrame(&frames[0])
			frames = frames[1:]
			if err != nil {
				return err
			}
			if ok {
				if err := c.take(f, false); err != nil {
					return err
				}
			}
		default:
			if err := c.take(s, true); err != nil {
				return err
			}
			s, err, more = next()
		}
	}
}

// wanted says whether a frame holds what is next to be found, or something
// behind it.
func (c *logRepair) wanted(h *frame.Header) bool {
	return h.Next() > c.at && (h.Base >= c.at || !c.begun)
}

// follows says whether a frame's chain continues that of the record before it,
// as far as that can be told.
func (c *logRepair) follows(raw []byte) bool {
	return !c.known || frame.CheckChain(raw, c.chain)
}

// better says whether the journal's frame, not the segment's of the same offset,
// is the one that belongs there.
func (c *logRepair) better(f *journalFrame, s *heldFrame) bool {
	if f.early {
		return f.Chain != s.Chain
	}
	return !c.follows(s.raw) && !f.weak
}

// journalFrame reads a frame of the journal; ok is false if it is not to be
// trusted.
func (c *logRepair) journalFrame(f *journalFrame) (h *heldFrame, ok bool, err error) {
	b, err := c.source.body(f.place)
	if err != nil {
		return nil, false, err
	}
	raw := b[f.at:][:f.Size()]
	if f.weak && (f.Base != c.at || !c.follows(raw)) || f.early && f.Base == c.at && !c.follows(raw) {
		return nil, false, nil
	}
	if f.early {
		c.early += f.Next() - max(f.Base, c.report.First)
	}
	c.read(int64(len(raw)))
	return &heldFrame{Header: f.Header, raw: bytes.Clone(raw), file: f.place.file, pos: f.place.position + int64(f.at)}, true, nil
}

// segmentFrames are the whole frames of all segments of the log.
func (c *logRepair) segmentFrames() iter.Seq2[*heldFrame, error] {
	return func(yield func(*heldFrame, error) bool) {
		list := c.log.sortedSegments()
		for i, g := range list {
			path := segmentsDir + "/" + g.name
			if file := c.source.fs.real(path); file != "" {
				path = file
			}
			if i+1 < len(list) && list[i+1].Base <= c.log.meta.first {
				continue // all of it is trimmed
			}
			if c.at >= g.Base {
				c.bad = nil // that the one before ends is as it should be
			}
			if !g.there && c.source.waits(c.log, g) {
				continue // nothing was in it that the journal does not have
			}
			if !g.there {
				c.bad = append(c.bad, badPlace{path, 0, "the file is missing"})
				continue
			}
			on := true
			err := c.source.set.Existing(g.Spec, g.size).Pieces(func(p *segment.Piece) bool {
				c.read(p.Size)
				if p.Err != nil {
					c.bad = append(c.bad, badPlace{path, p.Position, p.Err.Error()})
					return true
				}
				on = yield(&heldFrame{Header: p.Header, raw: bytes.Clone(p.Raw), file: path, pos: p.Position}, nil)
				return on
			})
			if err != nil && on {
				on = yield(nil, err)
			}
			if !on {
				return
			}
			c.bad = append(c.bad, badPlace{path, g.size, "the file ends there"})
		}
	}
}

// take takes the frame that comes next. The one before is written once this one
// does not show that it is a wrong one.
func (c *logRepair) take(f *heldFrame, fromSegment bool) error {
	if c.held != nil && f.Base == c.at && !frame.CheckChain(f.raw, c.held.Chain) {
		c.drop("the frame behind it does not follow from it: it is not the one that was written there last")
	}
	if err := c.release(); err != nil {
		return err
	}
	if c.begun || f.Base > c.at {
		if err := c.lose(f.Base); err != nil {
			return err
		}
	}
	c.begun = true
	c.held = f
	if fromSegment {
		c.bad = nil
	}
	c.at, c.chain, c.known = f.Next(), f.Chain, true
	return nil
}

// drop gives up the held frame.
func (c *logRepair) drop(why string) {
	c.bad = append([]badPlace{{c.held.file, c.held.pos, why}}, c.bad...)
	c.held = nil
}

// release writes the held frame, if what else is known of the log's chain does
// not speak against it.
func (c *logRepair) release() error {
	f := c.held
	if f == nil {
		return nil
	}
	if chain, told := c.log.chains[f.Next()]; told && chain != f.Chain {
		c.drop("the log does not go on from it as checkpoint and journal say: it is not the one that was written there last")
		return nil
	}
	c.held = nil
	if f.Kind == frame.Lost {
		c.report.Before = append(c.report.Before, LostRange{First: max(f.Base, c.report.First), Next: f.Next(), File: f.file, Position: f.pos, Cause: segment.ErrLost.Error()})
		return c.out.lost(f.Next())
	}
	payload := f.raw[frame.HeaderSize:][:f.Length]
	c.learn(f, payload)
	c.report.Records += f.Next() - max(f.Base, c.report.First)
	if err := c.out.frame(f.Header, payload); err != nil {
		return err
	}
	return nil
}

// learn remembers the producer of a batch that is behind what the table knows.
func (c *logRepair) learn(f *heldFrame, payload []byte) {
	if f.Flags&frame.Producer == 0 || c.log.row != nil && f.Base < c.log.row.next {
		return
	}
	if block, err := readProducerBlock(payload[:f.Aux]); err == nil {
		c.log.producers.learn(block, f.Base, f.Time, c.log.window())
	}
}

// lose keeps the place of all records up to an offset that were not found.
func (c *logRepair) lose(next uint64) error {
	first := c.out.end
	if first >= next {
		return nil
	}
	c.known = false
	lost := LostRange{First: first, Next: next, File: segmentsDir, Cause: "they are in no file"}
	if at, told := c.lostAt(first); told {
		lost.File, lost.Position, lost.Cause = at.file, at.position, at.why
	}
	c.report.Lost = append(c.report.Lost, lost)
	return c.out.lost(next)
}

// finish keeps the place of what was lost at the end.
func (c *logRepair) finish() error {
	if err := c.release(); err != nil {
		return err
	}
	end := max(c.at, c.log.meta.first)
	if c.log.row != nil {
		end = max(end, c.log.row.next)
	}
	for _, g := range c.log.segments {
		end = max(end, g.Base)
	}
	return c.lose(end)
}

package audit

import (
	"errors"
	"fmt"
	"iter"

	proglog "github.com/proglog/proglog/sdk/go"
)

// A Kind says what is wrong with a log.
type Kind string

// What can be wrong.
const (
	Lost       Kind = "lost"        // an acknowledged record is not in the log
	Duplicate  Kind = "duplicate"   // a record is in the log twice
	Reordered  Kind = "reordered"   // a record is before one that came before it
	Changed    Kind = "changed"     // an offset has other bytes than it had, or than were sent
	Torn       Kind = "torn"        // a part of a batch is in the log
	Unwanted   Kind = "unwanted"    // a record is in the log that was refused, or never sent
	Gap        Kind = "gap"         // an offset was left out
	Misplaced  Kind = "misplaced"   // an acknowledged record is at another offset than told
	NotDurable Kind = "not durable" // what a tail has read is gone
	Removed    Kind = "removed"     // records went that no trim and no retention may remove
)

// A Violation is a promise that the log did not keep.
type Violation struct {
	Kind Kind
	Text string
}

// Error returns kind and text.
func (v *Violation) Error() string { return string(v.Kind) + ": " + v.Text }

// Is tells violations apart by their kind alone.
func (v *Violation) Is(target error) bool {
	other, ok := target.(*Violation)
	return ok && other.Kind == v.Kind
}

// Incomplete tells that a check did not read all of the log, so that it cannot say
// whether anything is lost.
type Incomplete struct {
	First, Next uint64 // the log's bounds, as it told them
	Read        uint64 // one past the last offset that was read
	Cause       error
}

// Error says how far the reading came.
func (e *Incomplete) Error() string {
	return fmt.Sprintf("the audit cannot say: of offsets %d to %d it read up to %d: %v", e.First, e.Next, e.Read, e.Cause)
}

// Unwrap returns the cause.
func (e *Incomplete) Unwrap() error { return e.Cause }

// A Reading is what a log has.
type Reading struct {
	First, Next uint64                           // its bounds, as it tells them after the last acknowledgement
	Bytes       uint64                           // its size, as it tells it
	Records     iter.Seq2[proglog.Record, error] // from First up to Next
}

// A Report counts what a check looked at.
type Report struct {
	Records uint64 // in the log
	Acked   uint64 // of those since the check before
	Found   uint64 // requests whose outcome was unknown, and that are in the log
	Absent  uint64 // and those that are not
	Seen    uint64 // by tails
}

// maxViolations is how many violations a check tells one by one.
const maxViolations = 8

// check is the state of one Check.
type check struct {
	h        *History
	r        Reading
	found    []Key
	broken   []error
	more     int
	maxSent  int64 // latest time at which a request was sent that is in the log so far
	lastOp   map[uint32]uint32
	report   Report
	scratch  []byte
	finished bool
}

// Check holds the history against what the log has. It returns all [*Violation]s
// that it finds, or an [*Incomplete] if the reading ended early. After a check
// without an error, what was found is known, and what was not must not appear
// any more; writers and tails are forgotten. No writer and no tail may run.
func (h *History) Check(r Reading) (Report, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &check{h: h, r: r, lastOp: map[uint32]uint32{}}
	h.forgetFound()
	c.checkFirst()
	cause := c.read()
	if !c.finished {
		c.broken = append(c.broken, &Incomplete{First: r.First, Next: r.Next, Read: r.First + uint64(len(c.found)), Cause: cause})
		return c.report, errors.Join(c.broken...)
	}
	c.checkKnown()
	c.checkWriters()
	c.checkTails()
	if c.more > 0 {
		c.broken = append(c.broken, fmt.Errorf("and %d more", c.more))
	}
	if len(c.broken) > 0 {
		return c.report, errors.Join(c.broken...)
	}
	h.known, h.knownFirst = c.found, r.First
	clear(h.writers)
	h.tails = nil
	return c.report, nil
}

// forgetFound undoes what a check noted that was incomplete.
func (h *History) forgetFound() {
	for _, w := range h.writers {
		for i := range w.ops {
			w.ops[i].found, w.ops[i].at = 0, 0
		}
	}
}

func (c *check) violated(kind Kind, format string, args ...any) {
	if len(c.broken) >= maxViolations {
		c.more++
		return
	}
	c.broken = append(c.broken, &Violation{Kind: kind, Text: fmt.Sprintf(format, args...)})
}

// retentionSlack is how many bytes less than it may a log keep: what retention
// takes at once, and the largest record.
const retentionSlack = 64<<10 + Largest

// checkFirst holds the first offset against what was asked for.
func (c *check) checkFirst() {
	h := c.h
	kept := h.maxBytes > 0 && c.r.Bytes+retentionSlack >= h.maxBytes
	switch {
	case c.r.First < h.knownFirst || c.r.First < h.trimmed:
		c.violated(Removed, "the first offset is %d, after it was %d and a trim to %d", c.r.First, h.knownFirst, h.trimmed)
	case c.r.First > h.knownFirst && c.r.First > h.mayTrim && !kept:
		c.violated(Removed, "the first offset is %d, it was %d, and no more than a trim to %d was asked for; retention is %d bytes, and %d are there",
			c.r.First, h.knownFirst, h.mayTrim, h.maxBytes, c.r.Bytes)
	}
}

// read reads the whole log. It returns why it could not.
func (c *check) read() error {
	next := c.r.First
	for record, err := range c.r.Records {
		if err != nil {
			return err
		}
		if record.Offset != next {
			c.violated(Gap, "offset %d follows on %d", record.Offset, next)
			return errors.New("the offsets have a gap")
		}
		k, scratch, err := identify(c.h.run, &record, c.scratch)
		c.scratch = scratch
		if err != nil {
			c.violated(Changed, "the record at offset %d: %v", record.Offset, err)
			k = ^Key(0)
		}
		c.found = append(c.found, k)
		next++
		if err == nil && next > c.h.knownFirst+uint64(len(c.h.known)) {
			c.place(k, record.Offset)
		}
	}
	if next != c.r.Next {
		return errors.New("the reading ended")
	}
	c.finished = true
	c.report.Records = uint64(len(c.found))
	return nil
}

// place notes where a record is that no check has found before.
func (c *check) place(k Key, offset uint64) {
	w := c.h.writers[k.writer()]
	if w == nil || int(k.op()) >= len(w.ops) || k.place() >= int(w.ops[k.op()].records) {
		c.violated(Unwanted, "at offset %d is %v, which was not under way: a check before did not find it, or nobody sent it", offset, k)
		return
	}
	o := &w.ops[k.op()]
	if o.found == 0 && offset == c.r.First && uint64(k.place()) <= offset { // what is before it was removed
		o.found, o.at = uint8(k.place()), offset-uint64(k.place())
	}
	switch {
	case o.state == refused:
		c.violated(Unwanted, "at offset %d is %v, and its writer was told that nothing was appended", offset, k)
	case k.place() < int(o.found):
		c.violated(Duplicate, "at offset %d is %v, and at %d already", offset, k, o.at+uint64(k.place()))
		return
	case k.place() > int(o.found) || o.found > 0 && o.at+uint64(o.found) != offset:
		c.violated(Torn, "at offset %d is %v, but the record before it is not before it", offset, k)
		return
	case o.state == acked && o.offset+uint64(k.place()) != offset:
		c.violated(Misplaced, "at offset %d is %v, and its ack told %d", offset, k, o.offset+uint64(k.place()))
	}
	if o.found == 0 {
		o.at = offset
	}
	if o.found++; o.at != offset && offset != c.r.First {
		return
	}
	if o.state == acked && o.done < c.maxSent {
		c.violated(Reordered, "at offset %d is %v, behind a request that was sent after its ack", offset, k)
	}
	c.maxSent = max(c.maxSent, o.sent)
	if last, some := c.lastOp[w.id]; some && w.ordered && last > k.op() {
		c.violated(Reordered, "at offset %d is %v, behind request %d of the same writer", offset, k, last)
	}
	c.lastOp[w.id] = k.op()
}

// checkKnown holds what earlier checks found against what is there.
func (c *check) checkKnown() {
	h := c.h
	for i, k := range h.known {
		offset := h.knownFirst + uint64(i)
		switch {
		case offset < c.r.First:
		case offset >= c.r.Next:
			c.violated(Lost, "offset %d, which was there before: the log ends at %d", offset, c.r.Next)
		case c.found[offset-c.r.First] != k:
			c.violated(Changed, "offset %d, where %v was", offset, k)
		}
	}
}

// checkWriters looks for what was acknowledged and is not there.
func (c *check) checkWriters() {
	for _, w := range c.h.writers {
		for i := range w.ops {
			o := &w.ops[i]
			k := makeKey(w.id, uint32(i), 0)
			switch {
			case o.state == acked:
				c.report.Acked += uint64(o.records)
				for place := range int(o.records) {
					offset := o.offset + uint64(place)
					if place >= int(o.found) && offset >= c.r.First {
						c.violated(Lost, "%v, acknowledged at offset %d; the log has offsets %d to %d, and all were read", k, offset, c.r.First, c.r.Next)
					}
				}
			case o.state == refused:
			case o.found == 0:
				c.report.Absent++
			case o.found < o.records:
				c.violated(Torn, "%d of %d records of %v are there, at offset %d", o.found, o.records, k, o.at)
			default:
				c.report.Found++
			}
		}
	}
}

// checkTails holds what tails saw against what is there.
func (c *check) checkTails() {
	for _, t := range c.h.tails {
		for _, run := range t.runs {
			for i, k := range run.keys {
				offset := run.first + uint64(i)
				switch {
				case offset < c.r.First:
				case offset >= c.r.Next:
					c.violated(NotDurable, "tail %s has read offset %d, and the log ends at %d", t.name, offset, c.r.Next)
				case c.found[offset-c.r.First] != k:
					c.violated(Changed, "tail %s has read %v at offset %d, and there is another", t.name, k, offset)
				}
			}
			c.report.Seen += uint64(len(run.keys))
		}
	}
}

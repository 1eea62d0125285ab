package audit

import (
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

const testRun = 0x1234

// kept is a log in memory, and what it tells of itself.
type kept struct {
	records     []proglog.Record
	first, next uint64
	bytes       uint64
	stop        int   // where the reading ends; -1: at the end
	err         error // with which it ends
}

func (k *kept) append(batch ...proglog.Record) (offset uint64) {
	offset = k.next
	for _, r := range batch {
		r.Offset = k.next
		k.records = append(k.records, r)
		k.next++
	}
	return offset
}

func (k *kept) reading() Reading {
	return Reading{First: k.first, Next: k.next, Bytes: k.bytes, Records: iter.Seq2[proglog.Record, error](func(yield func(proglog.Record, error) bool) {
		for i, r := range k.records {
			if i == k.stop {
				if k.err != nil {
					yield(proglog.Record{}, k.err)
				}
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	})}
}

// remove takes a record out, and moves those behind it up.
func (k *kept) remove(i int) {
	k.records = slices.Delete(k.records, i, i+1)
	for j := i; j < len(k.records); j++ {
		k.records[j].Offset--
	}
	k.next--
}

// play makes a small history that holds, and the log it is about: an ordered
// writer with three records, of which the first two are acknowledged and the third
// is there without an ack; a batch of three; a refused request; an unknown one that
// is not there; and a tail that saw the first four. Offsets: 0 1 ordered, 2 3 4
// batch, 5 ordered.
func play() (*History, *kept) {
	h, log := NewHistory(testRun), &kept{stop: -1}
	ordered, batches := h.Writer(true), h.Writer(false)
	for range 2 {
		n, b := ordered.Begin(1)
		ordered.Acked(n, log.append(b...))
	}
	n, b := batches.Begin(3)
	batches.Acked(n, log.append(b...))
	_, b = ordered.Begin(1)
	log.append(b...)
	n, _ = batches.Begin(1)
	batches.Refused(n)
	batches.Begin(2)
	tail := h.Tail("t", 0)
	for i := range 4 {
		if err := tail.Saw(&log.records[i]); err != nil {
			panic(err)
		}
	}
	return h, log
}

// Goal: a history that holds passes, with the right counts, and goes on.
func TestAuditPasses(t *testing.T) {
	h, log := play()
	report, err := h.Check(log.reading())
	require.NoError(t, err)
	assert.Equal(t, Report{Records: 6, Acked: 5, Found: 1, Absent: 1, Seen: 4}, report)

	w := h.Writer(false)
	n, b := w.Begin(2)
	w.Acked(n, log.append(b...))
	require.NoError(t, h.Trim(3, func() error { return nil }))
	log.records, log.first = log.records[3:], 3
	report, err = h.Check(log.reading())
	require.NoError(t, err)
	assert.Equal(t, Report{Records: 5, Acked: 2}, report)
}

// Goal: the audit says of each way to break a log what it is, and only that.
// Method: a history that holds, with one thing changed.
func TestAuditFinds(t *testing.T) {
	for name, row := range map[string]struct {
		doctor func(h *History, log *kept)
		want   []Kind
	}{
		"a lost ack at the end": {func(h *History, log *kept) {
			n, b := h.writers[0].Begin(1)
			_ = b
			h.writers[0].Acked(n, log.next)
		}, []Kind{Lost}},
		"a lost ack in the middle": {func(_ *History, log *kept) { log.remove(1) },
			[]Kind{Lost, Misplaced, Changed}},
		"a record twice":          {func(_ *History, log *kept) { log.append(log.records[0]) }, []Kind{Duplicate}},
		"an unknown record twice": {func(_ *History, log *kept) { log.append(log.records[5]) }, []Kind{Duplicate}},
		"two acks of a writer in the wrong order": {func(h *History, log *kept) {
			log.records[0].Value, log.records[1].Value = log.records[1].Value, log.records[0].Value
			log.records[0].Headers, log.records[1].Headers = log.records[1].Headers, log.records[0].Headers
			h.writers[0].ops[0].offset, h.writers[0].ops[1].offset = 1, 0
			h.tails = nil
		}, []Kind{Reordered}},
		"an unknown record before an earlier one": {func(h *History, log *kept) {
			_, b := h.writers[0].Begin(1)
			_, c := h.writers[0].Begin(1)
			log.append(c...)
			log.append(b...)
		}, []Kind{Reordered}},
		"a request behind one that was sent after its ack": {func(h *History, log *kept) {
			a, b := h.Writer(false), h.Writer(false)
			n, batch := a.Begin(1)
			a.Acked(n, log.next+1)
			m, later := b.Begin(1)
			b.Acked(m, log.append(later...))
			log.append(batch...)
		}, []Kind{Reordered}},
		"a changed byte": {func(_ *History, log *kept) {
			log.records[3].Value = slices.Clone(log.records[3].Value)
			log.records[3].Value[valueHead-1] ^= 1
		}, []Kind{Changed, Lost, Torn}},
		"a changed last byte": {func(_ *History, log *kept) {
			v := slices.Clone(log.records[4].Value)
			v[len(v)-1] ^= 0x80
			log.records[4].Value = v
		}, []Kind{Changed, Lost}},
		"a header that came from nowhere": {func(_ *History, log *kept) {
			log.records[5].Headers = append(log.records[5].Headers, proglog.Header{Name: "new"})
		}, []Kind{Changed}},
		"two acked records exchanged": {func(_ *History, log *kept) {
			log.records[0].Value, log.records[4].Value = log.records[4].Value, log.records[0].Value
			log.records[0].Headers, log.records[4].Headers = log.records[4].Headers, log.records[0].Headers
		}, []Kind{Torn, Misplaced, Changed, Lost, Reordered}},
		"a refused record": {func(h *History, log *kept) {
			log.append(record(testRun, makeKey(1, 1, 0)))
		}, []Kind{Unwanted}},
		"a record that nobody sent": {func(_ *History, log *kept) {
			log.append(record(testRun, makeKey(1, 99, 0)))
		}, []Kind{Unwanted}},
		"half of an unknown batch": {func(_ *History, log *kept) {
			log.append(record(testRun, makeKey(1, 2, 0)))
		}, []Kind{Torn}},
		"a batch with another record in it": {func(h *History, log *kept) {
			log.append(record(testRun, makeKey(1, 2, 0)))
			n, b := h.writers[0].Begin(1)
			h.writers[0].Acked(n, log.append(b...))
			log.append(record(testRun, makeKey(1, 2, 1)))
		}, []Kind{Torn}},
		"a gap in the offsets": {func(_ *History, log *kept) {
			log.records[4].Offset++
			log.records[5].Offset++
			log.next++
		}, []Kind{Gap}},
		"a record that a tail has read and that is gone": {func(h *History, log *kept) {
			r := record(testRun, makeKey(1, 2, 0))
			r.Offset = 4
			h.tails[0].Jump(6)
			r.Offset = 6
			if err := h.tails[0].Saw(&r); err != nil {
				panic(err)
			}
		}, []Kind{NotDurable}},
		"an offset that a tail has read otherwise": {func(h *History, log *kept) {
			r := record(testRun, makeKey(1, 2, 0))
			h.tails[0].Jump(5)
			r.Offset = 5
			if err := h.tails[0].Saw(&r); err != nil {
				panic(err)
			}
		}, []Kind{Changed}},
		"records removed without a trim": {func(_ *History, log *kept) {
			log.records, log.first = log.records[2:], 2
		}, []Kind{Removed}},
		"more removed than a trim asked for": {func(h *History, log *kept) {
			_ = h.Trim(1, func() error { return nil })
			log.records, log.first = log.records[2:], 2
		}, []Kind{Removed}},
		"a trim that is undone": {func(h *History, _ *kept) {
			_ = h.Trim(1, func() error { return nil })
		}, []Kind{Removed}},
		"more removed than retention may": {func(h *History, log *kept) {
			h.Retain(10 << 20)
			log.records, log.first, log.bytes = log.records[2:], 2, 9<<20
		}, []Kind{Removed}},
	} {
		t.Run(name, func(t *testing.T) {
			h, log := play()
			row.doctor(h, log)
			_, err := h.Check(log.reading())
			require.Error(t, err)
			for _, kind := range []Kind{Lost, Duplicate, Reordered, Changed, Torn, Unwanted, Gap, Misplaced, NotDurable, Removed} {
				if slices.Contains(row.want, kind) {
					assert.ErrorIs(t, err, &Violation{Kind: kind})
				} else {
					assert.NotErrorIs(t, err, &Violation{Kind: kind})
				}
			}
		})
	}
}

// Goal: after a check what it found must stay, and what it did not find must not
// come.
func TestAuditRemembers(t *testing.T) {
	for name, row := range map[string]struct {
		doctor func(log *kept)
		want   Kind
	}{
		"a shorter log":                {func(log *kept) { log.remove(5) }, Lost},
		"an unknown record comes late": {func(log *kept) { log.append(record(testRun, makeKey(1, 2, 0))) }, Unwanted},
		"a known record twice":         {func(log *kept) { log.append(log.records[0]) }, Unwanted},
		"another record in its place": {func(log *kept) {
			log.records[1] = log.records[0]
			log.records[1].Offset = 1
		}, Changed},
	} {
		t.Run(name, func(t *testing.T) {
			h, log := play()
			_, err := h.Check(log.reading())
			require.NoError(t, err)
			row.doctor(log)
			_, err = h.Check(log.reading())
			require.ErrorIs(t, err, &Violation{Kind: row.want})
		})
	}
}

// Goal: a reading that ends early is told as such, and nothing is called lost; read
// to the end afterwards, the same history passes.
func TestAuditOfATruncatedReading(t *testing.T) {
	for name, cause := range map[string]error{"in silence": nil, "with an error": errors.New("cut")} {
		t.Run(name, func(t *testing.T) {
			h, log := play()
			log.stop, log.err = 3, cause
			_, err := h.Check(log.reading())
			var incomplete *Incomplete
			require.ErrorAs(t, err, &incomplete)
			assert.Equal(t, uint64(3), incomplete.Read)
			assert.NotErrorIs(t, err, &Violation{Kind: Lost})
			if cause != nil {
				require.ErrorIs(t, err, cause)
			}
			log.stop = -1
			_, err = h.Check(log.reading())
			require.NoError(t, err)
		})
	}
}

// Goal: retention and trims may take what they were asked to, the middle of a batch
// included.
func TestAuditAllowsRemoval(t *testing.T) {
	for name, allow := range map[string]func(h *History, log *kept){
		"a trim":                func(h *History, _ *kept) { _ = h.Trim(3, func() error { return nil }) },
		"one without an answer": func(h *History, _ *kept) { _ = h.Trim(4, func() error { return errors.New("lost") }) },
		"retention by bytes":    func(h *History, log *kept) { h.Retain(1 << 20); log.bytes = 1<<20 - 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			h, log := play()
			allow(h, log)
			log.records, log.first = log.records[3:], 3
			report, err := h.Check(log.reading())
			require.NoError(t, err)
			assert.Equal(t, uint64(3), report.Records)
		})
	}
}

// Goal: a tail tells a gap and foreign bytes at once.
func TestTailTells(t *testing.T) {
	h := NewHistory(testRun)
	tail := h.Tail("t", 3)
	r := record(testRun, makeKey(0, 0, 0))
	r.Offset = 4
	require.ErrorIs(t, tail.Saw(&r), &Violation{Kind: Gap})
	r.Offset, r.Value = 3, []byte("something else entirely")
	require.ErrorIs(t, tail.Saw(&r), &Violation{Kind: Changed})
}

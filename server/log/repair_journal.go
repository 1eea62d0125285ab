package log

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/journal"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// A journalFrame is a frame of records in the journal.
type journalFrame struct {
	frame.Header
	place *journalPlace
	at    int  // in the place's body
	weak  bool // of a place without a whole group: it has to follow from what was before
	early bool // from before the table's cut: a chain of the journal or of the log proves it
}

// A journalPlace is a stretch of a journal file that a repair may take frames
// from: a group, or what is left of some.
type journalPlace struct {
	file     string
	number   uint64 // of the file
	position int64  // of body
	size     int
	seq      uint64 // 0: no group header
	after    uint64 // without one: the group before, in the same file; 0 at its begin
	synced   uint64
	chain    uint32
	checksum uint32
	current  bool
	why      error // it is no whole group
}

// journalSurvey is what the journal may tell.
type journalSurvey struct {
	places []*journalPlace // in the order in which they were written
	early  []*journalPlace // from before the table's cut, in files that were not written again since
	synced uint64          // every group up to this one was durable
	bad    []DamagedFile   // where groups are damaged or missing
	badTo  uint64          // the last such group
	buf    []byte
	loaded *journalPlace // whose body is in buf
}

// journalIDs returns the directory ids that the headers of journal files name.
func journalIDs(fsys vfs.FS) (ids [][16]byte) {
	files, err := journal.Inspect(fsys, journalDir, func(*journal.FoundGroup) error { return nil })
	if err != nil {
		return nil
	}
	for _, f := range files {
		if f.Err == nil {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

// surveyJournal finds the groups behind the table's cut, or, without a table,
// all there are, and takes what whole ones say of logs and segments.
func (s *source) surveyJournal(ctx context.Context) error {
	var all []*journalPlace
	files, err := journal.Inspect(s.fs, journalDir, func(g *journal.FoundGroup) error {
		if g.Size == 0 {
			s.damaged(g.File.Name, 0, fmt.Sprintf("it cannot be read: %v", g.Err))
			return nil
		}
		p := &journalPlace{
			file: g.File.Name, number: g.File.Number, position: g.Position, size: len(g.Body),
			seq: g.Seq, synced: g.Synced, chain: g.Chain, checksum: g.Checksum, current: g.Current, why: g.Err,
		}
		if p.seq != 0 {
			p.position += journal.GroupHeaderSize
		}
		if g.Zero {
			p.size = 0
		}
		all = append(all, p)
		return ctx.Err()
	})
	if errors.Is(err, fs.ErrNotExist) {
		if s.table == nil || s.table.cut != (journal.Cut{}) {
			s.missingJournal("the journal is missing")
		}
		return nil
	} else if err != nil {
		return err
	}
	for _, f := range files {
		if f.Err == nil && f.ID == s.id {
			s.journal.synced = max(s.journal.synced, f.Synced)
		}
	}
	if s.table != nil && s.table.cut.Seq > 0 && !slices.ContainsFunc(files, func(f *journal.FoundFile) bool { return f.Number == s.table.cut.File }) {
		s.missingJournal(fmt.Sprintf("journal file number %d, from which the checkpoint says that it goes on, is missing", s.table.cut.File))
	}
	s.journal.places = s.choosePlaces(all)
	s.checkGroups()
	for _, p := range s.journal.places {
		if err := s.settings(p); err != nil {
			return err
		}
	}
	return nil
}

// choosePlaces keeps what was written behind the table's cut, in order.
func (s *source) choosePlaces(all []*journalPlace) (kept []*journalPlace) {
	cut := journal.Cut{}
	if s.table != nil {
		cut = s.table.cut
	}
	behind := map[string]*journalPlace{} // the last current group of a file
	old := map[string]bool{}             // what follows in a file is of an earlier use
	for _, p := range all {
		switch {
		case p.seq != 0:
			if p.current {
				behind[p.file] = p
			} else {
				old[p.file] = true
			}
			if p.seq >= cut.Seq && (s.table == nil || cut.Seq > 0) {
				s.journal.synced = max(s.journal.synced, p.synced)
				kept = append(kept, p)
			} else {
				s.early(p)
			}
		case p.number < cut.File || p.number == cut.File && p.position < cut.Position || p.number == 0 || old[p.file]:
			// Before the cut, or behind the end.
			s.early(p)
		default:
			if b := behind[p.file]; b != nil {
				p.after = b.seq
			}
			kept = append(kept, p)
		}
	}
	slices.SortStableFunc(kept, func(a, b *journalPlace) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.position, b.position))
	})
	// A group counts by its number, wherever it stands; what has none stays behind
	// the group before it.
	last := uint64(0)
	keys := map[*journalPlace]uint64{}
	for _, p := range kept {
		if keys[p] = last; p.seq != 0 {
			keys[p] = p.seq
		}
		if p.current {
			last = p.seq
		}
	}
	slices.SortStableFunc(kept, func(a, b *journalPlace) int { return cmp.Compare(keys[a], keys[b]) })
	return kept
}

// checkGroups holds the groups against each other: a later one proves what was
// before it, and shows what is not there.
func (s *source) checkGroups() {
	places := s.journal.places
	next, chain, known := uint64(0), uint32(0), false
	if s.table != nil {
		next, chain, known = s.table.cut.Seq, s.table.cut.Chain, s.table.cut.Seq > 0
	}
	var before *journalPlace
	var bad *journalPlace // what stands where the next group should be
	seen := map[uint64]bool{}
	for _, p := range places {
		if p.seq == 0 {
			if bad == nil {
				bad = p
			}
			continue
		}
		if seen[p.seq] {
			p.why = errors.New("another group has its number")
			continue
		}
		seen[p.seq] = true
		if known && p.seq > next && (s.table != nil || bad != nil) {
			s.lostGroups(next, p.seq-1, bad, before)
		}
		if known && p.seq == next && p.chain != chain && before != nil && before.why == nil {
			before.why = errors.New("the group behind it does not follow from it")
			s.lostGroups(before.seq, before.seq, before, nil)
		}
		if p.why != nil && p.seq <= s.journal.synced {
			s.lostGroups(p.seq, p.seq, p, nil)
		}
		next, chain, known, before, bad = p.seq+1, p.checksum, true, p, nil
	}
	switch {
	case !known || next > s.journal.synced:
		if before != nil && before.why != nil && before.seq > s.journal.synced {
			s.note("the journal ends in an unfinished group, number %d, at %s position %d: nothing proves that it was ever whole, so it was never acknowledged; it was not copied",
				before.seq, before.file, before.position-journal.GroupHeaderSize)
		}
		s.dropUnproven(next)
	case s.table != nil || bad != nil:
		s.lostGroups(next, s.journal.synced, bad, before)
	}
}

// dropUnproven takes out what a crash left behind the journal's end.
func (s *source) dropUnproven(next uint64) {
	s.journal.places = slices.DeleteFunc(s.journal.places, func(p *journalPlace) bool {
		return p.why != nil && (p.seq > s.journal.synced || p.seq == 0 && p.after+1 >= next)
	})
}

// lostGroups reports groups that are not there as a whole. What frames they left,
// and what went into segments, is copied all the same.
func (s *source) lostGroups(from, to uint64, bad, before *journalPlace) {
	file, position, why := journalDir, int64(0), "they are missing"
	switch {
	case bad != nil:
		file, position, why = bad.file, bad.position, bad.why.Error()
		if bad.seq != 0 {
			position -= journal.GroupHeaderSize
		}
	case before != nil:
		file, position = before.file, before.position+int64(before.size)
	}
	what := fmt.Sprintf("group %d", from)
	if to > from {
		what = fmt.Sprintf("groups %d to %d", from, to)
	}
	s.journal.badTo = max(s.journal.badTo, to)
	s.journal.bad = append(s.journal.bad, DamagedFile{File: file, Position: position, Cause: what + " of the journal: " + why})
	s.damaged(file, position, fmt.Sprintf("%s of the journal: %s; what of it is in no segment and in no frame that is whole is lost: "+
		"the logs' last records, new logs and changes of settings may be missing", what, why))
}

// body reads a place.
func (s *source) body(p *journalPlace) ([]byte, error) {
	j := &s.journal
	if j.loaded == p {
		return j.buf, nil
	}
	f, err := s.fs.Open(p.file, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if cap(j.buf) < p.size {
		j.buf = make([]byte, p.size)
	}
	j.buf, j.loaded = j.buf[:p.size], nil
	if p.size > 0 {
		if _, err := f.ReadAt(j.buf, p.position); err != nil {
			return nil, fmt.Errorf("read %s at position %d: %w", p.file, p.position, err)
		}
	}
	j.loaded = p
	return j.buf, nil
}

// settings takes over what a group says of logs and their segments; of a damaged
// one, the frames that are whole by themselves, and without a header only what
// cannot be of an earlier use of the file: segments behind the table.
func (s *source) settings(p *journalPlace) error {
	b, err := s.body(p)
	if err != nil || p.seq == 0 && s.table == nil {
		return err
	}
	if p.why == nil {
		return eachFrame(b, func(h *frame.Header, _ int, raw []byte) {
			s.setting(h, raw[frame.HeaderSize:][:h.Length])
		})
	}
	for at := 0; at+frame.HeaderSize <= len(b); {
		h, err := frame.Parse(b[at:], 0)
		if err != nil {
			at += frame.Align
			continue
		}
		if payload, err := h.Payload(b[at:]); err == nil && (p.seq != 0 || h.Kind == frame.Roll) {
			s.setting(&h, payload)
		}
		at += h.Size()
	}
	return nil
}

// setting takes over a meta or a roll.
func (s *source) setting(h *frame.Header, payload []byte) {
	in := tableReader{b: payload}
	switch h.Kind {
	case frame.Meta:
		m := readMeta(&in)
		if in.bad {
			s.note("the settings of log %d at some time are of a later version", h.Log)
			return
		}
		l := s.log(m.number)
		l.meta, l.named = m, true
	case frame.Roll:
		spec := readSpec(&in, h.Log)
		l := s.log(h.Log)
		if !in.bad && (l.row == nil || spec.Base >= l.row.next) {
			l.add(spec)
		}
	}
}

// eachFrame visits the frames of a whole group.
func eachFrame(b []byte, visit func(h *frame.Header, at int, raw []byte)) error {
	for at := 0; at < len(b); {
		h, err := frame.Peek(b[at:])
		if err != nil {
			return err
		}
		visit(&h, at, b[at:][:h.Size()])
		at += h.Size()
	}
	return nil
}

// indexJournal lists the frames of records, log by log. Of what is no whole
// group, it takes the frames that are: they start from their segment's seed.
func (s *source) indexJournal() {
	for i, p := range s.journal.places {
		b, err := s.body(p)
		if err != nil {
			s.damaged(p.file, p.position, err.Error())
			continue
		}
		take := func(h *frame.Header, at int) {
			l := s.log(h.Log)
			l.frames = append(l.frames, journalFrame{Header: *h, place: s.journal.places[i], at: at, weak: p.seq == 0})
		}
		if p.why == nil {
			_ = eachFrame(b, func(h *frame.Header, at int, _ []byte) { // it was checked
				if h.Kind == frame.Records {
					take(h, at)
				}
			})
			continue
		}
		s.salvage(b, take)
	}
	s.indexEarly()
	for _, l := range s.logs {
		slices.SortStableFunc(l.frames, func(a, b journalFrame) int { return cmp.Compare(a.Base, b.Base) })
	}
}

// salvage finds the whole frames of known segments in what is no whole group.
func (s *source) salvage(b []byte, take func(h *frame.Header, at int)) {
	for at := 0; at+frame.HeaderSize <= len(b); {
		h, ok := s.salvageFrame(b[at:])
		if !ok {
			at += frame.Align
			continue
		}
		if h.Kind == frame.Records {
			take(&h, at)
		}
		at += h.Size()
	}
}

func (s *source) salvageFrame(b []byte) (h frame.Header, ok bool) {
	h, err := frame.Peek(b)
	if err != nil || h.Kind != frame.Records || s.logs[h.Log] == nil || s.logs[h.Log].segments[h.Segment] == nil {
		return h, false
	}
	g := s.logs[h.Log].segments[h.Segment]
	if h, err = frame.Parse(b, frame.Seed(g.Nonce)); err != nil {
		return h, false
	}
	payload, err := h.Payload(b)
	return h, err == nil && segment.CheckRecords(&h, payload) == nil
}

package log

import (
	"cmp"
	"slices"

	"github.com/proglog/proglog/server/log/internal/frame"
)

// What stands before the table's cut is in the segments, synced, and its journal
// files wait to be written again. Until they are, they still have what a segment
// may have lost since.

// An earlyFrame is a frame of records before the table's cut. The nonce of its
// segment shows that it was written for this log and place; that it was not cut
// off by a recovery and written again has to be proven.
type earlyFrame struct {
	journalFrame
	head   [frame.HeaderSize]byte
	proven bool
}

// early keeps a place before the table's cut.
func (s *source) early(p *journalPlace) {
	if s.table != nil && s.table.cut.Seq > 0 && p.size > 0 {
		s.journal.early = append(s.journal.early, p)
	}
}

// indexEarly adds the frames before the table's cut that provably belong.
func (s *source) indexEarly() {
	proven := s.provenGroups()
	for _, p := range s.journal.early {
		b, err := s.body(p)
		if err != nil {
			continue // the segments are what counts; it was told if the device did not answer
		}
		s.salvage(b, func(h *frame.Header, at int) {
			l := s.log(h.Log)
			if l.row == nil || h.Next() > l.row.next || h.Next() <= l.meta.first {
				return
			}
			f := &earlyFrame{journalFrame: journalFrame{Header: *h, place: p, at: at, early: true}, proven: proven[p]}
			copy(f.head[:], b[at:])
			l.early = append(l.early, f)
		})
	}
	for _, l := range s.logs {
		l.takeProven()
	}
}

// provenGroups goes back from the table's cut, group by group: each holds the
// checksum of the one before. A group that a recovery cut off is not among them.
func (s *source) provenGroups() map[*journalPlace]bool {
	byChecksum := map[uint32][]*journalPlace{}
	for _, p := range s.journal.early {
		if p.seq > 0 && p.why == nil {
			byChecksum[p.checksum] = append(byChecksum[p.checksum], p)
		}
	}
	proven := map[*journalPlace]bool{}
	if s.table == nil {
		return proven
	}
	for seq, chain := s.table.cut.Seq, s.table.cut.Chain; ; {
		i := slices.IndexFunc(byChecksum[chain], func(p *journalPlace) bool { return p.seq < seq })
		if i < 0 {
			return proven
		}
		p := byChecksum[chain][i]
		proven[p], seq, chain = true, p.seq, p.chain
	}
}

// takeProven keeps the frames of proven groups, and those from which the log goes
// on as the table, or a frame that is proven, says.
func (l *sourceLog) takeProven() {
	slices.SortStableFunc(l.early, func(a, b *earlyFrame) int { return cmp.Compare(b.Next(), a.Next()) })
	begins := map[uint64][]*earlyFrame{} // proven frames by their first offset
	taken := map[uint64]bool{}
	for _, f := range l.early {
		chain, told := l.chains[f.Next()]
		f.proven = f.proven || told && chain == f.Chain ||
			slices.ContainsFunc(begins[f.Next()], func(g *earlyFrame) bool { return frame.CheckChain(g.head[:], f.Chain) })
		if !f.proven {
			continue
		}
		begins[f.Base] = append(begins[f.Base], f)
		if !taken[f.Base] {
			taken[f.Base] = true
			l.frames = append(l.frames, f.journalFrame)
		}
	}
	l.early = nil
}

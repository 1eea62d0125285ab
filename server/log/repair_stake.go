package log

import (
	"math"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// missingJournal reports what of the journal is gone.
func (s *source) missingJournal(cause string) {
	s.damaged(journalDir, 0, cause)
	s.journal.bad = append(s.journal.bad, DamagedFile{File: journalDir, Cause: cause})
	s.journal.badTo = math.MaxUint64
}

// waits says whether a segment begins behind the table, and has no file: a crash
// came before it was made, and what it is to hold is in the journal.
func (s *source) waits(l *sourceLog, g *sourceSegment) bool {
	if s.table == nil || l.row != nil && g.Base < l.row.next {
		return false
	}
	if !g.there || g.size < segment.HeaderSize {
		return true
	}
	f, err := s.fs.Open(segmentsDir+"/"+g.name, vfs.ReadOnly)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, segment.HeaderSize)
	if _, err := f.ReadAt(b, 0); err != nil {
		return false
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// lostAt is where lost records were: behind the table, in the damaged part of the
// journal, if there is one, whether or not a segment was made for them already.
func (c *logRepair) lostAt(first uint64) (at badPlace, told bool) {
	s := c.source
	if len(s.journal.bad) > 0 && s.table != nil && (c.log.row == nil || first >= c.log.row.next) {
		b := s.journal.bad[0]
		return badPlace{b.File, b.Position, b.Cause}, true
	}
	if len(c.bad) > 0 {
		return c.bad[0], true
	}
	return at, false
}

// stakes are the logs of which acknowledged records may be lost behind the ends
// that they have now, because a part of the journal is: how many cannot be told.
func (s *source) stakes() (stakes []Stake) {
	if len(s.journal.bad) == 0 {
		return nil
	}
	for _, l := range s.report.Logs {
		if !s.goesOnBehindDamage(l.Log) {
			stakes = append(stakes, Stake{Log: l.Log, From: l.Next})
		}
	}
	return sortStakes(stakes)
}

// goesOnBehindDamage says whether a group behind the damage has records of a log:
// then what is lost of it has its place before them.
func (s *source) goesOnBehindDamage(name string) bool {
	for _, l := range s.logs {
		if l.meta.name != name || l.meta.flags&metaDeleted != 0 {
			continue
		}
		for i := range l.frames {
			if p := l.frames[i].place; p.why == nil && p.seq > s.journal.badTo {
				return true
			}
		}
	}
	return false
}

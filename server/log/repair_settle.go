package log

import "fmt"

// settle decides on what is not known of a log, and how it is to be called.
func (s *source) settle(l *sourceLog) {
	s.numbers = max(s.numbers, l.number)
	if l.row == nil {
		s.settleFirst(l)
	}
	switch {
	case l.named && s.table == nil:
		l.notes = append(l.notes, "its settings are the last that the journal still tells; later changes, as a delete, are lost")
	case l.named:
	case l.number == 1: // the first log of a directory is always the default one
		l.notes = append(l.notes, "its settings are lost: it is not sealed and keeps records for ever")
	default:
		l.meta.name = fmt.Sprintf("recovered/%d", l.number)
		for s.taken(l) {
			l.meta.name += "-"
		}
		l.notes = append(l.notes, "its name and settings are lost: the name is made up, it is not sealed and keeps records for ever")
	}
}

// settleFirst decides where a log begins that no table tells of: with the first
// segment that is there. What was trimmed cannot be told from what is lost.
func (s *source) settleFirst(l *sourceLog) {
	if l.named && s.table != nil {
		return // it was made behind the table, and all that was set since is known
	}
	first, any := uint64(0), false
	for _, g := range l.segments {
		if g.there && (!any || g.Base < first) {
			first, any = g.Base, true
		}
	}
	if !any && len(l.frames) > 0 {
		first = l.frames[0].Base
	}
	if first > l.meta.first {
		l.notes = append(l.notes, fmt.Sprintf("it begins at offset %d; whether the records below were trimmed or are lost cannot be told", first))
	} else if !l.named {
		l.notes = append(l.notes, "its first offset is lost: records that were trimmed may be back")
	}
	l.meta.first = max(l.meta.first, first)
}

// settleNames sees that a name has one log: one that a later log has the name of
// had been deleted.
func (s *source) settleNames() {
	latest := map[string]*sourceLog{}
	for _, l := range s.sorted() {
		if old := latest[l.meta.name]; old != nil && old.meta.flags&metaDeleted == 0 {
			old.meta.flags |= metaDeleted
			s.note("log %d had been deleted: its name, %s, is that of a later log", old.number, shownLog(l.meta.name))
		}
		latest[l.meta.name] = l
	}
}

func (s *source) taken(l *sourceLog) bool {
	for _, other := range s.logs {
		if other != l && other.meta.name == l.meta.name {
			return true
		}
	}
	return false
}

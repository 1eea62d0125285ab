package log

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/proglog/proglog/server/log/internal/segment"
)

// surveySegments finds the segments' files, and those that only their own
// headers tell of.
func (s *source) surveySegments() error {
	names, err := s.fs.ReadDir(segmentsDir)
	if errors.Is(err, fs.ErrNotExist) {
		s.damaged(segmentsDir, 0, "it is missing")
		return nil
	} else if err != nil {
		return err
	}
	s.sortOut(names)
	for _, file := range names {
		name := s.fs.named(segmentsDir, file)
		said, ok := segment.ParseStoreName(name)
		if !ok {
			if _, _, ours := segment.ParseName(name); !ours {
				s.note("%s/%s is not the server's; it was not copied", segmentsDir, name)
			}
			continue
		}
		size, err := s.fs.Size(segmentsDir + "/" + name)
		if err != nil {
			s.damaged(segmentsDir+"/"+name, 0, err.Error())
			continue
		}
		if l := s.logs[said.Log]; l != nil && l.segments[said.Number] != nil && l.segments[said.Number].name == name {
			l.segments[said.Number].there, l.segments[said.Number].size = true, size
			continue
		}
		s.orphan(name, said, size)
	}
	return nil
}

// orphan takes a segment that neither table nor journal tells of: the table or a
// part of the journal is lost, or it was about to be removed.
func (s *source) orphan(name string, said segment.Spec, size int64) {
	path := segmentsDir + "/" + name
	if s.table != nil && !s.mayBeNew(said) {
		s.note("%s belongs to no log: it was trimmed or deleted, and not copied", path)
		return
	}
	spec, id, err := segment.ReadSpec(s.fs, path)
	switch {
	case err == nil && id != s.id:
		s.note("%s belongs to another data directory; it was not copied", path)
		return
	case err == nil && (spec.Log != said.Log || spec.Number != said.Number || spec.Base != said.Base):
		err = errors.New("its header is that of another segment")
	}
	if err != nil {
		if spec, err = s.guessSpec(said, err); err != nil {
			s.damaged(path, 0, fmt.Sprintf("%v, and nothing else tells how to read it", err))
			return
		}
		s.log(spec.Log).addGuessed(spec)
	}
	l := s.log(spec.Log)
	l.add(spec)
	if g := l.segments[spec.Number]; g.name == name {
		g.there, g.size = true, size
	}
}

// mayBeNew says whether a segment that the table does not know may have been
// begun after it: then what told of it was in a lost part of the journal.
func (s *source) mayBeNew(said segment.Spec) bool {
	l := s.logs[said.Log]
	if l == nil {
		return said.Log > s.table.logs
	}
	if l.row == nil {
		return true
	}
	if l.row.meta.flags&metaDeleted != 0 {
		return false
	}
	last := uint32(0)
	for n := range l.segments {
		last = max(last, n)
	}
	return said.Number > last && said.Base >= l.row.next
}

// guessSpec reads a segment without its header. A nonce is only used as the
// checksum that it gives, and any frame of the segment tells that one; all else
// stands in the file's name.
func (s *source) guessSpec(said segment.Spec, why error) (segment.Spec, error) {
	nonce, err := s.set.GuessNonce(said)
	if err != nil {
		return said, errors.Join(why, err)
	}
	said.Nonce = nonce
	s.note("%s/%s: %v; its frames tell what it held", segmentsDir, said.Name(), why)
	return said, nil
}

package log

import (
	"slices"

	"github.com/proglog/proglog/server/log/internal/segment"
)

// sortOut finds the segments whose files have other names than their own. A
// file's header says whose it is; its frames, which no other segment's pass for,
// have to agree, because a header may also be a block that a device misplaced.
func (s *source) sortOut(names []string) {
	moved := map[string]string{} // from the right path to the file
	for _, file := range names {
		said, ok := segment.ParseStoreName(file)
		if !ok {
			continue
		}
		path := segmentsDir + "/" + file
		spec, id, err := segment.ReadSpec(s.fs, path)
		if err != nil || id != s.id || spec.Name() == file {
			continue
		}
		right := segmentsDir + "/" + spec.Name()
		if _, twice := moved[right]; twice || !s.expects(spec) {
			continue
		}
		if there, _, err := segment.ReadSpec(s.fs, right); err == nil && there == spec {
			continue // a copy, or a misplaced block: the right one is there
		}
		if l := s.logs[said.Log]; l != nil && l.segments[said.Number] != nil && (s.whole(l.segments[said.Number].Spec, path) > 0 || s.whole(spec, path) == 0) {
			continue // a misplaced block: there is more of what the name says
		}
		moved[right] = path
	}
	files := map[string]string{}
	for right, path := range moved {
		files[right] = path
		if _, replaced := moved[path]; !replaced {
			files[path] = ""
		}
		s.note("%s has the name of another segment: by its header and its frames it is %s, and was read as that", path, right)
	}
	slices.Sort(s.report.Notes)
	s.fs.files = files
}

// expects says whether there is such a segment, as far as is known.
func (s *source) expects(spec segment.Spec) bool {
	if l := s.logs[spec.Log]; l != nil && l.segments[spec.Number] != nil {
		return l.segments[spec.Number].Spec == spec
	}
	return s.table == nil
}

// whole is how many bytes of whole frames of a segment a file holds.
func (s *source) whole(spec segment.Spec, path string) (n int64) {
	fs := newSourceFS(s.fs.FS, nil)
	size, err := fs.Size(path)
	if err != nil {
		return 0
	}
	fs.files = map[string]string{segmentsDir + "/" + spec.Name(): path}
	set := segment.NewSet(fs, segmentsDir, s.id, 1, 1<<20)
	defer set.Close()
	_ = set.Existing(spec, size).Pieces(func(p *segment.Piece) bool { // what cannot be read is no whole frame
		if p.Err == nil && p.HeaderWhole() {
			n += p.Size
		}
		return true
	})
	return n
}

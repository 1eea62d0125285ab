package log

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// A source is a damaged directory, and what can be told of it.
type source struct {
	fs      *sourceFS
	lock    io.Closer
	id      [16]byte
	table   *table // nil if it is damaged or gone
	numbers uint64 // log numbers given, as far as is known
	logs    map[uint64]*sourceLog
	journal journalSurvey
	set     *segment.Set
	report  RepairReport
}

// A sourceLog is what a directory holds of one log.
type sourceLog struct {
	number    uint64
	meta      meta
	named     bool // meta is a log's, not made up
	row       *row // of the table
	producers producers
	segments  map[uint32]*sourceSegment
	frames    []journalFrame
	early     []*earlyFrame
	chains    map[uint64]uint32 // of the log at an offset, as other places tell it
	notes     []string
}

// A sourceSegment is a segment that there was.
type sourceSegment struct {
	segment.Spec
	name  string // of its file
	there bool
	size  int64
}

// openSource locks a directory.
func openSource(inner vfs.FS) (*source, error) {
	s := &source{logs: map[uint64]*sourceLog{}}
	s.fs = newSourceFS(inner, func(file string, position int64, err error) {
		s.damaged(file, position, fmt.Sprintf("it cannot be read: %v", err))
	})
	names, err := s.fs.ReadDir(".")
	if err != nil {
		return nil, err
	}
	_, err = readIdentity(s.fs)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotDataDir) && !slices.Contains(names, segmentsDir) {
		return nil, ErrNotDataDir
	}
	lock, err := inner.Lock(lockName, lockHolder())
	if held := (*vfs.LockedError)(nil); errors.As(err, &held) {
		return nil, fmt.Errorf("stop the server first: %w", err)
	} else if err != nil {
		s.note("cannot lock the directory, perhaps it is read-only: %v", err)
	}
	s.lock = lock
	return s, nil
}

func (s *source) close() {
	if s.set != nil {
		_ = s.set.Close() // only read
	}
	if s.lock != nil {
		_ = s.lock.Close()
	}
}

func (s *source) note(format string, args ...any) {
	s.report.Notes = append(s.report.Notes, fmt.Sprintf(format, args...))
}

func (s *source) damaged(file string, position int64, cause string) {
	s.report.Files = append(s.report.Files, DamagedFile{File: file, Position: position, Cause: cause})
}

// survey finds out which logs there are and where their records may be.
func (s *source) survey(ctx context.Context) error {
	if err := s.identify(); err != nil {
		return err
	}
	if err := s.readTable(); err != nil {
		return err
	}
	s.set = segment.NewSet(s.fs, segmentsDir, s.id, 16, 16<<20)
	if err := s.surveyJournal(ctx); err != nil {
		return err
	}
	if err := s.surveySegments(); err != nil {
		return err
	}
	s.indexJournal()
	for _, l := range s.sorted() {
		s.settle(l)
	}
	s.settleNames()
	return nil
}

// identify learns the directory's id, from what refers to it if need be.
func (s *source) identify() error {
	id, err := readIdentity(s.fs)
	if err == nil {
		s.id = id
		return nil
	}
	if later(s.fs, identityName) {
		return err
	}
	s.damaged(identityName, 0, "it is damaged or missing; the directory's id was taken from its other files")
	votes := map[[16]byte]int{}
	names, err := s.fs.ReadDir(segmentsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range names {
		if _, id, err := segment.ReadSpec(s.fs, segmentsDir+"/"+name); err == nil {
			votes[id]++
		}
	}
	for _, id := range journalIDs(s.fs) {
		votes[id]++
	}
	if b, err := readFile(s.fs, checkpointName); err == nil && len(b) >= 28 {
		votes[[16]byte(b[12:28])]++
	}
	most := 0
	for _, id := range slices.SortedFunc(maps.Keys(votes), func(a, b [16]byte) int { return slices.Compare(a[:], b[:]) }) {
		if votes[id] > most {
			s.id, most = id, votes[id]
		}
	}
	return nil
}

// readTable takes over the rows of the table, if there is one.
func (s *source) readTable() error {
	t, err := readTable(s.fs, s.id)
	if err != nil {
		if later(s.fs, checkpointName) {
			return err
		}
		s.damaged(checkpointName, 0, fmt.Sprintf("%v; the logs were put together from segments and journal", err))
		return nil
	}
	if t == nil {
		s.note("there is no checkpoint: the directory was never opened to its end")
		t = &table{}
	}
	s.table = t
	s.numbers = t.logs
	for i := range t.rows {
		w := &t.rows[i]
		l := s.log(w.meta.number)
		l.meta, l.named, l.row = w.meta, true, w
		l.producers.read(&tableReader{b: w.producers})
		l.chains[w.next] = w.chain
		for _, g := range w.segments {
			l.add(g.spec)
		}
	}
	return nil
}

// later says whether a file is whole and of a format that this program does not
// know, so that it must not touch the directory.
func later(fsys vfs.FS, name string) bool {
	b, err := readFile(fsys, name)
	le := binary.LittleEndian
	switch {
	case err != nil || len(b) < 16:
		return false
	case name == identityName:
		return string(b[:8]) == identityMagic && le.Uint32(b[8:]) == frame.Checksum(b[12:]) && le.Uint32(b[12:]) != formatMajor
	default:
		return le.Uint32(b) == tableMagic && le.Uint32(b[4:]) == frame.Checksum(b[8:]) && le.Uint32(b[8:]) != tableMajor
	}
}

// log returns the log of a number, made if need be.
func (s *source) log(number uint64) *sourceLog {
	l := s.logs[number]
	if l == nil {
		l = &sourceLog{number: number, segments: map[uint32]*sourceSegment{}, chains: map[uint64]uint32{}}
		l.meta.number = number
		s.logs[number] = l
	}
	return l
}

// add makes a segment known, as a place that can be trusted tells it.
func (l *sourceLog) add(spec segment.Spec) {
	if l.segments[spec.Number] == nil {
		l.segments[spec.Number] = &sourceSegment{Spec: spec, name: spec.Name()}
		l.chains[spec.Base] = spec.Chain
	}
}

// addGuessed makes a segment known whose name and frames are all that tells of
// it: they do not tell the chain that it continues.
func (l *sourceLog) addGuessed(spec segment.Spec) {
	if l.segments[spec.Number] == nil {
		l.segments[spec.Number] = &sourceSegment{Spec: spec, name: spec.Name()}
	}
}

// sorted returns the logs by their numbers.
func (s *source) sorted() []*sourceLog {
	return slices.SortedFunc(maps.Values(s.logs), func(a, b *sourceLog) int { return cmp.Compare(a.number, b.number) })
}

// sortedSegments returns a log's segments by their numbers.
func (l *sourceLog) sortedSegments() []*sourceSegment {
	return slices.SortedFunc(maps.Values(l.segments), func(a, b *sourceSegment) int { return cmp.Compare(a.Number, b.Number) })
}

// bytes is how much there may be to copy.
func (s *source) bytes() (n int64) {
	for _, l := range s.logs {
		for _, g := range l.segments {
			n += g.size
		}
		for i := range l.frames {
			if f := &l.frames[i]; !f.early || !l.holds(f) {
				n += int64(f.Size())
			}
		}
	}
	return n
}

// holds says whether the segment's file reaches as far as a frame.
func (l *sourceLog) holds(f *journalFrame) bool {
	g := l.segments[f.Segment]
	return g != nil && g.there && int64(f.Position)+int64(f.Size()) <= g.size
}

// window is what is remembered of producers: as much as the source did.
func (l *sourceLog) window() commitlog.DedupWindow {
	w := commitlog.DefaultDedupWindow()
	w.Producers = 1 << 30
	w.MaxAge = 1<<63 - 1
	for _, p := range l.producers.byID {
		w.Acks = max(w.Acks, len(p.acks))
	}
	return w
}

// shownLog is how a log is called in texts.
func shownLog(name string) string {
	if name == "" {
		return "the default log"
	}
	return "log " + strings.TrimSpace(fmt.Sprintf("%q", name))
}

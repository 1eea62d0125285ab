package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
)

// Scan reads the groups from the cut on, changing nothing.
func Scan(cfg Config, from Cut, visit func(frames []byte) error) (Scanned, error) {
	s := &scan{cfg: cfg}
	err := s.open(vfs.ReadOnly)
	var found Scanned
	if err == nil {
		found, err = s.run(from, visit)
	}
	return found, errors.Join(err, s.close())
}

type scan struct {
	cfg   Config
	files []*file // by number; number 0: its header is no header
	win   window
}

// open opens every journal file and learns its number.
func (s *scan) open(mode vfs.Mode) error {
	names, err := s.cfg.FS.ReadDir(s.cfg.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		slot, ok := slotOf(name)
		if !ok {
			continue // not ours: left alone
		}
		f := &file{name: s.cfg.Dir + "/" + name, slot: slot}
		if f.f, err = s.cfg.FS.Open(f.name, mode); err != nil {
			return err
		}
		s.files = append(s.files, f)
		if f.size, err = f.f.Size(); err != nil {
			return err
		}
		if mode == vfs.Direct {
			// A process that was killed in a write may have left what can be read
			// and is not yet durable. What is built on it must not outlive it.
			if err := f.f.Sync(); err != nil {
				return &syncError{fmt.Errorf("sync %s before reading it: %w", f.name, err)}
			}
		}
		err := f.readHeader(s.cfg.ID)
		if errors.Is(err, errFileHeader) {
			err = s.guessHeader(f)
		}
		if err != nil {
			return err
		}
	}
	slices.SortFunc(s.files, func(a, b *file) int { return cmp.Compare(a.number, b.number) })
	return nil
}

// guessHeader learns number and nonce from any whole group header, for a file
// whose own header is damaged: a group is only ever written behind a durable
// one. A file that was being prepared has no group, or those of an earlier use,
// with a number from before the cut.
func (s *scan) guessHeader(f *file) error {
	return s.groups(f, firstGroup, func(h *groupHeader) bool {
		f.number, f.nonce = h.file, h.nonce
		s.cfg.Logger.Warn("journal file header is damaged; its groups tell what it is", "file", f.name, "number", f.number)
		return false
	})
}

// groups visits the whole group headers that stand in a file at the place they
// claim, from a position on, until visit returns false.
func (s *scan) groups(f *file, from int64, visit func(*groupHeader) bool) error {
	for pos := from; pos+vfs.BlockSize <= f.size; pos += vfs.BlockSize {
		b, err := s.win.at(f, pos, GroupHeaderSize)
		if err != nil {
			return err
		}
		h, _, err := parseGroupHeader(b)
		if err == nil && h.position == uint64(pos) && !visit(&h) {
			return nil
		}
	}
	return nil
}

func (s *scan) close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.f.Close())
	}
	return errors.Join(errs...)
}

func (s *scan) file(number uint64) *file {
	for _, f := range s.files {
		if f.number == number && number != 0 {
			return f
		}
	}
	return nil
}

func (s *scan) run(from Cut, apply func([]byte) error) (Scanned, error) {
	found := Scanned{End: from}
	if from == (Cut{}) {
		found.End.Position = firstGroup
		for _, f := range s.files {
			var orphan *groupHeader
			if err := s.groups(f, firstGroup, func(h *groupHeader) bool { orphan = h; return false }); err != nil {
				return found, err
			}
			if orphan != nil {
				return found, &DamageError{
					File: f.name, Position: int64(orphan.position), Group: orphan.seq,
					Why: "it holds groups, but there is no checkpoint that refers to it",
				}
			}
		}
		return found, nil
	}
	f := s.file(from.File)
	if f == nil {
		return found, &DamageError{
			File: s.cfg.Dir, Position: from.Position, Group: from.Seq,
			Why: fmt.Sprintf("journal file number %d is missing", from.File),
		}
	}
	for {
		h, crc, b, err := s.group(f, &found.End)
		if unread := (*readError)(nil); errors.As(err, &unread) {
			return found, err
		}
		if err != nil {
			if next := s.goesOn(f, &found.End); next != nil {
				f, found.End.File, found.End.Position = next, next.number, firstGroup
				continue
			}
			return found, s.judgeEnd(f, &found, err)
		}
		if err := apply(b[GroupHeaderSize:h.length]); err != nil {
			return found, &ApplyError{File: f.name, Position: found.End.Position, Group: h.seq, Err: err}
		}
		n := vfs.AlignUp(int64(h.length))
		found.End = Cut{File: f.number, Position: found.End.Position + n, Seq: h.seq + 1, Chain: crc}
		found.Groups++
		found.Bytes += n
	}
}

// goesOn returns the later file that begins with the group which is not at the
// end of this one. Files between them may have been made ready and never written.
func (s *scan) goesOn(f *file, end *Cut) *file {
	for _, later := range s.files {
		if later.number <= f.number {
			continue
		}
		at := Cut{File: later.number, Position: firstGroup, Seq: end.Seq, Chain: end.Chain}
		if _, _, _, err := s.group(later, &at); err == nil {
			return later
		}
	}
	return nil
}

// group reads the group at a cut, whole and checked. b is valid until the next
// call.
func (s *scan) group(f *file, at *Cut) (h groupHeader, crc uint32, b []byte, err error) {
	b, err = s.win.at(f, at.Position, GroupHeaderSize)
	if err != nil {
		return h, 0, nil, err
	}
	if h, crc, err = parseGroupHeader(b); err != nil {
		return h, 0, nil, err
	}
	if h.nonce != f.nonce || h.file != f.number || h.position != uint64(at.Position) || h.seq != at.Seq {
		return h, 0, nil, fmt.Errorf("%w: what is there is of another place or time", errNoGroup)
	}
	if h.chain != at.Chain && !bug.On(bug.ChainIgnored) {
		return h, 0, nil, fmt.Errorf("%w: its chain does not follow from the group before", errNoGroup)
	}
	if b, err = s.win.at(f, at.Position, int(h.length)); err != nil {
		return h, 0, nil, err
	}
	return h, crc, b, h.checkFrames(b)
}

// after returns the file that was used after another, nil if there is none.
func (s *scan) after(f *file) *file {
	for _, later := range s.files { // by number
		if later.number > f.number {
			return later
		}
	}
	return nil
}

// judgeEnd says whether the place where no whole group is found is the end of
// the journal, perhaps behind a torn write, or damage: if any later group, or the
// header of any file, says that the missing group had been synced, it is damage.
// Later groups that do not say so are only sectors that a crash kept while it
// lost earlier ones.
func (s *scan) judgeEnd(f *file, found *Scanned, why error) error {
	if bug.On(bug.CutAtFirstBadGroup) {
		return nil
	}
	missing := found.End.Seq
	damage := &DamageError{File: f.name, Position: found.End.Position, Group: missing, Why: why.Error()}
	if next := s.after(f); next != nil && errors.Is(why, io.ErrUnexpectedEOF) {
		// This file is full to its end: the group is what the next one begins with.
		damage.File, damage.Position, damage.Why = next.name, firstGroup, "the group that it begins with is not whole"
	}
	for _, later := range s.files {
		if later.synced >= missing && !bug.On(bug.HeaderProofIgnored) {
			return damage
		}
		if later.number < f.number || later.number == 0 {
			continue
		}
		from := int64(firstGroup)
		if later == f {
			from = found.End.Position
		}
		proven := false
		err := s.groups(later, from, func(h *groupHeader) bool {
			if h.nonce == later.nonce && h.file == later.number {
				found.Torn = true
				proven = proven || h.synced >= missing && !bug.On(bug.GroupProofIgnored)
			}
			return !proven
		})
		if err != nil {
			return err
		}
		if proven {
			return damage
		}
	}
	return nil
}

// A window reads a file in large aligned pieces.
type window struct {
	f     *file
	buf   []byte
	start int64
	n     int
}

const windowSize = 1 << 20

// A readError is the disk's refusal to say what it holds, which is neither a
// torn write nor damage that is known.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }

// at returns the n bytes at a position, which is a multiple of BlockSize.
func (w *window) at(f *file, pos int64, n int) ([]byte, error) {
	if pos+int64(n) > f.size {
		return nil, io.ErrUnexpectedEOF
	}
	if w.f == f && pos >= w.start && pos+int64(n) <= w.start+int64(w.n) {
		return w.buf[pos-w.start:][:n], nil
	}
	want := int(min(max(windowSize, vfs.AlignUp(int64(n))), f.size-pos))
	want = int(vfs.AlignUp(int64(want)))
	if cap(w.buf) < want {
		w.buf = vfs.AlignedBuffer(want)
	}
	got, err := f.f.ReadAt(w.buf[:want], pos)
	if err != nil && !errors.Is(err, io.EOF) {
		w.f = nil
		return nil, &readError{fmt.Errorf("read %s at position %d: %w", f.name, pos, err)}
	}
	if got < n {
		w.f = nil
		return nil, io.ErrUnexpectedEOF
	}
	w.f, w.start, w.n = f, pos, got
	return w.buf[pos-w.start:][:n], nil
}

package journal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
)

// A FoundFile is a journal file as Inspect finds it.
type FoundFile struct {
	Name   string
	Size   int64
	Number uint64 // 0: neither its header nor a group says
	Nonce  uint64
	Synced uint64   // every group up to this one was synced when the header was written
	ID     [16]byte // of the data directory that the header names
	Err    error    // what is wrong with the header; nil if it is whole
}

// A FoundGroup is what stands at a place in a journal file: a group, or bytes
// that are none.
type FoundGroup struct {
	File     *FoundFile
	Position int64
	Size     int64 // in bytes, with padding

	// The header, if it is whole: then Seq is not 0.
	Seq, Synced uint64
	Chain       uint32 // of the group before
	Checksum    uint32 // of this group's header
	Frames      uint32
	Current     bool // it is of this use of the file

	Body []byte // the frames, or, without a header, all bytes; valid until visit returns
	Err  error  // what is wrong; nil for a whole group
	Zero bool   // without a header: all bytes are zeros
}

// Inspect visits everything in the journal's files, by their numbers, and
// believes nothing: files may be damaged, and hold groups of an earlier use. A
// file that cannot be read is visited as one FoundGroup with its error.
func Inspect(fs vfs.FS, dir string, visit func(*FoundGroup) error) ([]*FoundFile, error) {
	names, err := fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []*FoundFile
	var files []*file
	defer func() {
		for _, f := range files {
			_ = f.f.Close() // only read
		}
	}()
	byName := map[string]*file{}
	for _, name := range names {
		slot, ok := slotOf(name)
		if !ok {
			continue
		}
		f := &file{name: dir + "/" + name, slot: slot}
		ff := &FoundFile{Name: f.name}
		found = append(found, ff)
		if f.f, err = fs.Open(f.name, vfs.ReadOnly); err != nil {
			ff.Err = err
			continue
		}
		files = append(files, f)
		if f.size, ff.Err = f.f.Size(); ff.Err != nil {
			continue
		}
		ff.Size = f.size
		byName[f.name] = f
		inspectHeader(f, ff)
	}
	slices.SortStableFunc(found, func(a, b *FoundFile) int { return cmp.Compare(a.Number, b.Number) })
	for _, ff := range found {
		f := byName[ff.Name]
		if f == nil {
			if err := visit(&FoundGroup{File: ff, Err: ff.Err}); err != nil {
				return found, err
			}
			continue
		}
		if err := inspectFile(f, ff, visit); err != nil {
			return found, err
		}
	}
	return found, nil
}

// inspectHeader learns what the header says, or else the first whole group.
func inspectHeader(f *file, ff *FoundFile) {
	b := vfs.AlignedBuffer(vfs.BlockSize)
	if n, err := f.f.ReadAt(b, 0); n < 64 {
		ff.Err = errors.Join(errFileHeader, err)
	} else {
		copy(ff.ID[:], b[32:48])
		ff.Err = f.readHeader(ff.ID)
	}
	if ff.Err != nil {
		ff.ID, f.number, f.nonce, f.synced = [16]byte{}, 0, 0, 0
		s := scan{}
		_ = s.groups(f, firstGroup, func(h *groupHeader) bool { // what cannot be read is told when it is visited
			f.number, f.nonce = h.file, h.nonce
			return false
		})
	}
	ff.Number, ff.Nonce, ff.Synced = f.number, f.nonce, f.synced
}

// inspectFile visits what is in one file.
func inspectFile(f *file, ff *FoundFile, visit func(*FoundGroup) error) error {
	win := &window{}
	gap := int64(-1)
	endGap := func(to int64) error {
		if gap < 0 {
			return nil
		}
		from := gap
		gap = -1
		return visitGap(f, ff, from, to, visit)
	}
	for pos := int64(firstGroup); pos < f.size; {
		g := FoundGroup{File: ff, Position: pos, Size: vfs.BlockSize}
		b, err := win.at(f, pos, int(min(GroupHeaderSize, f.size-pos)))
		var h groupHeader
		if err == nil {
			h, g.Checksum, err = parseGroupHeader(b)
		}
		if err == nil && h.position != uint64(pos) {
			err = fmt.Errorf("%w: it belongs to position %d", errNoGroup, h.position)
		}
		if err != nil {
			if gap < 0 {
				gap = pos
			}
			pos += vfs.BlockSize
			continue
		}
		if err := endGap(pos); err != nil {
			return err
		}
		g.Seq, g.Synced, g.Chain, g.Frames = h.seq, h.synced, h.chain, h.frames
		g.Current = h.nonce == f.nonce && h.file == f.number
		length := min(int64(h.length), f.size-pos)
		if b, err = win.at(f, pos, int(length)); err != nil {
			g.Err = err
		} else {
			g.Body = b[GroupHeaderSize:]
			if g.Err = frame.ErrShort; length == int64(h.length) {
				g.Err = h.checkFrames(b)
			}
		}
		if g.Err == nil {
			g.Size = vfs.AlignUp(int64(h.length))
		} else {
			g.Size = nextGroup(f, pos, vfs.AlignUp(length)) - pos
			g.Body = g.Body[:min(int64(len(g.Body)), g.Size-GroupHeaderSize)] // what follows is visited by itself
		}
		if err := visit(&g); err != nil {
			return err
		}
		pos += g.Size
	}
	return endGap(f.size)
}

// nextGroup returns where a group begins behind one that is damaged: its length
// may not be believed. It is at the latest where the damaged one says.
func nextGroup(f *file, pos, size int64) int64 {
	s := scan{}
	next := pos + size
	_ = s.groups(f, pos+vfs.BlockSize, func(h *groupHeader) bool { // a failure to read is told when that is visited
		next = min(next, int64(h.position))
		return false
	})
	return next
}

// visitGap visits a stretch in which no group begins.
func visitGap(f *file, ff *FoundFile, from, to int64, visit func(*FoundGroup) error) error {
	to = min(to, f.size)
	for from < to {
		n := min(to-from, maxGroup)
		b := vfs.AlignedBuffer(int(vfs.AlignUp(n)))
		g := FoundGroup{File: ff, Position: from, Size: n, Err: errNoGroup}
		got, err := f.f.ReadAt(b, from)
		if got < int(n) {
			g.Err = fmt.Errorf("read %s at position %d: %w", f.name, from, err)
		}
		g.Body = b[:min(got, int(n))]
		g.Zero = got >= int(n) && allZero(g.Body)
		if err := visit(&g); err != nil {
			return err
		}
		from += n
	}
	return nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

package log

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/journal"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// A DumpItem is one thing in the files of a data directory, as it stands there.
type DumpItem struct {
	File     string `json:"file"`
	Position int64  `json:"position"`
	Size     int64  `json:"size"` // bytes in the file
	// Kind is identity, table, log (a row of the table), journal (a file's
	// header), group, segment (a file's header), records, lost, meta, roll, other
	// (a frame of another kind) or bytes (none of all that).
	Kind string `json:"kind"`
	OK   bool   `json:"ok"`             // all its checksums are right
	Why  string `json:"why,omitempty"`  // what is wrong
	Text string `json:"text,omitempty"` // what else it says

	Group   uint64     `json:"group,omitempty"`
	Log     uint64     `json:"log_number,omitempty"`
	Name    *string    `json:"log,omitempty"` // if it is known
	Segment uint32     `json:"segment,omitempty"`
	First   *uint64    `json:"first,omitempty"`
	Next    *uint64    `json:"next,omitempty"`
	Time    *time.Time `json:"time,omitempty"`
}

// DumpOptions say what to show. All may be zero.
type DumpOptions struct {
	FS   vfs.FS  // by default the operating system's
	Log  *string // only what is of the log of this name
	From uint64  // only frames that hold this offset or later ones
	Most int     // frames to show; 0: all
}

// Dump shows what is in the files of a data directory that no server has open,
// however damaged they are. It changes nothing.
func Dump(ctx context.Context, dir string, options DumpOptions, show func(*DumpItem) error) error {
	if options.FS == nil {
		options.FS = vfs.OS(dir)
	}
	s, err := openSource(options.FS)
	if err != nil {
		return fmt.Errorf("dump %s: %w", dir, err)
	}
	defer s.close()
	if err := s.survey(ctx); err != nil {
		return fmt.Errorf("dump %s: %w", dir, err)
	}
	d := &dumper{ctx: ctx, source: s, options: options, show: show}
	if options.Log != nil && !d.known(*options.Log) {
		return fmt.Errorf("dump %s: no file tells of %s", dir, shownLog(*options.Log))
	}
	for _, part := range []func() error{d.head, d.journal, d.segments} {
		if err := part(); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return fmt.Errorf("dump %s: %w", dir, err)
		}
	}
	return nil
}

// errEnough ends a dump that has shown what was asked for.
var errEnough = errors.New("enough")

type dumper struct {
	ctx     context.Context
	source  *source
	options DumpOptions
	show    func(*DumpItem) error
	frames  int
}

func (d *dumper) known(name string) bool {
	for _, l := range d.source.logs {
		if l.meta.name == name {
			return true
		}
	}
	return false
}

// item completes what is told of a log, and shows it if it is wanted.
func (d *dumper) item(i *DumpItem) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if l := d.source.logs[i.Log]; l != nil && i.Log != 0 {
		i.Name = &l.meta.name
	}
	if d.options.Log != nil && (i.Log == 0 || i.Name == nil || *i.Name != *d.options.Log) {
		return nil
	}
	if i.Next != nil && *i.Next <= d.options.From && i.Kind != "log" {
		return nil
	}
	if d.options.From > 0 && i.Next == nil && i.Log != 0 && i.Kind != "segment" {
		return nil
	}
	switch i.Kind {
	case "records", "lost", "meta", "roll", "other":
		if d.frames++; d.options.Most > 0 && d.frames > d.options.Most {
			return errEnough
		}
	}
	return d.show(i)
}

// head shows identity and table.
func (d *dumper) head() error {
	for _, name := range []string{identityName, checkpointName} {
		i := &DumpItem{File: name, Kind: "identity", OK: true, Text: "directory " + hex.EncodeToString(d.source.id[:])}
		if name == checkpointName {
			i.Kind = "table"
			if i.Text = ""; d.source.table != nil {
				i.Text = describeTable(d.source.table)
			}
		}
		if size, err := d.source.fs.Size(name); err == nil {
			i.Size = size
		} else {
			i.OK, i.Why = false, err.Error()
		}
		for _, f := range d.source.report.Files {
			if f.File == name {
				i.OK, i.Why = false, f.Cause
			}
		}
		if err := d.item(i); err != nil {
			return err
		}
	}
	for _, l := range d.source.sorted() {
		if l.row == nil {
			continue
		}
		next := l.row.next
		i := &DumpItem{
			File: checkpointName, Kind: "log", OK: true, Log: l.number, First: &l.row.meta.first, Next: &next, Time: timeOf(l.row.time),
			Text: d.describeMeta(&l.row.meta) + fmt.Sprintf(", %d segments, the last ends at position %d", len(l.row.segments), l.row.position),
		}
		if err := d.item(i); err != nil {
			return err
		}
	}
	return nil
}

func describeTable(t *table) string {
	return fmt.Sprintf("table %d, cut before group %d at position %d of journal file number %d, %d logs", t.seq, t.cut.Seq, t.cut.Position, t.cut.File, len(t.rows))
}

// describeMeta tells what is set of a log, with the id that callers see.
func (d *dumper) describeMeta(m *meta) string {
	id := m.id
	if t := d.source.table; t != nil {
		for i := range id {
			id[i] ^= t.life[i]
		}
	}
	text := "id " + hex.EncodeToString(id[:])
	if m.flags&metaSealed != 0 {
		text += ", sealed"
	}
	if m.flags&metaDeleted != 0 {
		text += ", deleted"
	}
	if m.maxAge > 0 {
		text += fmt.Sprintf(", max age %v", time.Duration(m.maxAge))
	}
	if m.maxBytes > 0 {
		text += fmt.Sprintf(", max bytes %d", m.maxBytes)
	}
	return text
}

func timeOf(ns int64) *time.Time {
	if ns == 0 {
		return nil
	}
	t := time.Unix(0, ns).UTC()
	return &t
}

// journal shows every file of the journal, groups of an earlier use too.
func (d *dumper) journal() error {
	last := ""
	_, err := journal.Inspect(d.source.fs, journalDir, func(g *journal.FoundGroup) error {
		if f := g.File; f.Name != last {
			last = f.Name
			i := &DumpItem{File: f.Name, Size: f.Size, Kind: "journal", OK: f.Err == nil}
			i.Text = fmt.Sprintf("number %d, nonce %016x, groups up to %d were synced", f.Number, f.Nonce, f.Synced)
			if f.Err != nil {
				i.Why = f.Err.Error()
			}
			if err := d.item(i); err != nil {
				return err
			}
		}
		return d.group(g)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (d *dumper) group(g *journal.FoundGroup) error {
	i := &DumpItem{File: g.File.Name, Position: g.Position, Size: g.Size, Kind: "group", OK: g.Err == nil, Group: g.Seq}
	at := g.Position
	switch {
	case g.Seq == 0 && g.Zero:
		i.Kind, i.OK, i.Text = "bytes", true, "zeros"
		return d.item(i)
	case g.Seq == 0:
		i.Kind, i.Why = "bytes", g.Err.Error()
	default:
		at += journal.GroupHeaderSize
		i.Text = fmt.Sprintf("%d frames, groups up to %d were synced", g.Frames, g.Synced)
		if !g.Current {
			i.Text += ", of an earlier use of the file"
		}
		if g.Err != nil {
			i.Why = g.Err.Error()
		}
	}
	if err := d.item(i); err != nil {
		return err
	}
	for n := 0; n+frame.HeaderSize <= len(g.Body); {
		h, err := frame.Peek(g.Body[n:])
		if err != nil {
			n += frame.Align
			continue
		}
		i := d.frame(&h, g.Body[n:])
		i.File, i.Position, i.Group = g.File.Name, at+int64(n), g.Seq
		if err := d.item(i); err != nil {
			return err
		}
		if i.OK || g.Err == nil {
			n += h.Size()
		} else {
			n += frame.Align
		}
	}
	return nil
}

// frame describes a frame in the journal.
func (d *dumper) frame(h *frame.Header, b []byte) *DumpItem {
	i := &DumpItem{Size: int64(h.Size()), OK: true, Log: h.Log, Segment: h.Segment, Time: timeOf(h.Time), Kind: "other"}
	seed, known := uint32(0), true
	switch h.Kind {
	case frame.Records:
		i.Kind = "records"
		setOffsets(i, h)
		var g *sourceSegment
		if l := d.source.logs[h.Log]; l != nil {
			g = l.segments[h.Segment]
		}
		if known = g != nil; known {
			seed = frame.Seed(g.Nonce)
		}
	case frame.Meta:
		i.Kind = "meta"
		if b := b[min(len(b), frame.HeaderSize):]; len(b) >= int(h.Length) {
			m := readMeta(&tableReader{b: b[:h.Length]})
			i.Text = d.describeMeta(&m) + fmt.Sprintf(", first offset %d, name %q", m.first, m.name)
		}
	case frame.Roll:
		i.Kind = "roll"
		if b := b[min(len(b), frame.HeaderSize):]; len(b) >= int(h.Length) {
			spec := readSpec(&tableReader{b: b[:h.Length]}, h.Log)
			i.Text = "begins " + spec.Name()
		}
	}
	_, err := h.Payload(b)
	if known && err == nil {
		_, err = frame.Parse(b, seed)
	} else if !known {
		i.Text = "of a segment that is no more, so its header's checksum was not checked"
	}
	if err != nil {
		i.OK, i.Why = false, err.Error()
	}
	return i
}

func setOffsets(i *DumpItem, h *frame.Header) {
	first, next := h.Base, h.Next()
	i.First, i.Next = &first, &next
}

// segments shows the stores of all logs.
func (d *dumper) segments() error {
	for _, l := range d.source.sorted() {
		for _, g := range l.sortedSegments() {
			if err := d.segment(l, g); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dumper) segment(l *sourceLog, g *sourceSegment) error {
	path := segmentsDir + "/" + g.name
	i := &DumpItem{File: path, Size: g.size, Kind: "segment", OK: true, Log: l.number, Segment: g.Number, First: &g.Base, Time: timeOf(g.Created)}
	i.Text = fmt.Sprintf("nonce %016x", g.Nonce)
	if spec, id, err := segment.ReadSpec(d.source.fs, path); err != nil && d.source.waits(l, g) {
		i.Text = join(i.Text, "its file is not made yet: the records that it is to hold are in the journal, and the next start makes it")
	} else if err != nil {
		i.OK, i.Why = false, err.Error()
	} else if id != d.source.id || spec != g.Spec {
		i.OK, i.Why = false, "its header is not the one that table and journal tell of"
	}
	if err := d.item(i); err != nil || !g.there {
		return err
	}
	var failed error
	chain, known := g.Chain, true
	end := int64(math.MaxInt64)
	if l.row != nil {
		if n := len(l.row.segments); n > 0 && l.row.segments[n-1].spec.Number == g.Number {
			end = l.row.position
		}
	}
	err := d.source.set.Existing(g.Spec, g.size).Pieces(func(p *segment.Piece) bool {
		i := &DumpItem{File: path, Position: p.Position, Size: p.Size, Kind: "bytes", Log: l.number, Segment: g.Number, OK: p.Err == nil}
		switch {
		case p.HeaderWhole():
			i.Kind, i.Time = "records", timeOf(p.Header.Time)
			if p.Header.Kind == frame.Lost {
				i.Kind = "lost"
			}
			setOffsets(i, &p.Header)
			if i.OK && known && !frame.CheckChain(p.Raw, chain) {
				i.OK, i.Why = false, "its chain does not follow from the frame before"
			}
			chain, known = p.Header.Chain, true
		case p.Zero && p.Position >= end:
			i.OK, i.Text = true, "zeros"
		default:
			known = false
		}
		if p.Position >= end {
			i.Text = join(i.Text, "behind the checkpoint")
		}
		if p.Err != nil && !i.OK {
			i.Why = p.Err.Error()
		}
		failed = d.item(i)
		return failed == nil
	})
	return errors.Join(failed, err)
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}

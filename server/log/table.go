package log

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/journal"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// The table of all logs is the file CHECKPOINT: how every log stood at a cut of
// the journal. It is replaced as a whole. Rows and metas have a length in front,
// and what a later version appends to them an older one skips.

const (
	checkpointName = "CHECKPOINT"
	tableMagic     = 0x31434c50 // "PLC1"
	tableMajor     = 1
)

// meta is what is set of a log, not appended: the payload of a Meta frame, which
// replaces the one before as a whole.
type meta struct {
	number   uint64 // never used again, also after the log is deleted
	id       [16]byte
	name     string
	created  int64 // nanoseconds since 1970
	first    uint64
	flags    uint32
	maxAge   int64 // nanoseconds; 0: no bound
	maxBytes uint64
}

// Flags of a meta. Those that this version does not know stop it.
const (
	metaSealed uint32 = 1 << iota
	metaDeleted
	metaKnown = metaSealed | metaDeleted
)

// row is how a log stood at a cut.
type row struct {
	meta     meta
	next     uint64
	time     int64 // timestamp of the last record, in nanoseconds since 1970
	chain    uint32
	position int64 // in the last segment, where frames end
	segments []segmentRow
	// producers is their snapshot, as producers.append writes it.
	producers []byte
}

type segmentRow struct {
	spec segment.Spec
	end  int64 // where frames end; of the last segment it is row.position
}

type table struct {
	seq  uint64 // of the table: 1, 2, 3, …
	cut  journal.Cut
	logs uint64 // numbers given so far
	// life is new whenever the directory is found to be a copy, and part of every
	// log's id; stamp is that of the file itself, by which a copy is found.
	life  [16]byte
	stamp vfs.Stamp
	rows  []row
}

// errTable reports bytes that are not a table of this format.
var errTable = errors.New("the checkpoint table is damaged")

func (m *meta) append(b []byte) []byte {
	le := binary.LittleEndian
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = le.AppendUint64(b, m.number)
	b = append(b, m.id[:]...)
	b = le.AppendUint64(b, uint64(m.created))
	b = le.AppendUint64(b, m.first)
	b = le.AppendUint32(b, m.flags)
	b = le.AppendUint64(b, uint64(m.maxAge))
	b = le.AppendUint64(b, m.maxBytes)
	b = le.AppendUint16(b, uint16(len(m.name)))
	b = append(b, m.name...)
	le.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

func readMeta(r *tableReader) meta {
	in := r.block()
	m := meta{number: in.u64()}
	copy(m.id[:], in.bytes(16))
	m.created = int64(in.u64())
	m.first = in.u64()
	m.flags = in.u32()
	m.maxAge = int64(in.u64())
	m.maxBytes = in.u64()
	m.name = string(in.bytes(int(in.u16())))
	if m.flags&^metaKnown != 0 {
		in.bad = true
	}
	r.bad = r.bad || in.bad
	return m
}

func (w *row) append(b []byte) []byte {
	le := binary.LittleEndian
	b = w.meta.append(b)
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = le.AppendUint64(b, w.next)
	b = le.AppendUint64(b, uint64(w.time))
	b = le.AppendUint32(b, w.chain)
	b = le.AppendUint64(b, uint64(w.position))
	b = le.AppendUint32(b, uint32(len(w.segments)))
	for i := range w.segments {
		b = appendSpec(b, &w.segments[i].spec)
		b = le.AppendUint64(b, uint64(w.segments[i].end))
	}
	b = append(b, w.producers...)
	le.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

func readRow(r *tableReader) row {
	w := row{meta: readMeta(r)}
	in := r.block()
	w.next = in.u64()
	w.time = int64(in.u64())
	w.chain = in.u32()
	w.position = int64(in.u64())
	for n := in.u32(); n > 0 && !in.bad; n-- {
		s := segmentRow{spec: readSpec(&in, w.meta.number)}
		s.end = int64(in.u64())
		w.segments = append(w.segments, s)
	}
	w.producers = in.b
	r.bad = r.bad || in.bad
	return w
}

// appendSpec is also the payload of a Roll frame. The log's number stands
// elsewhere.
func appendSpec(b []byte, s *segment.Spec) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, s.Number)
	b = le.AppendUint32(b, s.Chain)
	b = le.AppendUint64(b, s.Base)
	b = le.AppendUint64(b, s.Nonce)
	return le.AppendUint64(b, uint64(s.Created))
}

func readSpec(r *tableReader, log uint64) segment.Spec {
	return segment.Spec{
		Log: log, Number: r.u32(), Chain: r.u32(), Base: r.u64(), Nonce: r.u64(), Created: int64(r.u64()),
	}
}

func (t *table) encode(dirID [16]byte) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, 128+160*len(t.rows))
	b = le.AppendUint32(b, tableMagic)
	b = le.AppendUint32(b, 0) // checksum
	b = le.AppendUint32(b, tableMajor)
	b = append(b, dirID[:]...)
	b = le.AppendUint64(b, t.seq)
	b = le.AppendUint64(b, t.cut.File)
	b = le.AppendUint64(b, uint64(t.cut.Position))
	b = le.AppendUint64(b, t.cut.Seq)
	b = le.AppendUint32(b, t.cut.Chain)
	b = le.AppendUint64(b, t.logs)
	b = append(b, t.life[:]...)
	b = le.AppendUint64(b, t.stamp.Inode)
	b = le.AppendUint64(b, uint64(t.stamp.Born))
	b = le.AppendUint32(b, uint32(len(t.rows)))
	for i := range t.rows {
		b = t.rows[i].append(b)
	}
	le.PutUint32(b[4:], frame.Checksum(b[8:]))
	return b
}

func decodeTable(b []byte, dirID [16]byte) (*table, error) {
	r := tableReader{b: b}
	magic, crc := r.u32(), r.u32()
	if r.bad || magic != tableMagic || crc != frame.Checksum(r.b) {
		return nil, errTable
	}
	if v := r.u32(); v != tableMajor {
		return nil, fmt.Errorf("the checkpoint table has format %d, this program reads %d", v, tableMajor)
	}
	if [16]byte(r.bytes(16)) != dirID {
		return nil, errors.New("the checkpoint table belongs to another data directory")
	}
	t := &table{seq: r.u64()}
	t.cut = journal.Cut{File: r.u64(), Position: int64(r.u64()), Seq: r.u64(), Chain: r.u32()}
	t.logs = r.u64()
	t.life = [16]byte(r.bytes(16))
	t.stamp = vfs.Stamp{Inode: r.u64(), Born: int64(r.u64())}
	for n := r.u32(); n > 0 && !r.bad; n-- {
		t.rows = append(t.rows, readRow(&r))
	}
	if r.bad {
		return nil, errTable
	}
	return t, nil
}

// replaceFile makes a file's new content durable as a whole: after a crash the
// name has the old content or the new. The content may tell the new file's stamp.
func replaceFile(fs vfs.FS, name string, content func(vfs.Stamp) []byte) error {
	temp := name + ".tmp"
	_ = fs.Remove(temp) // usually it is not there
	f, err := fs.Create(temp, vfs.Buffered)
	if err != nil {
		return err
	}
	stamp, err := fs.Stamp(temp)
	if err == nil {
		_, err = f.WriteAt(content(stamp), 0)
	}
	if err != nil {
		return errors.Join(err, f.Close(), fs.Remove(temp))
	}
	if err := f.Sync(); err != nil {
		return &syncError{errors.Join(err, f.Close())}
	}
	if err := f.Close(); err != nil {
		return &syncError{err}
	}
	if err := fs.Rename(temp, name); err != nil {
		return &syncError{err}
	}
	if bug.On(bug.RenameNotSynced) {
		return nil
	}
	if err := fs.SyncDir("."); err != nil {
		return &syncError{err}
	}
	return nil
}

// syncError marks a failure after which nobody knows what the disk holds.
type syncError struct{ error }

func (e *syncError) Unwrap() error { return e.error }

// readFile reads a whole file as the device has it.
func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && size > 0 {
		return nil, err
	}
	return b, nil
}

// tableReader reads fields off b; past its end it is bad and gives zeros.
type tableReader struct {
	b   []byte
	bad bool
}

func (r *tableReader) bytes(n int) []byte {
	if n > len(r.b) {
		r.b, r.bad = nil, true
		return make([]byte, min(n, 16))
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *tableReader) u16() uint16 { return binary.LittleEndian.Uint16(r.bytes(2)) }
func (r *tableReader) u32() uint32 { return binary.LittleEndian.Uint32(r.bytes(4)) }
func (r *tableReader) u64() uint64 { return binary.LittleEndian.Uint64(r.bytes(8)) }

// block reads a length and gives a reader of that many bytes.
func (r *tableReader) block() tableReader {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return tableReader{bad: true}
	}
	return tableReader{b: r.bytes(int(n))}
}

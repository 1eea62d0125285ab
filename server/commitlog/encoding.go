package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"time"
)

// The one encoding of a record, from the journal to the wire:
//
//	envelope = 00 | length, 4 bytes, big endian | 12 | varint length | record
//
// record is a log.v1.Record in protobuf's encoding with its fields in the order
// of their numbers and without default values, as the generated code writes it.
// 12 is the tag of ConsumeResponse.record, and the five bytes in front are the
// prefix that gRPC and Connect put before an uncompressed message. So a run of
// envelopes is, byte for byte, a piece of the body of a ConsumeStream, and a
// catch-up read costs no encoding. A batch response takes the same records
// under another tag, see [AppendBatch].

// EnvelopePrefix is the size of the message prefix in front of each envelope.
const EnvelopePrefix = 5

const (
	tagResponseRecord  = 2<<3 | 2 // ConsumeResponse.record
	tagResponseRecords = 3<<3 | 2 // ConsumeResponse.records
	tagValue           = 1<<3 | 2
	tagOffset          = 2 << 3
	tagTimestamp       = 5<<3 | 2
	tagHeader          = 6<<3 | 2
	tagSeconds         = 1 << 3
	tagNanos           = 2 << 3
	tagHeaderName      = 1<<3 | 2
	tagHeaderValue     = 2<<3 | 2

	maxFieldNumber = 1<<29 - 1 // protobuf's
)

func varintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// fieldSize is the size of a length-delimited field with a one-byte tag.
func fieldSize(n int) int { return 1 + varintSize(uint64(n)) + n }

func timestampSize(t time.Time) int {
	n := 0
	if s := t.Unix(); s != 0 {
		n += 1 + varintSize(uint64(s))
	}
	if ns := t.Nanosecond(); ns != 0 {
		n += 1 + varintSize(uint64(ns))
	}
	return n
}

func headerSize(h Header) int {
	n := 0
	if h.Name != "" {
		n += fieldSize(len(h.Name))
	}
	if len(h.Value) != 0 {
		n += fieldSize(len(h.Value))
	}
	return n
}

func recordSize(r *Record) int {
	n := fieldSize(timestampSize(r.Time))
	if len(r.Value) != 0 {
		n += fieldSize(len(r.Value))
	}
	if r.Offset != 0 {
		n += 1 + varintSize(r.Offset)
	}
	for _, h := range r.Headers {
		n += fieldSize(headerSize(h))
	}
	return n
}

// EnvelopeSize returns how many bytes [AppendEnvelope] will append.
func EnvelopeSize(r *Record) int {
	return EnvelopePrefix + fieldSize(recordSize(r))
}

// AppendEnvelope appends the record's envelope to dst.
func AppendEnvelope(dst []byte, r *Record) []byte {
	size := recordSize(r)
	dst = append(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(fieldSize(size)))
	dst = append(dst, tagResponseRecord)
	dst = binary.AppendUvarint(dst, uint64(size))
	if len(r.Value) != 0 {
		dst = append(dst, tagValue)
		dst = binary.AppendUvarint(dst, uint64(len(r.Value)))
		dst = append(dst, r.Value...)
	}
	if r.Offset != 0 {
		dst = append(dst, tagOffset)
		dst = binary.AppendUvarint(dst, r.Offset)
	}
	dst = append(dst, tagTimestamp)
	dst = binary.AppendUvarint(dst, uint64(timestampSize(r.Time)))
	if s := r.Time.Unix(); s != 0 {
		dst = append(dst, tagSeconds)
		dst = binary.AppendUvarint(dst, uint64(s))
	}
	if ns := r.Time.Nanosecond(); ns != 0 {
		dst = append(dst, tagNanos)
		dst = binary.AppendUvarint(dst, uint64(ns))
	}
	for _, h := range r.Headers {
		dst = append(dst, tagHeader)
		dst = binary.AppendUvarint(dst, uint64(headerSize(h)))
		if h.Name != "" {
			dst = append(dst, tagHeaderName)
			dst = binary.AppendUvarint(dst, uint64(len(h.Name)))
			dst = append(dst, h.Name...)
		}
		if len(h.Value) != 0 {
			dst = append(dst, tagHeaderValue)
			dst = binary.AppendUvarint(dst, uint64(len(h.Value)))
			dst = append(dst, h.Value...)
		}
	}
	return dst
}

// ErrEncoding reports bytes that are not a whole envelope of this encoding.
var ErrEncoding = errors.New("not an envelope")

// CutEnvelope splits the first envelope off run. Its message is a
// log.v1.ConsumeResponse with just the record; rest is what follows.
func CutEnvelope(run []byte) (envelope, rest []byte, err error) {
	if len(run) < EnvelopePrefix || run[0] != 0 {
		return nil, nil, ErrEncoding
	}
	n := uint64(binary.BigEndian.Uint32(run[1:])) + EnvelopePrefix
	if n > uint64(len(run)) {
		return nil, nil, ErrEncoding
	}
	return run[:n:n], run[n:], nil
}

// RecordBytes returns the log.v1.Record inside an envelope.
func RecordBytes(envelope []byte) ([]byte, error) {
	if len(envelope) < EnvelopePrefix+2 || envelope[EnvelopePrefix] != tagResponseRecord {
		return nil, ErrEncoding
	}
	n, w := binary.Uvarint(envelope[EnvelopePrefix+1:])
	if w <= 0 || n != uint64(len(envelope)-EnvelopePrefix-1-w) {
		return nil, ErrEncoding
	}
	return envelope[EnvelopePrefix+1+w:], nil
}

// AppendBatch appends the records of a run as the repeated field
// ConsumeResponse.records.
func AppendBatch(dst []byte, run []byte) ([]byte, error) {
	for len(run) > 0 {
		envelope, rest, err := CutEnvelope(run)
		if err != nil {
			return dst, err
		}
		if _, err := RecordBytes(envelope); err != nil {
			return dst, err
		}
		dst = append(dst, tagResponseRecords)
		dst = append(dst, envelope[EnvelopePrefix+1:]...)
		run = rest
	}
	return dst, nil
}

// Cut splits the run behind its first n records; it may have fewer. Error:
// [ErrEncoding].
func (r Run) Cut(n int) (first, rest Run, err error) {
	left := r.Envelopes
	next := r.First
	for ; n > 0 && len(left) > 0; n-- {
		if _, left, err = CutEnvelope(left); err != nil {
			return Run{}, Run{}, err
		}
		next++
	}
	at := len(r.Envelopes) - len(left)
	first = Run{First: r.First, Next: next, Envelopes: r.Envelopes[:at:at], Tail: r.Tail && len(left) == 0}
	return first, Run{First: next, Next: r.Next, Envelopes: left, Tail: r.Tail}, nil
}

// All decodes the run, in order. The records' values and headers refer to the
// run's bytes. A second value that is not nil ends it.
func (r Run) All() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		rest := r.Envelopes
		for len(rest) > 0 {
			var envelope []byte
			var err error
			if envelope, rest, err = CutEnvelope(rest); err != nil {
				yield(Record{}, err)
				return
			}
			b, err := RecordBytes(envelope)
			if err != nil {
				yield(Record{}, err)
				return
			}
			rec, err := DecodeRecord(b)
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// DecodeRecord decodes a log.v1.Record. Its values refer to b. Fields that it
// does not know are skipped. Error: [ErrEncoding], wrapped.
//
// It takes what the generated code takes, but for groups, which proto3 does not
// have; and it takes header names that are not UTF-8, which the generated code
// refuses: those who let records in are to check them, and what a log holds can
// be read.
func DecodeRecord(b []byte) (Record, error) {
	r := Record{Time: time.Unix(0, 0).UTC()}
	var sec, ns uint64 // a message that is there twice is merged
	d := decoder{b: b}
	for d.more() {
		switch d.tag() {
		case tagValue:
			r.Value = d.bytes()
		case tagOffset:
			r.Offset = d.varint()
		case tagTimestamp:
			for t := d.message(); t.more(); d.join(&t) {
				switch t.tag() {
				case tagSeconds:
					sec = t.varint()
				case tagNanos:
					ns = t.varint()
				default:
					t.skip()
				}
			}
			r.Time = time.Unix(int64(sec), int64(int32(ns))).UTC()
		case tagHeader:
			var h Header
			for m := d.message(); m.more(); d.join(&m) {
				switch m.tag() {
				case tagHeaderName:
					h.Name = string(m.bytes())
				case tagHeaderValue:
					h.Value = m.bytes()
				default:
					m.skip()
				}
			}
			r.Headers = append(r.Headers, h)
		default:
			d.skip()
		}
	}
	if d.bad {
		return Record{}, fmt.Errorf("record: %w", ErrEncoding)
	}
	return r, nil
}

// A decoder walks a protobuf message. After a fault it is bad and at its end.
type decoder struct {
	b   []byte
	cur uint64
	bad bool
}

func (d *decoder) more() bool { return len(d.b) > 0 && !d.bad }

func (d *decoder) fail() { d.b, d.bad = nil, true }

// join takes over the fault of an embedded message's decoder.
func (d *decoder) join(m *decoder) {
	if m.bad {
		d.fail()
	}
}

func (d *decoder) tag() uint64 {
	d.cur = d.varint()
	return d.cur
}

func (d *decoder) varint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.varint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) message() decoder { return decoder{b: d.bytes()} }

func (d *decoder) skip() {
	if number := d.cur >> 3; number == 0 || number > maxFieldNumber {
		d.fail()
		return
	}
	switch d.cur & 7 {
	case 0:
		d.varint()
	case 1:
		d.drop(8)
	case 2:
		d.bytes()
	case 5:
		d.drop(4)
	default:
		d.fail()
	}
}

func (d *decoder) drop(n int) {
	if n > len(d.b) {
		d.fail()
		return
	}
	d.b = d.b[n:]
}

// Package frame is the unit that both the journal and the segments hold: a
// header of 64 bytes and a payload, padded to 8. FORMAT.md, two directories up,
// draws the bytes.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/proglog/proglog/server/log/internal/bug"
)

// Sizes in bytes.
const (
	HeaderSize = 64
	Align      = 8

	// TargetPayload is how much a frame of several records holds at most: a read
	// of one record has to check the checksum of a whole frame, so this bounds
	// what it reads to some KiB. A single larger record has a frame of its own.
	TargetPayload = 1024

	// MaxPayload is the most that a frame can hold; a header that says more is
	// not believed. It leaves room for the largest record that the limits allow.
	MaxPayload = 20 << 20
)

const magic = 0x31464c50 // "PLF1"

// Kind says what a frame holds. Kinds from Optional on may be skipped by
// readers that do not know them; all others that are unknown stop them.
type Kind uint8

// The kinds of frame. Records frames are in the journal and in segments, Lost in
// segments alone, the others in the journal alone.
const (
	Records  Kind = 1 // records of a log, as envelopes
	Meta     Kind = 2 // a log's settings: it was created, changed, trimmed, sealed or deleted
	Roll     Kind = 3 // a log's next segment begins
	Bulk     Kind = 4 // reserved: a log's segments hold records, up to an offset, that the journal does not
	Lost     Kind = 5 // the records that it counts are lost: a repair left their place empty
	Optional Kind = 128
)

// Flags of a frame.
const (
	// Continued: the batch goes on in the next frame.
	Continued uint8 = 1 << iota
	// Producer: the payload begins with a producer block of Aux bytes.
	Producer
)

// Header describes a frame.
type Header struct {
	Length     uint32 // of the payload, in bytes, without padding
	PayloadCRC uint32
	Kind       Kind
	Flags      uint8
	Aux        uint16 // bytes of the payload before the first envelope
	Count      uint32 // records
	Log        uint64 // number of the log
	Base       uint64 // offset of the first record
	Position   uint64 // where the frame starts in its segment
	Time       int64  // of its records, in nanoseconds since 1970
	Segment    uint32 // number of the segment within the log
	Chain      uint32 // of the log, this frame included
}

// Size is the length of the whole frame, with header and padding.
func (h *Header) Size() int { return Size(int(h.Length)) }

// Next is the offset after the frame's last record.
func (h *Header) Next() uint64 { return h.Base + uint64(h.Count) }

// Size is the length of a frame with a payload of n bytes.
func Size(n int) int { return HeaderSize + (n+Align-1)&^(Align-1) }

var table = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C of b.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, table) }

// Update adds b to a CRC-32C.
func Update(crc uint32, b []byte) uint32 { return crc32.Update(crc, table, b) }

// Seed is what the checksums of a segment's frame headers start from: the
// checksum of its nonce. So no bytes of another segment, and none that a client
// sent, pass for a frame of this one.
func Seed(nonce uint64) uint32 {
	if bug.On(bug.NonceLeftOut) {
		return 0
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], nonce)
	return Checksum(b[:])
}

// Put writes the header into b's first 64 bytes, with a checksum that starts
// from the segment's seed. Chain is computed from prev, the chain of the log's
// frame before, and set in h.
func (h *Header) Put(b []byte, seed, prev uint32) {
	b = b[:HeaderSize]
	le := binary.LittleEndian
	le.PutUint32(b[0:], magic)
	le.PutUint32(b[8:], h.Length)
	le.PutUint32(b[12:], h.PayloadCRC)
	b[16] = byte(h.Kind)
	b[17] = h.Flags
	le.PutUint16(b[18:], h.Aux)
	le.PutUint32(b[20:], h.Count)
	le.PutUint64(b[24:], h.Log)
	le.PutUint64(b[32:], h.Base)
	le.PutUint64(b[40:], h.Position)
	le.PutUint64(b[48:], uint64(h.Time))
	le.PutUint32(b[56:], h.Segment)
	h.Chain = chain(b, prev)
	le.PutUint32(b[60:], h.Chain)
	le.PutUint32(b[4:], headerCRC(b, seed))
}

// chain covers the header, and by its payload checksum the payload.
func chain(b []byte, prev uint32) uint32 { return crc32.Update(prev, table, b[8:60]) }

func headerCRC(b []byte, seed uint32) uint32 {
	if bug.On(bug.ChecksumWithoutPlace) {
		return crc32.Update(crc32.Update(seed, table, b[8:32]), table, b[48:HeaderSize])
	}
	return crc32.Update(seed, table, b[8:HeaderSize])
}

// What is wrong with a frame.
var (
	ErrMagic   = errors.New("no frame")
	ErrHeader  = errors.New("frame header does not match its checksum")
	ErrPayload = errors.New("frame payload does not match its checksum")
	ErrShort   = errors.New("frame ends beyond its file")
)

// UpdateHeader adds a header to a checksum over headers. It takes the chain
// first: a checksum that goes on over bytes and then over their own checksum
// comes to the same whatever the bytes are.
func UpdateHeader(crc uint32, b []byte) uint32 {
	return Update(Update(crc, b[60:HeaderSize]), b[:60])
}

// Peek reads the header at the start of b without its checksum, which needs the
// segment's seed. Whoever calls it knows by another checksum that the header is
// whole.
func Peek(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, ErrShort
	}
	le := binary.LittleEndian
	if le.Uint32(b) != magic {
		return Header{}, ErrMagic
	}
	h := Header{
		Length:     le.Uint32(b[8:]),
		PayloadCRC: le.Uint32(b[12:]),
		Kind:       Kind(b[16]),
		Flags:      b[17],
		Aux:        le.Uint16(b[18:]),
		Count:      le.Uint32(b[20:]),
		Log:        le.Uint64(b[24:]),
		Base:       le.Uint64(b[32:]),
		Position:   le.Uint64(b[40:]),
		Time:       int64(le.Uint64(b[48:])),
		Segment:    le.Uint32(b[56:]),
		Chain:      le.Uint32(b[60:]),
	}
	if h.Length > MaxPayload || uint32(h.Aux) > h.Length {
		return Header{}, fmt.Errorf("%w: it claims a payload of %d bytes", ErrHeader, h.Length)
	}
	return h, nil
}

// Parse reads the header at the start of b and checks it.
func Parse(b []byte, seed uint32) (Header, error) {
	h, err := Peek(b)
	if err != nil {
		return Header{}, err
	}
	if binary.LittleEndian.Uint32(b[4:]) != headerCRC(b, seed) {
		return Header{}, ErrHeader
	}
	return h, nil
}

// CheckChain says whether the header's chain follows from prev.
func CheckChain(b []byte, prev uint32) bool {
	return binary.LittleEndian.Uint32(b[60:]) == chain(b, prev)
}

// Payload returns the payload of the frame at the start of b, checked.
func (h *Header) Payload(b []byte) ([]byte, error) {
	if len(b) < h.Size() {
		return nil, ErrShort
	}
	p := b[HeaderSize : HeaderSize+int(h.Length)]
	if Checksum(p) != h.PayloadCRC && !bug.On(bug.PayloadNotChecked) {
		return nil, ErrPayload
	}
	return p, nil
}

// IsZero says whether the bytes at the start of b are not a frame but space that
// was never written.
func IsZero(b []byte) bool {
	return len(b) >= 4 && binary.LittleEndian.Uint32(b) == 0
}

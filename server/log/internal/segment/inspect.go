package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
)

// Lost appends to b the frame that keeps the place of lost records: count of
// them from an offset on. It has no payload.
func Lost(b []byte, h frame.Header, seed, prev uint32) ([]byte, frame.Header) {
	h.Kind, h.Flags, h.Aux = frame.Lost, 0, 0
	h.Length, h.PayloadCRC = 0, frame.Checksum(nil)
	at := len(b)
	b = append(b, make([]byte, frame.HeaderSize)...)
	h.Put(b[at:], seed, prev)
	return b, h
}

// A Piece is what stands at a position of a store: a frame, or a stretch of
// bytes that are none.
type Piece struct {
	Position int64
	Size     int64
	Header   frame.Header // if the header is whole
	Raw      []byte       // of a frame, valid until the next Piece
	Err      error        // what is wrong; nil for a whole frame
	Zero     bool         // all bytes are zeros: nothing was ever written here, or it is gone
}

// HeaderWhole says whether the header of a frame is there, whatever its payload.
func (p *Piece) HeaderWhole() bool { return p.Raw != nil }

// Pieces visits all that is in the file from the first frame's position to the
// file's end, in order: every frame of this segment, whole or with a damaged
// payload, and what lies between. It stops when visit returns false. The zeros
// between a frame and the block at which a checkpoint went on are no piece.
func (g *Segment) Pieces(visit func(p *Piece) bool) error {
	w := walker{g: g, end: maxPosition}
	pos := int64(HeaderSize)
	for {
		start := pos
		h, at, err := w.next()
		if err != nil {
			return err
		}
		if h == nil {
			return g.rest(start, visit)
		}
		if at > start {
			bad, err := g.gap(start, at)
			if err != nil {
				return err
			}
			if bad != nil && !visit(bad) {
				return nil
			}
		}
		p := &Piece{Position: at, Size: int64(h.Size()), Header: *h}
		if p.Raw, err = w.bytes(at, h.Size()); err != nil {
			return err
		}
		if len(p.Raw) < h.Size() {
			p.Err = frame.ErrShort
		} else {
			p.Raw = p.Raw[:h.Size()]
			p.Err = p.check()
		}
		if !visit(p) {
			return nil
		}
		pos = at + int64(h.Size())
	}
}

// check says whether a frame's payload is what its header says.
func (p *Piece) check() error {
	payload, err := p.Header.Payload(p.Raw)
	if err != nil || p.Header.Kind == frame.Lost {
		return err
	}
	f := wholeFrame{Header: p.Header, raw: p.Raw}
	return f.checkRecords(payload)
}

// CheckRecords says whether the payload of a records frame is the records that
// its header claims.
func CheckRecords(h *frame.Header, payload []byte) error {
	f := wholeFrame{Header: *h}
	return f.checkRecords(payload)
}

// gap describes the bytes between two frames, nil if they are the zeros before a
// block.
func (g *Segment) gap(from, to int64) (*Piece, error) {
	p := &Piece{Position: from, Size: to - from, Zero: true}
	for at := from; at < to; at += largeRead {
		b, err := g.readAt(make([]byte, min(largeRead, to-at)), at)
		if err != nil {
			return nil, err
		}
		if at == from {
			_, p.Err = g.parse(b, from)
		}
		p.Zero = p.Zero && allZero(b)
	}
	if p.Zero && to == vfs.AlignUp(from) {
		return nil, nil
	}
	if p.Err == nil { // cannot be: a frame there would have been found
		p.Err = frame.ErrMagic
	}
	return p, nil
}

// rest describes what follows the last frame.
func (g *Segment) rest(from int64, visit func(*Piece) bool) error {
	size, err := g.fileSize()
	if err != nil || size <= from {
		return err
	}
	p, err := g.gap(from, size)
	if err == nil && p != nil {
		visit(p)
	}
	return err
}

func (g *Segment) fileSize() (int64, error) {
	h, err := g.open()
	if err != nil {
		return 0, err
	}
	defer h.release()
	return h.f.Size()
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// ErrHeader reports a store whose own header is damaged.
var ErrHeader = errors.New("segment header is damaged")

// ReadSpec reads what the header of a store says, and the directory it says that
// it belongs to.
func ReadSpec(fs vfs.FS, path string) (spec Spec, dirID [16]byte, err error) {
	f, err := fs.Open(path, vfs.ReadOnly)
	if err != nil {
		return spec, dirID, err
	}
	defer f.Close()
	// A whole block: the file may be opened for direct I/O.
	b := vfs.AlignedBuffer(vfs.BlockSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return spec, dirID, err
	}
	return decodeHeader(b[:n])
}

func decodeHeader(b []byte) (spec Spec, dirID [16]byte, err error) {
	le := binary.LittleEndian
	if len(b) < HeaderSize || le.Uint32(b) != storeMagic || le.Uint32(b[4:]) != frame.Checksum(b[8:HeaderSize]) {
		return spec, dirID, ErrHeader
	}
	if v := le.Uint16(b[8:]); v != formatMajor {
		return spec, dirID, fmt.Errorf("segment has format %d, this program reads %d", v, formatMajor)
	}
	return Spec{
		Log: le.Uint64(b[32:]), Number: le.Uint32(b[40:]), Chain: le.Uint32(b[44:]),
		Base: le.Uint64(b[48:]), Nonce: le.Uint64(b[56:]), Created: int64(le.Uint64(b[64:])),
	}, [16]byte(b[16:32]), nil
}

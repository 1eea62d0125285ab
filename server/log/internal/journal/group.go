package journal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
	"github.com/proglog/proglog/server/log/internal/frame"
)

// GroupHeaderSize is the size of a group's header in bytes.
const GroupHeaderSize = 64

const (
	groupMagic = 0x31474c50 // "PLG1"
	maxGroup   = 32 << 20   // a header that claims more is not believed
	groupKept  = 256 << 10  // of a group's memory, over Release
)

// A Group is what one sync makes durable: frames of any logs, written with one
// call at a multiple of 4 KiB, so that no byte that was acked is ever rewritten.
// Its memory is reused, and fit for direct I/O. It is built by one goroutine.
type Group struct {
	buf    []byte // the header's space and the frames so far
	frames uint32
	crc    uint32 // over the frames' headers
}

// Reset empties the group.
func (g *Group) Reset() {
	if g.buf == nil {
		g.buf = vfs.AlignedBuffer(groupKept)
	}
	g.buf = g.buf[:GroupHeaderSize]
	g.frames, g.crc = 0, 0
}

// Release lets go of the memory that only a large group needs; what is in the
// group is lost. Without it, one large batch would keep its size for good.
func (g *Group) Release() {
	if cap(g.buf) > groupKept {
		g.buf = nil
	}
}

// Room makes sure that n bytes can be appended to Buf without moving it.
func (g *Group) Room(n int) {
	need := int(vfs.AlignUp(int64(len(g.buf) + n)))
	if need <= cap(g.buf) {
		return
	}
	b := vfs.AlignedBuffer(int(vfs.AlignUp(int64(max(need, 2*cap(g.buf))))))
	g.buf = b[:copy(b, g.buf)]
}

// Buf is the group's memory: it ends where the next frame is to be built. The
// caller asks for Room, appends and gives the longer slice to SetBuf.
func (g *Group) Buf() []byte { return g.buf }

// SetBuf takes back what Buf gave.
func (g *Group) SetBuf(b []byte) { g.buf = b }

// Added counts a frame whose header is now complete at the position in Buf.
func (g *Group) Added(at int) {
	g.frames++
	g.crc = frame.UpdateHeader(g.crc, g.buf[at:at+frame.HeaderSize])
}

// Written is a part of the group's memory, also after it was written.
func (g *Group) Written(from, to int) []byte { return g.buf[from:to] }

// Empty says whether the group has no frames.
func (g *Group) Empty() bool { return g.frames == 0 }

// Size is how many bytes the group takes in the journal.
func (g *Group) Size() int64 { return vfs.AlignUp(int64(len(g.buf))) }

// seal writes the header and pads the group with zeros; it returns the bytes to
// write and the group's checksum, which the next group's chain refers to.
func (g *Group) seal(h groupHeader) ([]byte, uint32) {
	h.length, h.frames, h.framesCRC = uint32(len(g.buf)), g.frames, g.crc
	b := g.buf[:g.Size()]
	clear(b[len(g.buf):])
	crc := h.put(b)
	return b, crc
}

type groupHeader struct {
	length    uint32 // in bytes, with the header, without padding
	frames    uint32
	framesCRC uint32 // over the headers of the frames
	chain     uint32 // checksum of the header of the group before
	seq       uint64 // number of the group: 1, 2, 3, … for the life of the data directory
	synced    uint64 // every group up to this one was synced when this one was written
	file      uint64 // number of the file
	position  uint64 // where the group starts in the file
	nonce     uint64 // of the file
}

func (h *groupHeader) put(b []byte) uint32 {
	le := binary.LittleEndian
	le.PutUint32(b[0:], groupMagic)
	le.PutUint32(b[8:], h.length)
	le.PutUint32(b[12:], h.frames)
	le.PutUint32(b[16:], h.framesCRC)
	le.PutUint32(b[20:], h.chain)
	le.PutUint64(b[24:], h.seq)
	le.PutUint64(b[32:], h.synced)
	le.PutUint64(b[40:], h.file)
	le.PutUint64(b[48:], h.position)
	le.PutUint64(b[56:], h.nonce)
	crc := frame.Checksum(b[8:GroupHeaderSize])
	le.PutUint32(b[4:], crc)
	return crc
}

var errNoGroup = errors.New("no group")

func parseGroupHeader(b []byte) (h groupHeader, crc uint32, err error) {
	le := binary.LittleEndian
	if len(b) < GroupHeaderSize || le.Uint32(b) != groupMagic {
		return h, 0, errNoGroup
	}
	crc = le.Uint32(b[4:])
	if crc != frame.Checksum(b[8:GroupHeaderSize]) {
		return h, 0, fmt.Errorf("%w: its header does not match its checksum", errNoGroup)
	}
	h = groupHeader{
		length:    le.Uint32(b[8:]),
		frames:    le.Uint32(b[12:]),
		framesCRC: le.Uint32(b[16:]),
		chain:     le.Uint32(b[20:]),
		seq:       le.Uint64(b[24:]),
		synced:    le.Uint64(b[32:]),
		file:      le.Uint64(b[40:]),
		position:  le.Uint64(b[48:]),
		nonce:     le.Uint64(b[56:]),
	}
	if h.length < GroupHeaderSize || h.length > maxGroup {
		return h, 0, fmt.Errorf("%w: it claims %d bytes", errNoGroup, h.length)
	}
	return h, crc, nil
}

// checkFrames says whether the frames of a group are whole: the headers by the
// group's checksum, each payload by its frame's.
func (h *groupHeader) checkFrames(b []byte) error {
	if bug.On(bug.TornGroupApplied) {
		return nil
	}
	crc, n := uint32(0), uint32(0)
	for rest := b[GroupHeaderSize:h.length]; len(rest) > 0; n++ {
		fh, err := frame.Peek(rest)
		if err != nil {
			return fmt.Errorf("frame %d of the group: %w", n, err)
		}
		if _, err := fh.Payload(rest); err != nil {
			return fmt.Errorf("frame %d of the group: %w", n, err)
		}
		crc = frame.UpdateHeader(crc, rest[:frame.HeaderSize])
		rest = rest[fh.Size():]
	}
	if crc != h.framesCRC || n != h.frames {
		return errors.New("the frame headers of the group do not match its checksum")
	}
	return nil
}

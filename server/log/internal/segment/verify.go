package segment

import (
	"context"
	"fmt"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
)

// Verify checks every byte of the frames that hold the offsets from the base up
// to next: checksums, places, order and chain, and that no other bytes lie
// between them. It returns the damaged ranges, empty ones for bytes between
// frames, those that a repair recorded with [ErrLost] as their cause, and the
// chain of the last frame. progress is told of bytes as they are read. The error
// is the context's.
func (g *Segment) Verify(ctx context.Context, next uint64, progress func(int64)) (damaged []*commitlog.DamagedError, chain uint32, err error) {
	w := walker{g: g, end: maxPosition}
	pos, offset := int64(HeaderSize), g.Base
	chain, known := g.Chain, true
	for offset < next {
		if err := ctx.Err(); err != nil {
			return damaged, chain, err
		}
		h, at, cause := w.strict(pos, offset)
		if cause == nil && known && h.chainBroken(chain) {
			cause = fmt.Errorf("its chain does not follow from the frame before")
		}
		if cause != nil {
			d, behind := g.damage(offset, next, at, cause)
			damaged = append(damaged, d)
			progress(behind - pos)
			pos, offset, known = behind, d.Next, known && d.Next == d.First
			continue
		}
		if h.Kind == frame.Lost {
			d := &commitlog.DamagedError{First: offset, Next: min(h.Next(), next), Cause: &placeError{g.Name(), at, ErrLost}}
			damaged = append(damaged, d)
		}
		progress(at + int64(h.Size()) - pos)
		pos, offset = at+int64(h.Size()), h.Next()
		chain, known = h.Chain, true
	}
	return damaged, chain, nil
}

// A wholeFrame is a frame that was checked but for its chain.
type wholeFrame struct {
	frame.Header
	raw []byte
}

func (f *wholeFrame) chainBroken(prev uint32) bool { return !frame.CheckChain(f.raw, prev) }

// strict returns the frame of an offset, which begins at a position or, behind
// zeros, at the next block.
func (w *walker) strict(pos int64, offset uint64) (f wholeFrame, at int64, err error) {
	b, err := w.bytes(pos, frame.HeaderSize)
	if err != nil {
		return f, pos, err
	}
	if frame.IsZero(b) && pos%vfs.BlockSize != 0 {
		at := vfs.AlignUp(pos)
		gap, err := w.bytes(pos, int(at-pos))
		if err != nil {
			return f, pos, err
		}
		if len(gap) < int(at-pos) {
			return f, pos, frame.ErrShort
		}
		for _, c := range gap[:at-pos] {
			if c != 0 {
				return f, pos, frame.ErrMagic
			}
		}
		pos = at
		if b, err = w.bytes(pos, frame.HeaderSize); err != nil {
			return f, pos, err
		}
	}
	if f.Header, err = w.g.parse(b, pos); err != nil {
		return f, pos, err
	}
	if f.Base != offset {
		return f, pos, fmt.Errorf("it begins at offset %d where %d should be", f.Base, offset)
	}
	if f.raw, err = w.bytes(pos, f.Size()); err != nil {
		return f, pos, err
	}
	payload, err := f.Payload(f.raw)
	if err != nil || f.Kind == frame.Lost {
		return f, pos, err
	}
	return f, pos, f.checkRecords(payload)
}

// checkRecords says whether the payload is the records that the header claims.
func (f *wholeFrame) checkRecords(payload []byte) error {
	rest := payload[f.Aux:]
	for i := range uint64(f.Count) {
		envelope, tail, err := commitlog.CutEnvelope(rest)
		if err != nil {
			return err
		}
		b, err := commitlog.RecordBytes(envelope)
		if err != nil {
			return err
		}
		rec, err := commitlog.DecodeRecord(b)
		if err != nil {
			return err
		}
		if rec.Offset != f.Base+i {
			return fmt.Errorf("its record %d says that its offset is %d", i, rec.Offset)
		}
		rest = tail
	}
	if len(rest) != 0 {
		return fmt.Errorf("%d bytes follow its last record", len(rest))
	}
	return nil
}

// CheckIndex says whether the sidecar, if there is one, agrees with the store.
func (g *Segment) CheckIndex() error {
	said, err := g.readSidecar()
	if err != nil {
		return err
	}
	found, err := g.scanIndex()
	if err != nil {
		return err
	}
	if len(said) != len(found) {
		return errSidecar
	}
	for i := range said {
		if said[i] != found[i] {
			return errSidecar
		}
	}
	return nil
}

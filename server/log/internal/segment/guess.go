package segment

import (
	"errors"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/log/internal/frame"
)

var errNoGuess = errors.New("no frame in it is whole")

// GuessNonce finds out how to read a store whose header is damaged, when nothing
// else tells its nonce: every frame tells what seed its header's checksum needs,
// and the seed of most frames that are whole otherwise, in their place and in
// every record, is the right one. Of the spec it needs log, number and base.
func (s *Set) GuessNonce(spec Spec) (uint64, error) {
	g := s.Existing(spec, 0)
	w := walker{g: g}
	votes := map[uint32]int{}
	best, most := uint32(0), 0
	for pos := int64(HeaderSize); most < 8; {
		b, err := w.bytes(pos, frame.HeaderSize)
		if err != nil {
			return 0, err
		}
		if len(b) < frame.HeaderSize {
			break
		}
		h, err := frame.Peek(b)
		if err != nil || h.Log != g.Log || h.Segment != g.Number || h.Position != uint64(pos) || h.Base < g.Base {
			pos += frame.Align
			continue
		}
		raw, err := w.bytes(pos, h.Size())
		if err != nil {
			return 0, err
		}
		if !plausible(&h, raw) {
			pos += frame.Align
			continue
		}
		seed := frame.SeedOf(raw)
		votes[seed]++
		if votes[seed] > most {
			best, most = seed, votes[seed]
		}
		pos += int64(h.Size())
	}
	if most == 0 {
		return 0, errNoGuess
	}
	return frame.NonceOf(best), nil
}

// plausible says whether all that a header says agrees with its payload.
func plausible(h *frame.Header, raw []byte) bool {
	if h.Kind == frame.Lost {
		return h.Length == 0 && h.Count > 0
	}
	payload, err := h.Payload(raw)
	if err != nil || h.Kind != frame.Records || h.Count == 0 || (h.Flags&frame.Producer != 0) != (h.Aux > 0) {
		return false
	}
	if CheckRecords(h, payload) != nil {
		return false
	}
	envelope, _, _ := commitlog.CutEnvelope(payload[h.Aux:])
	b, _ := commitlog.RecordBytes(envelope) // both were checked
	rec, err := commitlog.DecodeRecord(b)
	return err == nil && rec.Time.UnixNano() == h.Time
}

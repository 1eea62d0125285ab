package segment

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/fuzztest"
)

const fuzzRecords = 12

func fuzzSpec() Spec { return Spec{Log: 3, Number: 2, Base: 40, Nonce: 99, Chain: 5, Created: 1} }

// fuzzSegment makes a segment of several frames, one of them of lost records, and
// returns it with where its frames end.
func fuzzSegment(t testing.TB) (g *Segment, end int64) {
	fs := vfstest.NewMem()
	require.NoError(t, fs.MkdirAll("segments"))
	g = NewSet(fs, "segments", [16]byte{1}, 4, 1<<20).New(fuzzSpec())
	g.Begin()
	end = HeaderSize
	chain := g.Chain
	for offset := g.Base; offset < g.Base+fuzzRecords; {
		h := frame.Header{Kind: frame.Records, Count: 2, Log: g.Log, Base: offset, Position: uint64(end), Time: 7, Segment: g.Number}
		var b []byte
		if offset == g.Base+4 {
			b, h = Lost(nil, h, g.Seed, chain)
		} else {
			b = make([]byte, frame.HeaderSize)
			for range 2 {
				b = commitlog.AppendEnvelope(b, &commitlog.Record{Offset: offset, Time: time.Unix(0, 7), Value: fuzzValue(offset)})
				offset++
			}
			offset -= 2
			h.Length = uint32(len(b) - frame.HeaderSize)
			h.PayloadCRC = frame.Checksum(b[frame.HeaderSize:])
			for len(b) < h.Size() {
				b = append(b, 0)
			}
			h.Put(b, g.Seed, chain)
		}
		g.Buffer(b, end)
		g.Added(offset, end)
		end += int64(h.Size())
		chain = h.Chain
		offset += 2
	}
	require.NoError(t, g.Persist())
	require.NoError(t, g.Seal(end))
	return g, end
}

func fuzzValue(offset uint64) []byte { return fmt.Appendf(nil, "value of %0900d", offset) }

func fuzzFile(t testing.TB, g *Segment, name string) []byte {
	f, err := g.set.FS.Open("segments/"+name, vfs.Buffered)
	require.NoError(t, err)
	defer f.Close()
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	return b
}

// readAll reads a segment and holds each record to what was written. It returns
// the offsets that are damaged.
func readAll(t testing.TB, g *Segment) (damaged []uint64) {
	limit := g.Base + fuzzRecords
	for at := g.Base; at < limit; {
		run, next, err := g.Read(nil, at, limit, commitlog.ReadLimit{})
		if d := (*commitlog.DamagedError)(nil); errors.As(err, &d) {
			require.LessOrEqual(t, d.First, at)
			require.Greater(t, d.Next, at)
			require.LessOrEqual(t, d.Next, limit)
			for ; at < d.Next; at++ {
				damaged = append(damaged, at)
			}
			continue
		}
		require.NoError(t, err)
		require.Greater(t, next, at)
		for rec, err := range (commitlog.Run{Envelopes: run}).All() {
			require.NoError(t, err)
			require.Equal(t, at, rec.Offset)
			require.Equal(t, fuzzValue(at), rec.Value)
			at++
		}
		require.Equal(t, next, at)
	}
	return damaged
}

// A fuzzStore gives the files of a segment to a set that is made once: what a set
// keeps for its readers costs far more than an input.
type fuzzStore struct {
	spec   Spec
	end    int64
	files  fuzztest.Files
	whole  fuzztest.Files
	frames []int // where they begin, behind the file's own beginning
	set    *Set
}

func newFuzzStore(t testing.TB) *fuzzStore {
	g, end := fuzzSegment(t)
	s := &fuzzStore{spec: g.Spec, end: end, frames: []int{0}, whole: fuzztest.Files{
		g.path(): fuzzFile(t, g, g.Name()), "segments/" + g.indexName(): fuzzFile(t, g, g.indexName()),
	}}
	require.NoError(t, g.Pieces(func(p *Piece) bool {
		s.frames = append(s.frames, int(p.Position))
		return true
	}))
	require.Len(t, s.frames, 1+fuzzRecords/2)
	s.files = maps.Clone(s.whole)
	s.set = NewSet(s.files, "segments", g.set.ID, 1, 1)
	return s
}

// with returns the segment with another content of one of its files.
func (s *fuzzStore) with(name string, b []byte) *Segment {
	maps.Copy(s.files, s.whole)
	s.files[name] = b
	return s.set.Existing(s.spec, s.end)
}

// refit makes the checksums and chains of all frames right, whatever they say.
func (s *fuzzStore) refit(b []byte) {
	if len(b) >= HeaderSize {
		binary.LittleEndian.PutUint32(b[4:], frame.Checksum(b[8:HeaderSize]))
	}
	chain := s.spec.Chain
	for pos := HeaderSize; pos+frame.HeaderSize <= len(b); {
		h, err := frame.Peek(b[pos:])
		if err != nil {
			pos += frame.Align
			continue
		}
		if behind := b[pos+frame.HeaderSize:]; int(h.Length) <= len(behind) {
			h.PayloadCRC = frame.Checksum(behind[:h.Length])
		}
		h.Put(b[pos:], frame.Seed(s.spec.Nonce), chain)
		chain = h.Chain
		pos += h.Size()
	}
}

// readForged reads a segment whose checksums are right whatever it holds: reads
// go on, stay within bounds and end.
func readForged(t testing.TB, g *Segment) (damaged []uint64) {
	limit := g.Base + fuzzRecords
	for at := g.Base; at < limit; {
		run, next, err := g.Read(nil, at, limit, commitlog.ReadLimit{})
		if d := (*commitlog.DamagedError)(nil); errors.As(err, &d) {
			require.LessOrEqual(t, d.First, at)
			next = d.Next
			for offset := at; offset < d.Next; offset++ {
				damaged = append(damaged, offset)
			}
		} else {
			require.NoError(t, err)
			for range (commitlog.Run{Envelopes: run}).All() {
			}
		}
		require.Greater(t, next, at)
		require.LessOrEqual(t, next, limit)
		at = next
	}
	return damaged
}

// Goal: whatever a store holds, a read gives the records that were written, or
// tells that they are damaged; Verify finds no less, and Pieces visits each byte
// at most once. With checksums made right behind the changes, what is behind them
// is bounded just so, but for the records.
func FuzzStore(f *testing.F) {
	s := newFuzzStore(f)
	name := s.set.Existing(s.spec, s.end).path()
	for _, fit := range []bool{false, true} {
		f.Add([]byte{}, fit)
		f.Add(fuzztest.Truncate(6, 100), fit)
		f.Add(fuzztest.Truncate(0, 0), fit)
		f.Add(fuzztest.Move(2, 4, 255), fit)
		f.Add(fuzztest.Set(2, 8, 0xff, 0xff), fit)                                       // a payload that is longer
		f.Add(fuzztest.Set(2, 20, 0xff, 0xff, 0xff, 0xff), fit)                          // more records than there are
		f.Add(fuzztest.Set(3, 16, byte(frame.Lost), 0, 0, 0, 200), fit)                  // lost ones
		f.Add(fuzztest.Set(5, 32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), fit)  // the last offset there is
		f.Add(fuzztest.Set(1, frame.HeaderSize+1, 0xff, 0xff, 0xff, 0xff), fit)          // a record that is longer
		f.Add(append(fuzztest.Set(4, 0, 0, 0, 0, 0), fuzztest.Set(1, 16, 0x80)...), fit) // zeros; a kind of a later version
	}
	f.Fuzz(func(t *testing.T, script []byte, fit bool) {
		b := fuzztest.Apply(script, s.whole[name], s.frames)
		read := readAll
		if fit {
			s.refit(b)
			read = readForged
		}
		g := s.with(name, b)
		found := read(t, g)
		damaged := map[uint64]bool{}
		for _, offset := range found {
			damaged[offset] = true
		}
		ranges, _, err := g.Verify(context.Background(), g.Base+fuzzRecords, func(int64) {})
		require.NoError(t, err)
		for _, d := range ranges {
			require.LessOrEqual(t, d.First, d.Next)
			for offset := d.First; offset < d.Next; offset++ {
				delete(damaged, offset)
			}
		}
		if fit { // Verify looks at more, and so may step over other frames than readers
			require.False(t, len(ranges) == 0 && len(found) > 0, "readers find damage, and Verify does not")
		} else {
			require.Empty(t, damaged, "readers find it, and Verify does not")
		}
		at := int64(0)
		require.NoError(t, g.Pieces(func(p *Piece) bool {
			require.GreaterOrEqual(t, p.Position, at)
			require.Positive(t, p.Size)
			at = p.Position + p.Size
			return true
		}))
		_, _, _ = decodeHeader(b)
		_, _ = s.set.GuessNonce(fuzzSpec())
	})
}

// Goal: an index is never trusted: whatever it says, with a checksum that is
// right, reads give what the store holds.
func FuzzIndex(f *testing.F) {
	s := newFuzzStore(f)
	name := "segments/" + s.set.Existing(s.spec, s.end).indexName()
	f.Add([]byte{})
	f.Add(fuzztest.Truncate(0, sidecarHeader))
	f.Add(fuzztest.Set(1, 8, 0, 2, 0, 0, 0, 0, 0, 0)) // in the middle of a frame
	f.Add(fuzztest.Set(1, 8, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff))
	f.Add(fuzztest.Move(0, 1, 1))
	lost := []uint64{s.spec.Base + 4, s.spec.Base + 5}
	f.Fuzz(func(t *testing.T, script []byte) {
		b := fuzztest.Apply(script, s.whole[name], []int{0, sidecarHeader})
		if len(b) >= sidecarHeader {
			binary.LittleEndian.PutUint64(b[48:], uint64(len(b)-sidecarHeader)/8)
			binary.LittleEndian.PutUint32(b[4:], frame.Checksum(b[8:]))
		}
		g := s.with(name, b)
		require.Equal(t, lost, readAll(t, g))
		for offset := g.Base; offset < g.Base+fuzzRecords; offset++ {
			run, next, err := g.Read(nil, offset, g.Base+fuzzRecords, commitlog.ReadLimit{Records: 1})
			if offset == lost[0] || offset == lost[1] {
				require.ErrorIs(t, err, ErrLost)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, offset+1, next)
			require.NotEmpty(t, run)
		}
		_, _ = g.FindTime(3, g.Base+fuzzRecords)
	})
}

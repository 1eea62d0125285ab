package segment

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
	"github.com/proglog/proglog/server/log/internal/frame"
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

func setFuzzFile(t testing.TB, g *Segment, name string, b []byte) {
	f, err := g.set.FS.Open("segments/"+name, vfs.Buffered)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Truncate(0))
	if len(b) > 0 {
		_, err = f.WriteAt(b, 0)
		require.NoError(t, err)
	}
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

// Goal: whatever a store holds, a read gives the records that were written, or
// tells that they are damaged; Verify finds no less, and Pieces visits each byte
// at most once.
func FuzzStore(f *testing.F) {
	g, end := fuzzSegment(f)
	whole := fuzzFile(f, g, g.Name())
	f.Add(whole)
	f.Add(whole[:len(whole)-100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		g, _ := fuzzSegment(t)
		setFuzzFile(t, g, g.Name(), b)
		g = g.set.Existing(g.Spec, end)
		damaged := map[uint64]bool{}
		for _, offset := range readAll(t, g) {
			damaged[offset] = true
		}
		ranges, _, err := g.Verify(context.Background(), g.Base+fuzzRecords, func(int64) {})
		require.NoError(t, err)
		for _, d := range ranges {
			for offset := d.First; offset < d.Next; offset++ {
				delete(damaged, offset)
			}
		}
		require.Empty(t, damaged, "readers find it, and Verify does not")
		at := int64(0)
		require.NoError(t, g.Pieces(func(p *Piece) bool {
			require.GreaterOrEqual(t, p.Position, at)
			require.True(t, p.Size > 0)
			at = p.Position + p.Size
			return true
		}))
		_, _, _ = decodeHeader(b)
		_, _ = g.set.GuessNonce(fuzzSpec())
	})
}

// Goal: an index is never trusted: whatever it says, with a checksum that is
// right, reads give what the store holds.
func FuzzIndex(f *testing.F) {
	g, end := fuzzSegment(f)
	f.Add(fuzzFile(f, g, g.indexName()))
	f.Add([]byte{})
	lost := []uint64{g.Base + 4, g.Base + 5}
	f.Fuzz(func(t *testing.T, b []byte) {
		g, _ := fuzzSegment(t)
		if len(b) >= sidecarHeader {
			binary.LittleEndian.PutUint32(b[4:], frame.Checksum(b[8:]))
		}
		setFuzzFile(t, g, g.indexName(), b)
		g = g.set.Existing(g.Spec, end)
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

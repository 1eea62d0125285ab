package segment

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// Goal: whatever is appended, in whatever pieces, with zeros between, and with the
// file being written meanwhile, a tail gives the bytes that were appended, counts the
// memory that it takes, and takes hardly more than it holds.
func TestTailHoldsWhatWasAppended(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 1))
		var held tail
		held.written.Store(nothingHeld)
		const start = 4096
		var want []byte // from start on
		memory, inFile := 0, start
		largest := 1 << (4 + random.IntN(14))
		check := func() {
			end := start + len(want)
			require.Equal(t, held.memory, memory)
			if inFile == end {
				require.Zero(t, memory)
				require.EqualValues(t, nothingHeld, held.written.Load())
				return
			}
			require.EqualValues(t, inFile, held.written.Load())
			require.LessOrEqual(t, memory, max(firstChunk, 2*largest, 3*(end-inFile), end-inFile+2*chunkSize), "of %d", end-inFile)
			for range 4 {
				from := start + random.IntN(len(want))
				b := make([]byte, 1+random.IntN(2*chunkSize))
				below, all, found := held.read(b, int64(from))
				require.True(t, found)
				require.Equal(t, min(max(inFile-from, 0), len(b)), below)
				require.Equal(t, max(below, min(len(b), end-from)), all)
				require.True(t, bytes.Equal(want[from+below-start:from+all-start], b[below:all]))
			}
		}
		for range 300 {
			var parts [][]byte
			n, gap := 0, 0
			if random.IntN(3) == 0 {
				var pos int64
				parts, pos, n = held.begin()
				require.True(t, n == 0 || pos == int64(inFile))
			}
			for range random.IntN(4) {
				zeros := 0
				if random.IntN(4) == 0 && (n == 0 || gap == 0) {
					zeros = random.IntN(4096)
				}
				piece := make([]byte, 1+random.IntN(largest))
				for i := range piece {
					piece[i] = byte(random.Uint32())
				}
				if n > 0 && start+len(want) == inFile+n {
					gap = zeros
				}
				if inFile == start+len(want) { // nothing is held: it begins behind the zeros
					inFile += zeros
				}
				want = append(append(want, make([]byte, zeros)...), piece...)
				size, took := held.add(piece, int64(start+len(want)-len(piece)))
				memory += took
				require.Equal(t, start+len(want)-inFile, size)
				check()
			}
			if n > 0 {
				require.True(t, bytes.Equal(want[inFile-start:inFile-start+n], bytes.Join(parts, nil)), "what is being written stays as it is")
				if random.IntN(5) == 0 {
					n = 0 // it failed
				}
			}
			memory -= held.end(n)
			if n > 0 {
				inFile += n + gap
			}
			if len(want) > 0 {
				check()
			}
		}
	}
}

// Goal: the memory of tails is counted as what it is, and given back by a flush and by
// a removal.
func TestMemoryOfTailsIsCounted(t *testing.T) {
	s := NewSet(vfstest.NewMem(), "segments", [16]byte{}, 10, 1<<20)
	require.NoError(t, s.FS.MkdirAll("segments"))
	flushed, removed := s.New(Spec{Number: 1}), s.New(Spec{Number: 2})
	for _, g := range []*Segment{flushed, removed} {
		g.Begin()
		require.Equal(t, HeaderSize+3*chunkSize, g.Buffer(make([]byte, 3*chunkSize), HeaderSize))
	}
	require.EqualValues(t, 2*4*chunkSize, s.Buffered())
	require.NoError(t, flushed.Flush())
	require.EqualValues(t, 4*chunkSize, s.Buffered())
	require.NoError(t, removed.Remove())
	require.Zero(t, s.Buffered())
	removed.Buffer(make([]byte, 10), HeaderSize+3*chunkSize) // the writer has not heard of it yet
	require.Zero(t, s.Buffered())
}

package segment

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// Goal: however the records' sizes are spread, a lookup finds the last entry at or
// below an offset, and the one behind it, as looking at all of them does.
func TestFindAgreesWithALookAtAllEntries(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const base = 1000
	for _, most := range []int{1, 2, 9, 5000} { // records between two entries
		for range 200 {
			entries := make([]entry, 1+random.IntN(60))
			offset, position := uint64(base+random.IntN(3)), int64(HeaderSize)
			for i := range entries {
				entries[i] = newEntry(base, offset, position)
				offset += 1 + uint64(random.IntN(most))
				position += IndexStride
				if random.IntN(10) == 0 {
					offset += uint64(random.IntN(100 * most))
				}
			}
			first := entries[0].offset(base)
			for range 40 {
				want := first + random.Uint64N(offset-first+5)
				last := 0
				for i, e := range entries {
					if e.offset(base) <= want {
						last = i
					}
				}
				behind := int64(0)
				if last+1 < len(entries) {
					behind = entries[last+1].position()
				}
				frame, at, next := find(entries, base, want)
				require.Equal(t, entries[last].offset(base), frame)
				require.Equal(t, entries[last].position(), at)
				require.Equal(t, behind, next)
			}
		}
	}
}

// Goal: whatever is the number of indexes, the cache keeps to its limit, and as many
// are in it as there is room for when all are thinned alike: a large log's indexes are
// not dropped one after the other while others are still whole.
func TestIndexesAreThinnedBeforeAnyIsDropped(t *testing.T) {
	const full, atOnce = 256, 16 // entries of an index, and how many whole ones have room
	const thinned = atOnce * thinTo * thinTo
	for _, segments := range []int{1, atOnce, atOnce + 1, 3 * atOnce, atOnce * thinTo, 2 * atOnce * thinTo, thinned - thinTo*thinTo, 2 * thinned} {
		s := &Set{}
		s.indexes.limit = atOnce * full * 8
		all := make([]*Segment, segments)
		for i := range all {
			all[i] = &Segment{set: s}
			low := make([]entry, full)
			all[i].index.low.Store(&low)
			s.indexes.loaded(all[i], &low)
		}
		kept, bytes, longest, shortest := 0, int64(0), 0, full
		for i, g := range all {
			low := g.index.low.Load()
			if low == nil {
				continue
			}
			kept++
			bytes += int64(len(*low)) * 8
			if shortest = min(shortest, len(*low)); i < segments-1 {
				longest = max(longest, len(*low))
			}
		}
		require.LessOrEqual(t, bytes, s.indexes.limit, "%d segments", segments)
		require.Equal(t, s.indexes.bytes, bytes, "%d segments", segments)
		require.NotNil(t, all[segments-1].index.low.Load(), "%d segments: the one just loaded is wanted", segments)
		require.GreaterOrEqual(t, kept, min(segments, thinned-thinTo*thinTo), "%d segments", segments)
		if segments < thinned/2 { // but for the last, which is whole, none is much poorer than another
			require.LessOrEqual(t, longest/shortest, thinTo, "%d segments", segments)
		}
	}
}

// Goal: a checkpoint that seals a segment which a trim has removed meanwhile leaves no
// file behind.
func TestSealOfARemovedSegment(t *testing.T) {
	s := NewSet(vfstest.NewMem(), "segments", [16]byte{}, 10, 1<<20)
	require.NoError(t, s.FS.MkdirAll("segments"))
	g := s.New(Spec{Number: 1})
	g.Begin()
	require.NoError(t, g.Persist())
	require.NoError(t, g.Remove())
	require.NoError(t, g.Seal(HeaderSize))
	names, err := s.FS.ReadDir("segments")
	require.NoError(t, err)
	require.Empty(t, names)
	require.Zero(t, s.indexes.bytes)
}

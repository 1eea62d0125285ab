package segment

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// Goal: the indexes of segments that are written to keep to half of the memory for
// indexes however many there are, down to 4 KiB each, and every lookup, also beside the
// writer, ends at a frame at or below the offset, as near as there is memory for.
func TestGrowingIndexesKeepToTheirMemory(t *testing.T) {
	const limit, frames = 256 << 10, 10_000
	for name, segments := range map[string]int{"few": 1, "some": 8, "many": 100} {
		t.Run(name, func(t *testing.T) {
			s := NewSet(vfstest.NewMem(), "segments", [16]byte{}, 10, limit)
			all := make([]*Segment, segments)
			for i := range all {
				all[i] = s.New(Spec{Number: uint32(i)})
			}
			stop := make(chan struct{})
			var reader sync.WaitGroup
			reader.Go(func() {
				for random := rand.New(rand.NewPCG(1, 2)); ; {
					select {
					case <-stop:
						return
					default:
					}
					want := random.Uint64N(frames)
					offset, pos, next, err := all[random.IntN(segments)].lookup(want)
					if !assert.NoError(t, err) || !assert.LessOrEqual(t, offset, want) || !assert.Equal(t, int64(HeaderSize+offset*IndexStride), pos) || next > 0 && !assert.Greater(t, next, pos) {
						return
					}
				}
			})
			for n := range uint64(frames) {
				for _, g := range all {
					g.Added(n, int64(HeaderSize+n*IndexStride))
				}
			}
			close(stop)
			reader.Wait()

			bytes := int64(0)
			for _, g := range all {
				bytes += int64(len(g.index.high.array.Load().memory)) * 8
			}
			require.LessOrEqual(t, bytes, max(limit/2, int64(segments)*leastGrowing))
			require.Equal(t, s.indexes.growing, bytes)
			// A power of two of entries, of which half are there at least.
			fair := max(uint64(leastGrowing/8), uint64(limit/2/8/segments)) / 4
			for _, g := range all {
				for want := uint64(0); want < frames; want += 7 {
					offset, _, _, err := g.lookup(want)
					require.NoError(t, err)
					require.LessOrEqual(t, want-offset, frames/fair)
				}
			}
			for _, g := range all {
				require.NoError(t, g.Remove())
				g.Added(frames, HeaderSize+frames*IndexStride) // the writer has not heard of it yet
			}
			require.Zero(t, s.indexes.growing)
		})
	}
}

// Goal: loaded indexes make room for those that grow.
func TestLoadedIndexesMakeRoomForGrowingOnes(t *testing.T) {
	const limit = 256 << 10
	s := NewSet(vfstest.NewMem(), "segments", [16]byte{}, 10, limit)
	for range 8 {
		low := make([]entry, limit/8/8)
		g := s.New(Spec{})
		g.index.low.Store(&low)
		s.indexes.loaded(g, &low)
	}
	require.EqualValues(t, limit, s.indexes.bytes)
	g := s.New(Spec{})
	for n := range uint64(limit / 8 / 2) {
		g.Added(n, int64(HeaderSize+n*IndexStride))
		require.LessOrEqual(t, s.indexes.bytes+s.indexes.growing, int64(limit))
	}
	require.EqualValues(t, limit/2, s.indexes.growing)
}

package segment

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
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

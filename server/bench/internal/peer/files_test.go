package peer_test

import (
	"bytes"
	"compress/gzip"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/bench/internal/peer"
)

// Goal: the peer that commits in groups loses nobody's call: every append of
// many goroutines to few logs returns, with an offset of its own.
func TestFilesGroups(t *testing.T) {
	const writers, logs, each = 32, 2, 50
	s, err := peer.Files{}.Open(t.TempDir(), peer.Load{Logs: logs, Writers: writers, Batch: 1, ValueBytes: 100})
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[peer.Place]bool{}
	for id := range writers {
		b := peer.NewBatch(id, 1, 100)
		w := s.Writer(id, b)
		wg.Go(func() {
			for i := range each {
				b.Stamp(uint64(i))
				offset, err := w.Append(i % logs)
				mu.Lock()
				if assert.NoError(t, err) {
					seen[peer.Place{Log: i % logs, Offset: offset}] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	assert.Len(t, seen, writers*each)
	n, err := s.Count()
	require.NoError(t, err)
	assert.EqualValues(t, writers*each, n)
	require.NoError(t, s.Close())
}

// Goal: a batch tells its own records from all others.
func TestBatch(t *testing.T) {
	b := peer.NewBatch(3, 2, 64)
	b.Stamp(10)
	require.NoError(t, b.Check(b.Values[0], 10))
	require.NoError(t, b.Check(b.Values[1], 11))
	require.Error(t, b.Check(b.Values[1], 10))
	require.Error(t, b.Check(b.Values[0][:63], 10))
	other := peer.NewBatch(4, 2, 64)
	other.Stamp(10)
	require.Error(t, b.Check(other.Values[0], 10))
	writer, seq := peer.StampOf(other.Values[1])
	assert.EqualValues(t, 4, writer)
	assert.EqualValues(t, 11, seq)
}

// Goal: values do not compress, be they of one writer or of many who take turns, and
// a large one is checked to its last byte.
func TestBatchDoesNotCompress(t *testing.T) {
	for _, writers := range []int{1, 4, 256} {
		var packed bytes.Buffer
		w, size := gzip.NewWriter(&packed), 0
		for seq := range 2000 / writers {
			for writer := range writers {
				b := peer.NewBatch(writer, 1, 100)
				b.Stamp(uint64(seq))
				n, err := w.Write(b.Raw[peer.StampBytes:])
				require.NoError(t, err)
				size += n
			}
		}
		require.NoError(t, w.Close())
		assert.Greater(t, packed.Len(), size*95/100, "%d writers", writers)
	}

	large := peer.NewBatch(1, 1, 1<<20)
	require.NoError(t, large.Check(large.Raw, 0))
	large.Raw[len(large.Raw)-1] ^= 1
	require.Error(t, large.Check(large.Raw, 0))
}

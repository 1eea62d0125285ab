package peer_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/bench/internal/peer"
)

// Goal: each store in a process gives back what it took, says how much that is, and
// gives each record a place of its own.
func TestStores(t *testing.T) {
	for _, p := range []peer.Peer{peer.Engine{}, peer.Files{}, peer.Bare{}, peer.Pebble{}, peer.Tidwall{}, peer.EtcdWAL{}, peer.Book{}} {
		t.Run(p.Name(), func(t *testing.T) {
			const records = 20
			s, err := p.Open(t.TempDir(), peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: 100})
			require.NoError(t, err)
			b := peer.NewBatch(0, 1, 100)
			w := s.Writer(0, b)
			var offsets []uint64
			for i := range records {
				b.Stamp(uint64(i))
				offset, err := w.Append(0)
				require.NoError(t, err)
				assert.NotContains(t, offsets, offset)
				offsets = append(offsets, offset)
			}
			n, err := s.Count()
			require.NoError(t, err)
			assert.EqualValues(t, records, n)
			for i, offset := range offsets {
				value, err := s.Value(peer.Place{Offset: offset}, nil)
				require.NoError(t, err)
				require.NoError(t, b.Check(value, uint64(i)))
			}
			require.NoError(t, s.Close())
			assert.NotEmpty(t, p.About())
		})
	}
}

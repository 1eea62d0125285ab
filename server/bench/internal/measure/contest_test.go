package measure_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
)

func tiny() measure.Effort {
	return measure.Effort{Rounds: 2, Time: 5 * time.Millisecond, Bytes: 4 << 20}
}

func everyPeer() []peer.Peer {
	return []peer.Peer{peer.Engine{}, peer.Files{}, peer.Bare{}, peer.Bare{Space: peer.Growing}, peer.Bare{Space: peer.Direct}}
}

// Goal: every peer takes every kind of load, keeps what it acked, and leaves
// nothing behind.
// Method: a contest of all peers for each load; it reads back what was acked.
func TestContest(t *testing.T) {
	for name, load := range map[string]peer.Load{
		"one writer":   {Logs: 1, Writers: 1, Batch: 1, ValueBytes: 100},
		"many writers": {Logs: 1, Writers: 16, Batch: 1, ValueBytes: 1 << 10},
		"many logs":    {Logs: 20, Writers: 8, Batch: 1, ValueBytes: 100},
		"batches":      {Logs: 1, Writers: 2, Batch: 50, ValueBytes: 16},
		"large values": {Logs: 2, Writers: 2, Batch: 1, ValueBytes: 64 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := measure.Contest{Effort: tiny()}
			for _, p := range everyPeer() {
				e := measure.Entrant{Peer: p, Load: load}
				if _, bare := p.(peer.Bare); bare {
					e.Load.Logs = 1
				}
				c.Entrants = append(c.Entrants, e)
			}
			outcomes, err := c.Run(context.Background(), dir)
			require.NoError(t, err)
			require.Len(t, outcomes, len(c.Entrants))
			for _, o := range outcomes {
				require.Empty(t, o.Unavailable)
				require.Len(t, o.Series, 2)
				for _, s := range o.Series {
					assert.Positive(t, s.Records, o.Label)
					assert.Equal(t, s.Records*uint64(load.ValueBytes), s.Bytes)
					assert.Equal(t, s.Records, s.Calls*uint64(load.Batch))
					assert.LessOrEqual(t, s.P50, s.P99)
					assert.LessOrEqual(t, s.P99, s.P999)
				}
			}
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// Goal: a load beside another is carried and checked, and only the measured one
// counts.
func TestBeside(t *testing.T) {
	small := peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: 100}
	bulk := peer.Load{Writers: 2, Batch: 1, ValueBytes: 64 << 10}
	for _, p := range []peer.Peer{peer.Engine{}, peer.Files{}} {
		c := measure.Contest{Effort: tiny(), Entrants: []measure.Entrant{{Peer: p, Load: small, Beside: bulk}}}
		outcomes, err := c.Run(context.Background(), t.TempDir())
		require.NoError(t, err)
		for _, s := range outcomes[0].Series {
			assert.Equal(t, s.Records*100, s.Bytes)
			assert.Positive(t, s.BesideBytes)
		}
	}
}

// Goal: all ways to read work for all peers that can be read, and sweeps return
// every record.
func TestReading(t *testing.T) {
	ways := []measure.Way{
		{Name: "in order", Readers: 1},
		{Name: "by offset", Random: true, Readers: 1},
		{Name: "by offset", Random: true, Readers: 4},
	}
	for _, value := range []int{100, 64 << 10} {
		r := measure.Reading{Peers: []peer.Peer{peer.Engine{}, peer.Files{}}, ValueBytes: value, Bytes: 2 << 20, Effort: tiny()}
		outcomes, err := r.Run(context.Background(), t.TempDir(), ways)
		require.NoError(t, err)
		require.Len(t, outcomes, len(ways))
		for _, way := range outcomes {
			require.Len(t, way, 2)
			for _, o := range way {
				require.Len(t, o.Series, 2)
				assert.Positive(t, o.Series.Median(measure.Rate), o.Label)
			}
		}
	}
}

// Goal: a peer that this machine cannot run is left out, and the others run.
func TestUnavailable(t *testing.T) {
	load := peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: 100}
	c := measure.Contest{Effort: tiny(), Entrants: []measure.Entrant{{Peer: absent{}, Load: load}, {Peer: peer.Bare{}, Load: load}}}
	outcomes, err := c.Run(context.Background(), t.TempDir())
	require.NoError(t, err)
	assert.Contains(t, outcomes[0].Unavailable, "it is not installed")
	assert.Empty(t, outcomes[0].Series)
	assert.Len(t, outcomes[1].Series, 2)
}

type absent struct{ peer.Bare }

func (absent) Open(string, peer.Load) (peer.Subject, error) {
	return nil, errors.Join(peer.ErrUnavailable, errors.New("it is not installed"))
}

// Goal: a contest that is cancelled ends, and cleans up.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	load := peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: 100}
	_, err := measure.Contest{Effort: tiny(), Entrants: []measure.Entrant{{Peer: peer.Bare{}, Load: load}}}.Run(ctx, dir)
	require.ErrorIs(t, err, context.Canceled)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

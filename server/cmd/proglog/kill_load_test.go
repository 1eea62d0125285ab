package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

// A sender is one producer of the load: it sends numbered records until it is
// told to stop.
type sender struct {
	name    int
	futures []proglog.Future // of records 0, 1, 2, …
}

func (s *sender) value(i int) string { return fmt.Sprintf("producer %d, record %d", s.name, i) }

// run sends until stop, and closes the producer, so that all is acknowledged.
func (s *sender) run(ctx context.Context, client *proglog.Client, stop <-chan struct{}) error {
	p, err := client.NewProducer(ctx, proglog.MaxBatch(20, 64<<10), proglog.MaxInFlight(8, 1<<20))
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return p.Close(ctx)
		default:
		}
		future, err := p.Send(ctx, proglog.Record{Value: []byte(s.value(i))})
		if err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		s.futures = append(s.futures, future)
		if i%100 == 99 { // else the queue of what is sent and not acknowledged only grows
			if _, err := future.Wait(ctx); err != nil {
				return fmt.Errorf("ack of record %d: %w", i, err)
			}
		}
	}
}

// A tail is a follower that keeps what it got.
type tail struct {
	got  []string // by offset
	seen atomic.Uint64
}

// run follows from the first record, and ends at the offset that end has then.
func (f *tail) run(ctx context.Context, client *proglog.Client) error {
	for record, err := range client.Follow(ctx) {
		if err != nil {
			return err
		}
		if record.Offset != uint64(len(f.got)) {
			return fmt.Errorf("offset %d behind %d records", record.Offset, len(f.got))
		}
		f.got = append(f.got, string(record.Value))
		f.seen.Store(record.Offset + 1)
	}
	return nil
}

// waitFor returns when the tail has so many records.
func (f *tail) waitFor(t *testing.T, n uint64) {
	t.Helper()
	require.Eventually(t, func() bool { return f.seen.Load() >= n }, patience, pollEvery, "%d records", n)
}

// Goal: under eight producers and four followers a server is killed with SIGKILL
// again and again; afterwards each record that was sent is in the log exactly
// once, at the offset of its ack, in its producer's order, nothing else is there,
// and every follower got all of it once and in order. Method: real processes; each
// kill comes when a follower has seen more records since the last one.
func TestLoadAcrossKills(t *testing.T) {
	const kills, between, senders, tails = 6, 1500, 8, 4
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	dir := t.TempDir()
	relay := startRelay(t)
	kill := relay.serveBehind(t, dir)

	stop := make(chan struct{})
	var sending sync.WaitGroup
	load := make([]*sender, senders)
	sent := make([]error, senders)
	for i := range load {
		load[i] = &sender{name: i}
		client := relay.client(t)
		sending.Go(func() { sent[i] = load[i].run(ctx, client, stop) })
	}
	following, leave := context.WithCancel(ctx)
	var followers sync.WaitGroup
	tailing := make([]*tail, tails)
	followed := make([]error, tails)
	for i := range tailing {
		tailing[i] = new(tail)
		client := relay.client(t)
		followers.Go(func() { followed[i] = tailing[i].run(following, client) })
	}
	for round := range kills {
		tailing[round%tails].waitFor(t, tailing[round%tails].seen.Load()+between)
		kill()
		kill = relay.serveBehind(t, dir)
	}
	tailing[0].waitFor(t, tailing[0].seen.Load()+between)
	close(stop)
	sending.Wait()
	for i, err := range sent {
		require.NoError(t, err, "producer %d", i)
	}

	info, err := relay.client(t).DescribeLog(ctx, "")
	require.NoError(t, err)
	total := 0
	for _, s := range load {
		total += len(s.futures)
	}
	require.Equal(t, uint64(total), info.NextOffset, "the log has as many records as were sent")
	for _, f := range tailing {
		f.waitFor(t, info.NextOffset)
	}
	leave()
	followers.Wait()
	for i, f := range tailing {
		require.ErrorIs(t, followed[i], context.Canceled)
		require.Equal(t, tailing[0].got, f.got, "follower %d", i)
	}
	auditLoad(ctx, t, load, tailing[0].got)
	log := 0
	for record, err := range relay.client(t).Records(ctx) {
		require.NoError(t, err)
		require.Equal(t, tailing[0].got[log], string(record.Value), "a read beside the followers")
		log++
	}
	require.Equal(t, total, log)
}

// auditLoad compares a log with what was sent and acknowledged.
func auditLoad(ctx context.Context, t *testing.T, load []*sender, log []string) {
	t.Helper()
	for _, s := range load {
		next := uint64(0)
		for i, future := range s.futures {
			ack, err := future.Wait(ctx)
			require.NoError(t, err, s.value(i))
			require.GreaterOrEqual(t, ack.Offset, next, "%s is behind its successor", s.value(i))
			require.Less(t, ack.Offset, uint64(len(log)))
			require.Equal(t, s.value(i), log[ack.Offset])
			next = ack.Offset + 1
		}
		assert.NotEmpty(t, s.futures, "producer %d sent nothing", s.name)
	}
}

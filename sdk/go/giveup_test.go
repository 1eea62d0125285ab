package proglog_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// soon is far less than the 20 s after which a transport takes a silent connection
// for dead.
const soon = 8 * time.Second

// Goal: a server that falls silent is given up when the bound is over, though its
// connection stands, and each record says what is known of it.
func TestGiveUpOnASilentServer(t *testing.T) {
	f := startFake(t)
	url, stalled := startStalling(t, f)
	p, err := connectTo(t, url).NewProducer(t.Context(),
		proglog.GiveUpAfter(time.Second), proglog.MaxBatch(1, 1<<20), proglog.MaxInFlight(2, 1<<20))
	require.NoError(t, err)
	require.NoError(t, sendOne(t.Context(), p))
	stalled.Store(true)
	begin := time.Now()
	futures := sendAll(t, p, 3)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for i, future := range futures {
		_, err := future.Wait(ctx)
		if i < 2 {
			require.ErrorIs(t, err, proglog.ErrOutcomeUnknown, "record %d", i)
			assert.Equal(t, proglog.CodeUnavailable, proglog.CodeOf(err), "%v", err)
			assert.ErrorContains(t, err, "gives up")
		} else {
			require.ErrorIs(t, err, proglog.ErrNothingAppended, "one that was never sent")
		}
	}
	assert.GreaterOrEqual(t, time.Since(begin), 900*time.Millisecond)
	<-p.Done()
	require.ErrorContains(t, p.Err(), "gives up")
	assert.Equal(t, proglog.Outcome{Acked: 1, Unknown: 2, NotInLog: 1}, p.Outcome())
}

// Goal: the bound holds for a server that never answers, also while a producer waits
// for what it asks first.
func TestGiveUpOnAServerThatNeverAnswers(t *testing.T) {
	url, _ := startSilent(t)
	p, err := connectTo(t, url).NewProducer(t.Context(), proglog.GiveUpAfter(time.Second))
	require.NoError(t, err)
	done := going(func() error { return sendOne(t.Context(), p) })
	select {
	case err := <-done:
		require.ErrorIs(t, err, proglog.ErrNothingAppended)
		assert.Equal(t, proglog.CodeUnavailable, proglog.CodeOf(err), "%v", err)
	case <-time.After(soon):
		t.Fatal("the producer waits on")
	}
}

// Goal: with 0 a try is not cut short: a server that takes its time is waited for.
func TestGiveUpAfterZeroIsOneTry(t *testing.T) {
	f := startFake(t)
	release := make(chan struct{})
	f.hookProduce(func(int, *logv1.ProduceRequest) (func() error, error) {
		<-release
		return nil, nil
	})
	p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.GiveUpAfter(0))
	require.NoError(t, err)
	futures := sendAll(t, p, 1)
	time.AfterFunc(300*time.Millisecond, func() { close(release) })
	_, err = futures[0].Wait(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.Close(t.Context()))
}

// Goal: the time in which nothing waits for an answer does not count: neither that of
// a batch that lingers, nor that of a producer that is idle.
func TestGiveUpDoesNotCountIdleTime(t *testing.T) {
	f := startFake(t)
	p, err := connectTo(t, f.url).NewProducer(t.Context(),
		proglog.GiveUpAfter(300*time.Millisecond), proglog.Linger(700*time.Millisecond))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for range 2 {
		futures := sendAll(t, p, 1)
		_, err = futures[0].Wait(ctx) // it lingered longer than the bound
		require.NoError(t, err)
	}
	// The same over a connection that was lost.
	f.conns.cut()
	futures := sendAll(t, p, 1)
	_, err = futures[0].Wait(ctx)
	require.NoError(t, err)
	require.NoError(t, p.Close(t.Context()))
}

// Goal: Close of a producer that has nothing to say is not held up beyond the bound by
// a server that never answers, and has not failed.
func TestCloseOnAServerThatNeverAnswers(t *testing.T) {
	url, accepted := startSilent(t)
	p, err := connectTo(t, url).NewProducer(t.Context(), proglog.GiveUpAfter(time.Second))
	require.NoError(t, err)
	<-accepted
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	require.NoError(t, p.Close(ctx))
	require.NoError(t, ctx.Err())
}

// Goal: the bound counts from the last success: a server that is slow, and answers, is
// not given up, and one that falls silent after a while without work is.
func TestGiveUpCountsFromTheLastSuccess(t *testing.T) {
	f := startFake(t)
	var slow atomic.Bool
	slow.Store(true)
	f.hookProduce(func(int, *logv1.ProduceRequest) (func() error, error) {
		if slow.Load() {
			<-time.After(200 * time.Millisecond)
		}
		return nil, nil
	})
	url, stalled := startStalling(t, f)
	p, err := connectTo(t, url).NewProducer(t.Context(),
		proglog.GiveUpAfter(time.Second), proglog.MaxBatch(1, 1<<20), proglog.MaxInFlight(4, 1<<20))
	require.NoError(t, err)
	for _, future := range sendAll(t, p, 10) { // 2 s, of which no answer takes a second
		_, err := future.Wait(t.Context())
		require.NoError(t, err)
	}
	slow.Store(false)
	select {
	case <-p.Done():
		t.Fatal("it has nothing to wait for")
	case <-time.After(1500 * time.Millisecond): // the clock has stopped
	}
	stalled.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	require.ErrorIs(t, sendOne(ctx, p), proglog.ErrOutcomeUnknown)
	<-p.Done()
}

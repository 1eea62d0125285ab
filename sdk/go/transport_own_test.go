package proglog_test

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

// closeNoting is a transport of no known kind, which notes that its idle connections
// were to be closed.
type closeNoting struct {
	http.RoundTripper
	closed *atomic.Int64
}

func (c closeNoting) CloseIdleConnections() { c.closed.Add(1) }

// Goal: missed heartbeats lead to another connection also over the caller's own HTTP
// client, whose transport is left as it is. One of a kind that is not known is asked
// to close what is idle, and has to notice the rest by itself.
func TestMissedHeartbeatsOverTheCallersTransport(t *testing.T) {
	f := startFake(t, func(f *fakeLog) { f.heartbeat = true })
	f.fill(3)
	var dialed, closed atomic.Int64
	var first atomic.Bool
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols: protocols,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil || dialed.Add(1) > 1 {
				return conn, err
			}
			return silentConn{conn, &first}, nil
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	c := connectTo(t, f.url, proglog.WithHTTPClient(&http.Client{Transport: transport}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	n := 0
	for _, err := range c.Follow(ctx, proglog.Heartbeat(20*time.Millisecond)) {
		require.NoError(t, err)
		if n++; n == 3 {
			first.Store(true)
			f.fill(1)
		}
		if n == 4 {
			break
		}
	}
	assert.Equal(t, int64(2), dialed.Load())
	require.NoError(t, c.Close())

	f.set(func() { f.mute = true })
	noting := closeNoting{transport.Clone(), &closed}
	c = connectTo(t, f.url, proglog.WithHTTPClient(&http.Client{Transport: noting}))
	done := going(func() error {
		for _, err := range c.Follow(ctx, proglog.Heartbeat(time.Millisecond), proglog.FromEnd(0)) {
			return err
		}
		return nil
	})
	require.Eventually(t, func() bool { return closed.Load() > 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, c.Close())
	requireClosed(t, "follow", within(t, "follow", done))
}

// Goal: a follower whose server never answers fails when its tries are over, also over
// a transport that waits for ever.
func TestFollowOfAServerThatNeverAnswers(t *testing.T) {
	url, accepted := startSilent(t)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := proglog.New(url, proglog.WithHTTPClient(&http.Client{Transport: transport}),
		proglog.WithRetry(proglog.Retry{Attempts: 2, MinDelay: 1, MaxDelay: 1}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	err = within(t, "follow", going(func() error {
		for _, err := range c.Follow(t.Context(), proglog.Heartbeat(time.Second)) {
			return err
		}
		return nil
	}))
	require.Error(t, err)
	assert.Equal(t, proglog.CodeUnavailable, proglog.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "no answer")
	<-accepted
	<-accepted // the second try had a connection of its own
}

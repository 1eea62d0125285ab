package proglog_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

// Goal: a source of tokens that hangs until its context ends holds up nobody beyond
// the end of their own context, on no log, and is asked anew by those who come later.
func TestTokenSourceThatHangs(t *testing.T) {
	f := startFake(t)
	var hangs atomic.Bool
	hangs.Store(true)
	c := connectTo(t, f.url, proglog.WithToken(func(ctx context.Context) (string, error) {
		if hangs.Load() {
			<-ctx.Done()
			return "", ctx.Err()
		}
		return "t", nil
	}))
	for _, opts := range [][]proglog.ProduceOption{nil, {proglog.InLog("other")}, {proglog.Alone()}, nil} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := within(t, "produce", going(func() error { _, err := c.Produce(ctx, record("a"), opts...); return err }))
		cancel()
		requireOutcome(t, err, proglog.ErrNothingAppended)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, proglog.CodeDeadlineExceeded, proglog.CodeOf(err))
	}
	hangs.Store(false)
	require.NoError(t, within(t, "produce", going(func() error { _, err := c.Produce(t.Context(), record("b")); return err })))
	assert.Equal(t, []string{"b"}, f.values())
}

// Goal: what ends while it waits for a token says that it ended, and not that there
// was no token: its deadline, its cancellation, the close of the client.
func TestEndInTheTokenSource(t *testing.T) {
	f := startFake(t)
	asked := make(chan struct{}, 100)
	hanging := proglog.WithToken(func(ctx context.Context) (string, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return "", errors.New("the vault did not answer")
	})
	calls := map[string]func(context.Context, *proglog.Client) error{
		"consume": func(ctx context.Context, c *proglog.Client) error { _, err := c.Consume(ctx, 0); return err },
		"alone": func(ctx context.Context, c *proglog.Client) error {
			_, err := c.Produce(ctx, record("a"), proglog.Alone())
			return err
		},
		"producer": func(ctx context.Context, c *proglog.Client) error { _, err := c.NewProducer(ctx); return err },
		"follow": func(ctx context.Context, c *proglog.Client) error {
			for _, err := range c.Follow(ctx) {
				return err
			}
			return nil
		},
	}
	for name, call := range calls {
		c := connectTo(t, f.url, hanging)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		err := within(t, name, going(func() error { return call(ctx, c) }))
		cancel()
		assert.Equal(t, proglog.CodeDeadlineExceeded, proglog.CodeOf(err), name)
		require.ErrorIs(t, err, context.DeadlineExceeded, name)

		for len(asked) > 0 {
			<-asked
		}
		done := going(func() error { return call(t.Context(), c) })
		<-asked
		require.NoError(t, c.Close())
		requireClosed(t, name, within(t, name, done))
	}
	c := connectTo(t, f.url, hanging)
	done := going(func() error { _, err := c.Produce(t.Context(), record("a")); return err })
	<-asked
	require.NoError(t, c.Close())
	err := within(t, "shared", done)
	requireClosed(t, "shared", err)
	requireOutcome(t, err, proglog.ErrNothingAppended)
}

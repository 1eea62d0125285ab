package proglog_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

// heardRecords is a handler of a logger that passes its messages on.
type heardRecords struct {
	slog.Handler
	messages chan string
}

func (h heardRecords) Enabled(context.Context, slog.Level) bool { return true }

func (h heardRecords) Handle(_ context.Context, r slog.Record) error {
	h.messages <- r.Message
	return nil
}

// Goal: a call that waits for its next try ends with why it ended, and tells what
// the last try failed with: canceled when the client is closed, and
// deadline_exceeded when the deadline passes; a write of which nothing was sent
// says so.
// Method: nobody listens, and the pause between tries is of an hour.
func TestCallsEndBetweenTries(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := "http://" + listener.Addr().String()
	require.NoError(t, listener.Close())
	calls := map[string]func(ctx context.Context, c *proglog.Client) error{
		"Consume": func(ctx context.Context, c *proglog.Client) error { _, err := c.Consume(ctx, 0); return err },
		"Produce": func(ctx context.Context, c *proglog.Client) error {
			_, err := c.Produce(ctx, proglog.Record{Value: []byte("a")}, proglog.Alone())
			return err
		},
	}
	for name, call := range calls {
		for _, byClose := range []bool{true, false} {
			t.Run(map[bool]string{true: name + ", closed", false: name + ", out of time"}[byClose], func(t *testing.T) {
				t.Parallel()
				heard := heardRecords{slog.DiscardHandler, make(chan string, 10)}
				c, err := proglog.New(addr, proglog.WithLogger(slog.New(heard)),
					proglog.WithRetry(proglog.Retry{Attempts: 9, MinDelay: proglog.MaxRetryDelay, MaxDelay: proglog.MaxRetryDelay}))
				require.NoError(t, err)
				defer c.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				if byClose {
					cancel()
					ctx = t.Context()
				}
				defer cancel()
				failed := make(chan error, 1)
				go func() { failed <- call(ctx, c) }()
				<-heard.messages // it waits now
				want := proglog.CodeDeadlineExceeded
				if byClose {
					c.Close()
					want = proglog.CodeCanceled
				}
				err = <-failed
				require.Error(t, err)
				assert.Equal(t, want.String(), proglog.CodeOf(err).String())
				assert.ErrorContains(t, err, "refused", "it tells what was wrong before")
				if byClose {
					require.ErrorIs(t, err, proglog.ErrClosed)
				} else {
					require.ErrorIs(t, err, context.DeadlineExceeded)
				}
				if name == "Produce" {
					require.ErrorIs(t, err, proglog.ErrNothingAppended)
				}
			})
		}
	}
}

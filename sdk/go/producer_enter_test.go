package proglog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// sending is a Send in another goroutine.
type sending struct {
	future proglog.Future
	err    error
	done   chan struct{}
}

// startSend begins a Send and returns when it waits, as the nth.
func startSend(t *testing.T, ctx context.Context, p *proglog.Producer, value string, nth int) *sending {
	t.Helper()
	s := &sending{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.future, s.err = p.Send(ctx, record(value))
	}()
	require.Eventually(t, func() bool { return p.WaitingSenders() == nth }, 10*time.Second, time.Millisecond)
	return s
}

// Goal: Close and Flush come behind a Send that began before them and still waits
// in another goroutine, be it for the server's limits or for room: it is taken, and
// acknowledged when they return. A later Send is refused by Close.
func TestCloseComesBehindSend(t *testing.T) {
	for _, name := range []string{"for limits", "for room"} {
		for _, end := range []string{"Close", "Flush"} {
			t.Run(name+", "+end, func(t *testing.T) {
				f := startFake(t)
				gate := make(chan struct{})
				var values []string
				if name == "for limits" {
					f.set(func() { f.onGetLog = func() error { <-gate; return nil } })
				} else {
					f.hookProduce(func(n int, _ *logv1.ProduceRequest) (func() error, error) {
						if n == 0 {
							<-gate
						}
						return nil, nil
					})
				}
				p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.MaxInFlight(1, 40), proglog.MaxBatch(1, 40))
				require.NoError(t, err)
				if name == "for room" {
					_, err := p.Send(t.Context(), record("first"))
					require.NoError(t, err)
					values = append(values, "first")
				}
				a := startSend(t, t.Context(), p, "a", 1)
				b := startSend(t, t.Context(), p, "b", 2)
				values = append(values, "a", "b")

				ended := make(chan error, 1)
				if end == "Flush" {
					go func() { ended <- p.Flush(t.Context()) }()
				} else {
					go func() { ended <- p.Close(t.Context()) }()
					requireRefusedAsClosed(t, p)
				}
				select {
				case err := <-ended:
					require.Failf(t, "it does not wait", "%v", err)
				default:
				}
				close(gate)
				require.NoError(t, <-ended)
				assert.Equal(t, values, f.values())
				for _, s := range []*sending{a, b} {
					<-s.done
					require.NoError(t, s.err)
					_, err := s.future.Wait(t.Context())
					require.NoError(t, err)
				}
				require.NoError(t, p.Close(t.Context()))
			})
		}
	}
}

// requireRefusedAsClosed waits until a Send, whose context has ended lest it waits,
// is refused because of a Close.
func requireRefusedAsClosed(t *testing.T, p *proglog.Producer) {
	t.Helper()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.Eventually(t, func() bool {
		_, err := p.Send(over, record("late"))
		return errors.Is(err, proglog.ErrClosed) && errors.Is(err, proglog.ErrNothingAppended)
	}, 10*time.Second, time.Millisecond)
}

// Goal: a Send that waits and is given up leaves no trace, neither for those
// behind it nor for Close; and those that wait are let in in order.
func TestSendersWaitInOrder(t *testing.T) {
	f := startFake(t)
	gate := make(chan struct{})
	f.hookProduce(func(n int, _ *logv1.ProduceRequest) (func() error, error) {
		if n == 0 {
			<-gate
		}
		return nil, nil
	})
	p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.MaxInFlight(1, 40), proglog.MaxBatch(1, 40))
	require.NoError(t, err)
	_, err = p.Send(t.Context(), record("first"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	given := startSend(t, ctx, p, "given up", 1)
	a := startSend(t, t.Context(), p, "a", 2)
	b := startSend(t, t.Context(), p, "b", 3)
	cancel()
	<-given.done
	requireOutcome(t, given.err, proglog.ErrNothingAppended)
	require.ErrorIs(t, given.err, context.Canceled)
	close(gate)
	<-a.done
	<-b.done
	require.NoError(t, p.Close(t.Context()))
	assert.Equal(t, []string{"first", "a", "b"}, f.values())
}

// Goal: a batch does not linger while a Send waits for the room that it takes.
func TestNobodyWaitsForALinger(t *testing.T) {
	f := startFake(t)
	p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.Linger(time.Hour), proglog.MaxInFlight(4, 40))
	require.NoError(t, err)
	for _, value := range []string{"a", "b", "c"} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := p.Send(ctx, record(value))
		cancel()
		require.NoError(t, err)
	}
	require.NoError(t, p.Close(t.Context()))
	assert.Equal(t, []string{"a", "b", "c"}, f.values())
}

// Goal: after the end of a producer Send says why it ended, with the code, the
// reason and the details of the failure, and that nothing was appended; also one
// that was waiting when it ended.
func TestSendAfterTheEnd(t *testing.T) {
	for _, unknown := range []bool{false, true} {
		f := startFake(t)
		gate := make(chan struct{})
		epoch := uint64(7)
		f.hookProduce(func(int, *logv1.ProduceRequest) (func() error, error) {
			<-gate
			return nil, fail(connect.CodeFailedPrecondition, &logv1.ErrorDetail{
				Reason: logv1.Reason_REASON_PRODUCER_FENCED, Epoch: &epoch, NothingAppended: !unknown})
		})
		p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.MaxInFlight(1, 40))
		require.NoError(t, err)
		_, err = p.Send(t.Context(), record("a"))
		require.NoError(t, err)
		waiting := startSend(t, t.Context(), p, "b", 1)
		close(gate)
		<-p.Done()
		<-waiting.done
		_, late := p.Send(t.Context(), record("c"))
		for _, err := range []error{waiting.err, late} {
			requireOutcome(t, err, proglog.ErrNothingAppended)
			assert.Equal(t, proglog.CodeFailedPrecondition, proglog.CodeOf(err))
			assert.Equal(t, proglog.ReasonProducerFenced, proglog.ReasonOf(err))
			var e *proglog.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, uint64(7), e.Epoch)
			assert.ErrorContains(t, err, "ended before")
		}
		assert.Error(t, p.Close(t.Context()))
	}
}

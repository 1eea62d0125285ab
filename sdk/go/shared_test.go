package proglog_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// Goal: calls of Produce that wait together travel in few requests, each gets the
// offset of its own record, and a batch keeps its records together.
func TestProduceShares(t *testing.T) {
	f := startFake(t)
	gate := make(chan struct{})
	f.hookProduce(func(n int, _ *logv1.ProduceRequest) (func() error, error) {
		if n == 0 {
			<-gate
		}
		return nil, nil
	})
	c := connectTo(t, f.url)
	const callers = 100
	offsets := make([]uint64, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			if i == callers/2 {
				close(gate)
			}
			ack, err := c.ProduceBatch(t.Context(), []proglog.Record{{Value: valueAt(uint64(i))}, record("pair")})
			assert.NoError(t, err)
			assert.Equal(t, ack.Offset+2, ack.NextOffset)
			offsets[i] = ack.Offset
		})
	}
	wg.Wait()
	values := f.values()
	require.Len(t, values, 2*callers)
	for i, offset := range offsets {
		require.Equal(t, string(valueAt(uint64(i))), values[offset])
		require.Equal(t, "pair", values[offset+1])
	}
	unary, _ := f.calls()
	assert.Zero(t, unary)
	f.set(func() {
		assert.Less(t, len(f.requests), callers)
		for i, req := range f.requests {
			assert.Equal(t, uint64(i), req.GetProducer().GetSequence())
		}
	})
}

// Goal: one caller's refusal is not another's: what expects an offset goes alone,
// and when the server refuses a request that several callers share, each gets an
// answer to its own record.
func TestSharedRefusal(t *testing.T) {
	f := startFake(t)
	bad := func(records []*logv1.Record) error {
		for _, r := range records {
			if string(r.GetValue()) == "bad" {
				return fail(connect.CodeInvalidArgument, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_TOO_LARGE, NothingAppended: true})
			}
		}
		return nil
	}
	gate := make(chan struct{})
	f.hookProduce(func(_ int, req *logv1.ProduceRequest) (func() error, error) {
		<-gate
		return nil, bad(requestRecords(req))
	})
	f.set(func() {
		f.beforeUnary = func(req *logv1.ProduceRequest) error { return bad(requestRecords(req)) }
	})
	c := connectTo(t, f.url)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			value := "good"
			if i%10 == 3 {
				value = "bad"
			}
			if i == 39 {
				close(gate)
			}
			_, err := c.Produce(t.Context(), record(value))
			if value == "good" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorIs(t, err, proglog.ErrNothingAppended)
			assert.Equal(t, proglog.ReasonTooLarge, proglog.ReasonOf(err))
		})
	}
	wg.Wait()
	assert.Len(t, f.values(), 36)
	_, err := c.Produce(t.Context(), record("x"), proglog.ExpectOffset(99))
	requireOutcome(t, err, proglog.ErrNothingAppended)
	assert.Equal(t, proglog.ReasonOffsetMismatch, proglog.ReasonOf(err))
}

// Goal: a call goes on after a lost connection, shared or alone, also with an
// expected offset, and its record is in the log once.
func TestProduceGoesOn(t *testing.T) {
	for name, opts := range map[string][]proglog.ProduceOption{
		"shared": nil, "alone": {proglog.Alone()}, "expected": {proglog.ExpectOffset(0)}, "sequence": {proglog.Sequence("me", 1, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t)
			cuts := 0
			cut := func() error {
				if cuts++; cuts < 3 {
					f.conns.cut()
					return errors.New("cut")
				}
				return nil
			}
			f.hookProduce(func(int, *logv1.ProduceRequest) (func() error, error) { return cut, nil })
			f.set(func() { f.afterUnary = cut })
			ack, err := connectTo(t, f.url).Produce(t.Context(), record("a"), opts...)
			require.NoError(t, err)
			assert.Equal(t, uint64(0), ack.Offset)
			assert.True(t, ack.Duplicate)
			assert.Equal(t, []string{"a"}, f.values())
		})
	}
}

// Goal: after an unanswered try, a log that was sealed meanwhile leaves the outcome
// unknown.
func TestUnansweredThenSealed(t *testing.T) {
	f := startFake(t)
	f.set(func() {
		f.onUnary = func(call int) error {
			if call == 0 {
				f.set(func() { f.closed = true })
				f.conns.cut()
				return errors.New("cut")
			}
			return nil
		}
	})
	_, err := connectTo(t, f.url).Produce(t.Context(), record("a"), proglog.Alone())
	requireOutcome(t, err, proglog.ErrOutcomeUnknown)
	assert.Equal(t, proglog.ReasonLogSealed, proglog.ReasonOf(err))
}

// Goal: requests that go alone share few identities, each with its order.
func TestAloneReusesIdentities(t *testing.T) {
	f := startFake(t)
	c := connectTo(t, f.url)
	for range 10 {
		_, err := c.Produce(t.Context(), record("a"), proglog.Alone())
		require.NoError(t, err)
	}
	assert.Len(t, f.producers, 1)
	f.set(func() { clear(f.producers) })
	_, err := c.Produce(t.Context(), record("a"), proglog.Alone())
	require.NoError(t, err, "a forgotten identity is replaced")
}

// Goal: a caller whose context ends leaves at once, without the outcome, and the
// others stay.
func TestSharedContext(t *testing.T) {
	f := startFake(t)
	arrived, gate := make(chan struct{}), make(chan struct{})
	f.hookProduce(func(n int, _ *logv1.ProduceRequest) (func() error, error) {
		if n == 0 {
			close(arrived)
		}
		<-gate
		return nil, nil
	})
	c := connectTo(t, f.url)
	ctx, cancel := context.WithCancel(t.Context())
	left, stayed := make(chan error), make(chan error)
	go func() { _, err := c.Produce(ctx, record("a")); left <- err }()
	<-arrived
	go func() { _, err := c.Produce(t.Context(), record("b")); stayed <- err }()
	cancel()
	err := <-left
	requireOutcome(t, err, proglog.ErrOutcomeUnknown)
	require.ErrorIs(t, err, context.Canceled)
	close(gate)
	require.NoError(t, <-stayed)
}

// Goal: a shared stream that nobody uses closes after a while, and the next call
// opens another one; Close of the client ends what is idle.
func TestSharedStreamCloses(t *testing.T) {
	f := startFake(t)
	c := connectTo(t, f.url)
	c.SetSharedIdle(time.Millisecond)
	for range 3 {
		_, err := c.Produce(t.Context(), record("a"))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return c.SharedStreams() == 0 }, 10*time.Second, time.Millisecond)
	}
	assert.Len(t, f.producers, 3)
}

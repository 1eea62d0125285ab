package proglog_test

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// requireEachOnce holds the log against n records, each once and in order.
func requireEachOnce(t *testing.T, f *fakeLog, n int) {
	t.Helper()
	values := f.values()
	require.Len(t, values, n)
	for i, v := range values {
		require.Equal(t, string(valueAt(uint64(i))), v)
	}
}

// Goal: a producer goes on by itself after every failure that can pass, wherever
// it strikes, and each record is in the log once, in order. Method: every third
// request fails in the way of the row, a few times.
func TestProducerGoesOn(t *testing.T) {
	for _, row := range []struct {
		name          string
		before, after func(*fakeLog) error
	}{
		{"cut before the append", func(f *fakeLog) error { f.conns.cut(); return errors.New("cut") }, nil},
		{"cut after the append", nil, func(f *fakeLog) error { f.conns.cut(); return errors.New("cut") }},
		{"draining, vouched for", func(*fakeLog) error { return draining(true) }, nil},
		{"draining, in flight", nil, func(*fakeLog) error { return draining(false) }},
		{"overloaded", func(*fakeLog) error {
			return fail(connect.CodeResourceExhausted, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_OVERLOADED, NothingAppended: true})
		}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := startFake(t)
			failures := 0
			f.hookProduce(func(n int, _ *logv1.ProduceRequest) (func() error, error) {
				if n < 2 || failures == 5 {
					return nil, nil
				}
				failures++
				if row.before != nil {
					return nil, row.before(f)
				}
				return func() error { return row.after(f) }, nil
			})
			p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.MaxBatch(3, 1000), proglog.InLog("a"))
			require.NoError(t, err)
			futures := sendAll(t, p, 300)
			require.NoError(t, p.Close(t.Context()))
			requireEachOnce(t, f, 300)
			for i, future := range futures {
				ack, err := future.Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, uint64(i), ack.Offset)
			}
			assert.Equal(t, proglog.Outcome{Acked: 300, LastOffset: 299}, p.Outcome())
		})
	}
}

// Goal: what cannot pass ends a producer, and its error tells the outcome: after
// an unanswered try the outcome is unknown, whatever the server says of the next.
func TestProducerEndsForGood(t *testing.T) {
	detail := func(code connect.Code, reason logv1.Reason) error {
		return fail(code, &logv1.ErrorDetail{Reason: reason, NothingAppended: true})
	}
	for _, row := range []struct {
		name string
		err  error
		why  proglog.Reason
	}{
		{"fenced", detail(connect.CodeFailedPrecondition, logv1.Reason_REASON_PRODUCER_FENCED), proglog.ReasonProducerFenced},
		{"sealed", detail(connect.CodeFailedPrecondition, logv1.Reason_REASON_LOG_SEALED), proglog.ReasonLogSealed},
		{"gap", detail(connect.CodeAborted, logv1.Reason_REASON_SEQUENCE_GAP), proglog.ReasonSequenceGap},
		{"reused", detail(connect.CodeInvalidArgument, logv1.Reason_REASON_SEQUENCE_REUSED), proglog.ReasonSequenceReused},
		{"not found", detail(connect.CodeNotFound, logv1.Reason_REASON_LOG_NOT_FOUND), proglog.ReasonLogNotFound},
		{"forgotten", fail(connect.CodeFailedPrecondition, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_SEQUENCE_FORGOTTEN}), proglog.ReasonSequenceForgotten},
	} {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprint(row.name, ", after a cut: ", cut), func(t *testing.T) {
				f := startFake(t)
				calls := 0
				f.hookProduce(func(int, *logv1.ProduceRequest) (func() error, error) {
					if calls++; calls == 1 && cut {
						f.conns.cut()
						return nil, errors.New("cut")
					}
					return nil, row.err
				})
				p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.MaxBatch(1, 100), proglog.MaxInFlight(1, 1<<20))
				require.NoError(t, err)
				futures := trySend(t, p, 3)
				<-p.Done()
				_, err = futures[0].Wait(t.Context())
				want := proglog.ErrNothingAppended
				if cut || row.why == proglog.ReasonSequenceForgotten {
					want = proglog.ErrOutcomeUnknown
				}
				requireOutcome(t, err, want)
				assert.Equal(t, row.why, proglog.ReasonOf(err))
				for _, later := range futures[1:] {
					_, err := later.Wait(t.Context())
					requireOutcome(t, err, proglog.ErrNothingAppended)
				}
			})
		}
	}
}

// Goal: a producer whose server stays away ends after the time it was given, with
// what it had sent unknown.
func TestProducerGivesUp(t *testing.T) {
	f := startFake(t)
	f.hookProduce(func(n int, _ *logv1.ProduceRequest) (func() error, error) {
		return func() error {
			if n == 0 {
				return nil
			}
			return draining(false)
		}, nil
	})
	p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.MaxBatch(1, 100), proglog.GiveUpAfter(0))
	require.NoError(t, err)
	_, err = sendAll(t, p, 1)[0].Wait(t.Context())
	require.NoError(t, err)
	_, err = sendAll(t, p, 1)[0].Wait(t.Context())
	requireOutcome(t, err, proglog.ErrOutcomeUnknown)
	assert.Equal(t, proglog.ReasonDraining, proglog.ReasonOf(p.Err()))
}

// Goal: a connection that was lost while nothing was sent is no failure to go on:
// the patience of a producer counts from the first failure of a record.
func TestIdleFailuresDoNotCount(t *testing.T) {
	f := startFake(t)
	noticed := make(signals, 100)
	c := connectTo(t, f.url, proglog.WithLogger(slog.New(slog.NewTextHandler(noticed, nil))))
	p, err := c.NewProducer(t.Context(), proglog.GiveUpAfter(0))
	require.NoError(t, err)
	for range 10 { // more than the attempts
		_, err = sendAll(t, p, 1)[0].Wait(t.Context())
		require.NoError(t, err)
		f.conns.cut()
		select {
		case <-noticed:
		case <-p.Done():
			require.NoError(t, p.Err())
		case <-time.After(10 * time.Second):
			require.Fail(t, "the producer does not notice")
		}
	}
	require.NoError(t, p.Close(t.Context()))
	assert.Len(t, f.values(), 10)
}

// signals is a writer that tells of each write.
type signals chan struct{}

func (s signals) Write(p []byte) (int, error) {
	s <- struct{}{}
	return len(p), nil
}

// Goal: a producer that had acks and that the server does not know ends and says
// so, whoever chose its identity: the log may be another one now.
func TestForgottenProducer(t *testing.T) {
	f := startFake(t)
	c := connectTo(t, f.url)
	for _, chosen := range []bool{false, true} {
		var opts []proglog.ProducerOption
		if chosen {
			opts = append(opts, proglog.Identity("me", 7))
		}
		p, err := c.NewProducer(t.Context(), opts...)
		require.NoError(t, err)
		_, err = sendAll(t, p, 1)[0].Wait(t.Context())
		require.NoError(t, err)
		f.set(func() { clear(f.producers) })
		_, err = sendAll(t, p, 1)[0].Wait(t.Context())
		assert.Equal(t, proglog.ReasonSequenceForgotten, proglog.ReasonOf(err))
		assert.Equal(t, proglog.ReasonSequenceForgotten, proglog.ReasonOf(p.Err()))
		if chosen {
			f.set(func() { assert.Equal(t, uint64(7), f.requests[len(f.requests)-1].GetProducer().GetEpoch()) })
		}
	}
	_, err := c.NewProducer(t.Context(), proglog.Identity("", 1))
	require.ErrorContains(t, err, "1 to 64 bytes")
}

// Goal: a server that knows no identities gets none, and then nothing twice.
func TestProducerWithoutDedup(t *testing.T) {
	for _, tells := range []bool{true, false} {
		f := startFake(t, withoutDedup)
		if tells {
			f.logID = "id"
		}
		c := connectTo(t, f.url)
		p, err := c.NewProducer(t.Context())
		require.NoError(t, err)
		sendAll(t, p, 10)
		require.NoError(t, p.Close(t.Context()))
		_, err = c.Produce(t.Context(), record("a"))
		require.NoError(t, err)
		_, err = c.Produce(t.Context(), record("b"), proglog.Alone())
		require.NoError(t, err)
		assert.Len(t, f.values(), 12)
		f.set(func() { assert.Nil(t, f.requests[0].GetProducer()) })
	}
}

// Goal: an idle producer outlives its connection.
func TestIdleProducerSurvives(t *testing.T) {
	f := startFake(t)
	p, err := connectTo(t, f.url).NewProducer(t.Context())
	require.NoError(t, err)
	for i := range 3 {
		future, err := p.Send(t.Context(), proglog.Record{Value: valueAt(uint64(i))})
		require.NoError(t, err)
		_, err = future.Wait(t.Context())
		require.NoError(t, err)
		f.conns.cut()
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Close(t.Context()) }()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		require.Fail(t, "Close does not end")
	}
	requireEachOnce(t, f, 3)
}

// Goal: a producer whose log is not there any more says so, and says if another one has
// its name now; single calls go on with that.
func TestProducerOfALogThatWasReplaced(t *testing.T) {
	for id, want := range map[string]proglog.Reason{
		"id-1": proglog.ReasonLogNotFound, "id-2": proglog.ReasonLogChanged,
	} {
		f := startFake(t)
		f.hookProduce(func(n int, _ *logv1.ProduceRequest) (func() error, error) {
			if n == 0 {
				return nil, nil
			}
			return nil, fail(connect.CodeNotFound, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_LOG_NOT_FOUND, NothingAppended: true})
		})
		c := connectTo(t, f.url)
		p, err := c.NewProducer(t.Context())
		require.NoError(t, err)
		require.NoError(t, sendOne(t.Context(), p))
		_, err = c.Produce(t.Context(), record("b"))
		require.NoError(t, err)
		f.set(func() { f.logID = id })
		err = sendOne(t.Context(), p)
		requireOutcome(t, err, proglog.ErrNothingAppended)
		assert.Equal(t, want, proglog.ReasonOf(err), "%v", err)
		assert.Equal(t, want, proglog.ReasonOf(p.Err()))
		_, err = c.Produce(t.Context(), record("c"))
		require.NoError(t, err)
	}
}

// Goal: the same behind a lost connection, where the other log does not know the
// producer; a log that has forgotten it is none that was replaced.
func TestProducerOfALogThatWasReplacedMeanwhile(t *testing.T) {
	for id, want := range map[string]proglog.Reason{
		"id-1": proglog.ReasonSequenceForgotten, "id-2": proglog.ReasonLogChanged,
	} {
		f := startFake(t)
		p, err := connectTo(t, f.url).NewProducer(t.Context())
		require.NoError(t, err)
		require.NoError(t, sendOne(t.Context(), p))
		f.set(func() { f.logID, f.producers = id, map[string]*fakeProducer{} })
		f.conns.cut()
		err = sendOne(t.Context(), p)
		require.Error(t, err)
		assert.Equal(t, want, proglog.ReasonOf(err), "%v", err)
		require.ErrorIs(t, sendOne(t.Context(), p), proglog.ErrNothingAppended)
		assert.Len(t, f.values(), 1)
	}
}

package proglog_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// sendAll sends n records whose values tell their turn.
func sendAll(t *testing.T, p *proglog.Producer, n int) []proglog.Future {
	t.Helper()
	var futures []proglog.Future
	for i := range n {
		future, err := p.Send(t.Context(), proglog.Record{Value: valueAt(uint64(i))})
		require.NoError(t, err)
		futures = append(futures, future)
	}
	return futures
}

// hookProduce sets the hook of a ProduceStream's requests.
func (f *fakeLog) hookProduce(hook func(n int, req *logv1.ProduceRequest) (func() error, error)) {
	f.set(func() { f.onProduce = hook })
}

// Goal: many records, sent without waiting, get their offsets in the order of
// Send and are all in the log when Close returns, in far fewer requests.
func TestProducerPipelines(t *testing.T) {
	for _, protocol := range []proglog.Protocol{proglog.ProtocolConnect, proglog.ProtocolGRPC} {
		t.Run(fmt.Sprint("protocol ", protocol), func(t *testing.T) {
			f := startFake(t)
			requests := 0
			f.hookProduce(func(int, *logv1.ProduceRequest) (func() error, error) { requests++; return nil, nil })
			p, err := connectTo(t, f.url, proglog.WithProtocol(protocol)).NewProducer(t.Context())
			require.NoError(t, err)
			futures := sendAll(t, p, 5000)
			require.NoError(t, p.Close(t.Context()))
			for i, future := range futures {
				ack, err := future.Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, proglog.Ack{Offset: uint64(i), NextOffset: uint64(i) + 1, Time: time.Unix(1700000000, 7).UTC()}, ack)
			}
			for i, v := range f.values() {
				require.Equal(t, string(valueAt(uint64(i))), v)
			}
			assert.Less(t, requests, 2500)
			assert.Equal(t, proglog.Outcome{Acked: 5000, LastOffset: 4999}, p.Outcome())
			<-p.Done()
			_, err = p.Send(t.Context(), record("late"))
			requireOutcome(t, err, proglog.ErrNothingAppended)
			require.ErrorIs(t, err, proglog.ErrClosed)
			require.NoError(t, p.Close(t.Context()))
		})
	}
}

// Goal: several goroutines share a producer; each sees its own order kept.
func TestProducerIsSharedByGoroutines(t *testing.T) {
	f := startFake(t)
	p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.MaxInFlight(2, 4000))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			last := -1
			for i := range 200 {
				future, err := p.Send(t.Context(), record(fmt.Sprint(g, " ", i)))
				if !assert.NoError(t, err) {
					return
				}
				if i%20 == 0 {
					ack, err := future.Wait(t.Context())
					assert.NoError(t, err)
					assert.Greater(t, int(ack.Offset), last)
					last = int(ack.Offset)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, p.Close(t.Context()))
	assert.Len(t, f.values(), 1600)
}

// Goal: a request holds no more than the bounds of a batch, a record larger than
// them goes alone, and the first request names the log.
func TestProducerBoundsBatches(t *testing.T) {
	f := startFake(t)
	var sizes []int
	var logs []string
	f.hookProduce(func(_ int, req *logv1.ProduceRequest) (func() error, error) {
		total := 0
		for _, r := range req.GetRecords() {
			total += len(r.GetValue())
		}
		if len(req.GetRecords()) > 3 || len(req.GetRecords()) > 1 && total > 25 {
			return nil, errors.New("over the bounds")
		}
		sizes, logs = append(sizes, len(req.GetRecords())), append(logs, req.GetLog())
		return nil, nil
	})
	p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.InLog("a/b"), proglog.Linger(time.Hour), proglog.MaxBatch(3, 25))
	require.NoError(t, err)
	for _, n := range []int{1, 1, 1, 10, 10, 10, 100, 1} {
		_, err := p.Send(t.Context(), record(strings.Repeat("v", n)))
		require.NoError(t, err)
	}
	require.NoError(t, p.Flush(t.Context()))
	assert.Equal(t, []int{3, 2, 1, 1, 1}, sizes)
	assert.Equal(t, []string{"a/b", "", "", "", ""}, logs)
	require.NoError(t, p.Close(t.Context()))
}

// Goal: a batch that lingers leaves when its time is over, or by Flush.
func TestProducerLingers(t *testing.T) {
	f := startFake(t)
	c := connectTo(t, f.url)
	p, err := c.NewProducer(t.Context(), proglog.Linger(time.Millisecond))
	require.NoError(t, err)
	_, err = sendAll(t, p, 1)[0].Wait(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.Close(t.Context()))

	p, err = c.NewProducer(t.Context(), proglog.Linger(time.Hour))
	require.NoError(t, err)
	require.NoError(t, p.Flush(t.Context())) // nothing to flush
	futures := sendAll(t, p, 3)
	require.NoError(t, p.Flush(t.Context()))
	for _, future := range futures {
		<-future.Done()
	}
	require.NoError(t, p.Close(t.Context()))
	assert.Len(t, f.values(), 4)
}

// Goal: the first request that the server refuses gets the server's error, all
// after it are certainly not in the log, all before it are.
func TestProducerRefusedRequest(t *testing.T) {
	f := startFake(t)
	f.hookProduce(func(n int, _ *logv1.ProduceRequest) (func() error, error) {
		if n == 3 {
			return nil, fail(connect.CodeFailedPrecondition, &logv1.ErrorDetail{
				Reason: logv1.Reason_REASON_LOG_SEALED, NothingAppended: true})
		}
		return nil, nil
	})
	p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.MaxBatch(1, 100), proglog.MaxInFlight(100, 1<<20))
	require.NoError(t, err)
	futures := trySend(t, p, 50)
	<-p.Done()
	for i, future := range futures {
		_, err := future.Wait(t.Context())
		switch {
		case i < 3:
			require.NoError(t, err)
		case i == 3:
			requireOutcome(t, err, proglog.ErrNothingAppended)
			assert.Equal(t, proglog.ReasonLogSealed, proglog.ReasonOf(err))
		default:
			requireOutcome(t, err, proglog.ErrNothingAppended)
			assert.Equal(t, proglog.CodeAborted, proglog.CodeOf(err))
		}
	}
	assert.Equal(t, proglog.Outcome{Acked: 3, NotInLog: uint64(len(futures) - 3), LastOffset: 2}, p.Outcome())
	assert.Len(t, f.values(), 3)
	assert.Equal(t, proglog.ReasonLogSealed, proglog.ReasonOf(p.Close(t.Context())))
	assert.Error(t, p.Flush(t.Context()))
}

// trySend sends up to n records, until the producer ends.
func trySend(t *testing.T, p *proglog.Producer, n int) []proglog.Future {
	t.Helper()
	var futures []proglog.Future
	for i := range n {
		future, err := p.Send(t.Context(), proglog.Record{Value: valueAt(uint64(i))})
		if err != nil {
			requireOutcome(t, err, proglog.ErrNothingAppended)
			break
		}
		futures = append(futures, future)
	}
	return futures
}

// Goal: however a stream without an identity breaks, the records fall into three runs: acknowledged
// and in the log, unknown, certainly not in the log; and none that the log holds
// is called certainly absent.
func TestProducerBrokenStream(t *testing.T) {
	for _, row := range []struct {
		name string
		// what happens at the third request, before or after it is appended
		before, after func(*fakeLog) error
		unknown       int // batches whose outcome is unknown, with one in flight
	}{
		{"cut before the append", func(f *fakeLog) error { f.conns.cut(); return errors.New("cut") }, nil, 1},
		{"cut after the append", nil, func(f *fakeLog) error { f.conns.cut(); return errors.New("cut") }, 1},
		{"draining, vouched for", func(*fakeLog) error { return draining(true) }, nil, 0},
		{"draining, in flight", nil, func(*fakeLog) error { return draining(false) }, 1},
		{"an end without an error", func(*fakeLog) error { return errEndOK }, nil, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := startFake(t)
			f.hookProduce(func(n int, _ *logv1.ProduceRequest) (func() error, error) {
				if n != 2 {
					return nil, nil
				}
				if row.before != nil {
					return nil, row.before(f)
				}
				return func() error { return row.after(f) }, nil
			})
			p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.WithoutIdentity(), proglog.MaxBatch(1, 100), proglog.MaxInFlight(1, 1<<20))
			require.NoError(t, err)
			futures := trySend(t, p, 10)
			<-p.Done()
			logged := f.values()
			for i, future := range futures {
				_, err := future.Wait(t.Context())
				switch {
				case i < 2:
					require.NoError(t, err)
					require.Equal(t, string(valueAt(uint64(i))), logged[i])
				case i < 2+row.unknown:
					requireOutcome(t, err, proglog.ErrOutcomeUnknown)
				default:
					requireOutcome(t, err, proglog.ErrNothingAppended)
					require.Less(t, len(logged), i+1)
				}
			}
			o := p.Outcome()
			assert.Equal(t, uint64(2), o.Acked)
			assert.Equal(t, uint64(row.unknown), o.Unknown)
			assert.Equal(t, uint64(len(futures)), o.Acked+o.Unknown+o.NotInLog)
		})
	}
}

// Goal: a producer whose server cannot be reached, or has only HTTP/1.1, ends
// with an error that says what to do, and with nothing appended.
func TestProducerWithoutServer(t *testing.T) {
	h1 := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusHTTPVersionNotSupported)
	}), true)
	for url, text := range map[string]string{unusedAddress(t): "refused", h1: "needs HTTP/2"} {
		p, err := connectTo(t, url).NewProducer(t.Context())
		require.NoError(t, err)
		futures := trySend(t, p, 1)
		<-p.Done()
		for _, future := range futures {
			_, err := future.Wait(t.Context())
			requireOutcome(t, err, proglog.ErrNothingAppended)
			require.ErrorContains(t, err, text)
		}
		require.ErrorContains(t, p.Err(), text)
	}
}

// Goal: a record over the limit is refused by Send, and the producer goes on.
func TestProducerRefusesLargeRecord(t *testing.T) {
	f := startFake(t)
	p, err := connectTo(t, f.url, proglog.WithLimits(proglog.Limits{ValueBytes: 20, BatchRecords: 10, BatchBytes: 100})).NewProducer(t.Context())
	require.NoError(t, err)
	_, err = p.Send(t.Context(), record(strings.Repeat("v", 21)))
	requireOutcome(t, err, proglog.ErrNothingAppended)
	assert.Equal(t, proglog.ReasonTooLarge, proglog.ReasonOf(err))
	sendAll(t, p, 3)
	require.NoError(t, p.Close(t.Context()))
	assert.Len(t, f.values(), 3)
}

// Goal: what a server that does not answer leaves in flight: Send, Wait, Flush
// and Close each end with their own context, Send with nothing appended, and
// Close leaves nothing undecided.
func TestProducerContexts(t *testing.T) {
	f := startFake(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	f.hookProduce(func(n int, _ *logv1.ProduceRequest) (func() error, error) {
		if n == 0 {
			close(arrived)
		}
		<-release
		return nil, errors.New("released")
	})
	p, err := connectTo(t, f.url).NewProducer(t.Context(), proglog.MaxBatch(1, 10), proglog.MaxInFlight(1, 90))
	require.NoError(t, err)
	first := sendAll(t, p, 1)[0]
	<-arrived
	second, err := p.Send(t.Context(), record("0123456789"))
	require.NoError(t, err)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Send(ended, record("0123456789"))
	requireOutcome(t, err, proglog.ErrNothingAppended)
	require.ErrorIs(t, err, context.Canceled)
	_, err = first.Wait(ended)
	require.Equal(t, context.Canceled, err)
	require.Equal(t, context.Canceled, p.Flush(ended))

	waiting := make(chan error)
	go func() {
		_, err := p.Send(t.Context(), record("0123456789"))
		waiting <- err
	}()
	err = p.Close(ended)
	require.ErrorIs(t, err, context.Canceled)
	requireOutcome(t, <-waiting, proglog.ErrNothingAppended)
	_, err = first.Wait(t.Context())
	requireOutcome(t, err, proglog.ErrOutcomeUnknown)
	_, err = second.Wait(t.Context())
	requireOutcome(t, err, proglog.ErrNothingAppended)
}

// Goal: the context of NewProducer ends the producer, also an idle one, and a
// server that stops ends one without an identity.
func TestIdleProducerEnds(t *testing.T) {
	f := startFake(t)
	c := connectTo(t, f.url)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := c.NewProducer(ctx)
	require.NoError(t, err)
	cancel()
	<-p.Done()
	require.ErrorIs(t, p.Err(), context.Canceled)

	p, err = c.NewProducer(t.Context(), proglog.WithoutIdentity())
	require.NoError(t, err)
	_, err = sendAll(t, p, 1)[0].Wait(t.Context())
	require.NoError(t, err)
	f.conns.cut()
	<-p.Done()
	require.Error(t, p.Err())
	assert.Equal(t, uint64(1), p.Outcome().Acked)
}

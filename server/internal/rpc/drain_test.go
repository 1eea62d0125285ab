package rpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

func requireEnd(t *testing.T, stream logv1connect.LogConsumeStreamClientStream) {
	t.Helper()
	_, err := stream.Receive()
	require.ErrorIs(t, err, io.EOF)
}

func (s *testServer) drainWithPatience(t *testing.T) error {
	t.Helper()
	return s.Drain(ctxWithPatience(t))
}

// Goal: a drain ends tails with UNAVAILABLE and DRAINING in every dialect, at
// once, and then nothing listens any more.
func TestDrainEndsTails(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		s.fill(t, "a")
		stream, err := s.client(t, d).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{})
		require.NoError(t, err)
		requireNext(t, stream, 0, "a", true)
		require.NoError(t, s.drainWithPatience(t))
		_, err = stream.Receive()
		requireError(t, err, connect.CodeUnavailable, logv1.Reason_REASON_DRAINING)
		_, err = net.Dial("tcp", s.addr)
		require.Error(t, err)
	})
}

// Goal: a drain answers everything that a ProduceStream had sent, and only then
// ends it; what was not answered was not appended, and the end says so. Method:
// the first append is held until the drain is under way, with more in the queue.
func TestDrainAnswersProducers(t *testing.T) {
	t.Parallel()
	eachDialect(t, true, func(t *testing.T, d dialect) {
		begun, goOn := make(chan struct{}, 1), make(chan struct{})
		f := &faulty{append: func(ctx context.Context, log commitlog.CommitLog, batches []commitlog.Batch) ([]commitlog.Ack, error) {
			select {
			case begun <- struct{}{}:
			default:
			}
			<-goOn
			return log.Append(ctx, batches...)
		}}
		s := serveFaulty(t, f, rpc.Options{})
		stream, err := s.client(t, d).ProduceStream(ctxWithPatience(t))
		require.NoError(t, err)
		for range 5 {
			require.NoError(t, stream.Send(one("a")))
		}
		<-begun
		drained := make(chan error, 1)
		go func() { drained <- s.drainWithPatience(t) }()
		watchNotServing(t, s)
		close(goOn)

		answered := uint64(0)
		for {
			ack, err := stream.Receive()
			if err != nil {
				detail := requireError(t, err, connect.CodeUnavailable, logv1.Reason_REASON_DRAINING)
				require.True(t, detail.GetNothingAppended())
				break
			}
			require.Equal(t, answered, ack.GetOffset())
			answered = ack.GetNextOffset()
		}
		require.NoError(t, <-drained)
		require.GreaterOrEqual(t, answered, uint64(1))
		log, err := s.engine.Log(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, answered, log.Bounds().Next, "all that was appended was answered")
	})
}

// watchNotServing returns when the server drains.
func watchNotServing(t *testing.T, s *testServer) {
	t.Helper()
	require.Eventually(t, s.Draining, patience, time.Millisecond)
}

// Goal: a unary call that was under way when the drain began gets its answer,
// and one that comes later is refused with the promise that nothing was
// appended.
func TestDrainAndUnaryCalls(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}), make(chan struct{})
	f := &faulty{append: func(ctx context.Context, log commitlog.CommitLog, batches []commitlog.Batch) ([]commitlog.Ack, error) {
		close(begun)
		<-goOn
		return log.Append(ctx, batches...)
	}}
	s := serveFaulty(t, f, rpc.Options{})
	c := s.grpc(t)
	produced := make(chan error, 1)
	go func() {
		_, err := c.Produce(ctxWithPatience(t), one("a"))
		produced <- err
	}()
	<-begun
	drained := make(chan error, 1)
	go func() { drained <- s.drainWithPatience(t) }()
	watchNotServing(t, s)

	// The connection may still take calls, or be closed to them already.
	_, err := c.Produce(ctxWithPatience(t), one("late"))
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err), "%v", err)
	if e, ok := errors.AsType[*connect.Error](err); ok && e.IsRemote() {
		detail := requireError(t, err, connect.CodeUnavailable, logv1.Reason_REASON_DRAINING)
		require.True(t, detail.GetNothingAppended())
	}
	close(goOn)
	require.NoError(t, <-produced)
	require.NoError(t, <-drained)
}

// Goal: a call that does not end in time is cut, and Drain says so; the engine is
// not in use when it returns.
func TestDrainCutsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan struct{})
	f := &faulty{append: func(ctx context.Context, _ commitlog.CommitLog, _ []commitlog.Batch) ([]commitlog.Ack, error) {
		close(begun)
		defer close(ended)
		<-ctx.Done()
		return nil, commitlog.OutcomeUnknown(ctx.Err())
	}}
	s := serveFaulty(t, f, rpc.Options{})
	produced := make(chan error, 1)
	go func() {
		_, err := s.grpc(t).Produce(ctxWithPatience(t), one("a"))
		produced <- err
	}()
	<-begun
	limit, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Drain(limit), context.DeadlineExceeded)
	select {
	case <-ended:
	default:
		require.Fail(t, "the engine is still in use")
	}
	require.Error(t, <-produced)
}

package rpc_test

import (
	"math"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

func requireBeat(t *testing.T, stream logv1connect.LogConsumeStreamClientStream, next uint64) {
	t.Helper()
	res, err := stream.Receive()
	require.NoError(t, err)
	require.Nil(t, res.GetRecord())
	require.Empty(t, res.GetRecords())
	require.Equal(t, &next, res.NextOffset)
}

// Goal: with a heartbeat the stream tells the tail at once when it first stands
// there, whatever the start, in every dialect, so that a client that has got no
// record yet can resume without losing one; later only after a silence.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		s.fill(t, "a", "b")
		c, ctx := s.client(t, d), ctxWithPatience(t)
		minute := durationpb.New(time.Minute)
		open := func(req *logv1.ConsumeRequest) logv1connect.LogConsumeStreamClientStream {
			req.Heartbeat = minute
			stream, err := c.ConsumeStream(ctx, req)
			require.NoError(t, err)
			return stream
		}
		fresh := open(&logv1.ConsumeRequest{Start: fromTail(0)})
		requireBeat(t, fresh, 2)
		beyond := open(&logv1.ConsumeRequest{Offset: 4})
		requireBeat(t, beyond, 2)
		history := open(&logv1.ConsumeRequest{Offset: 1})
		requireNext(t, history, 1, "b", true)
		requireBeat(t, history, 2)
		bounded := open(&logv1.ConsumeRequest{UntilOffset: ptr(uint64(2)), MaxRecords: 9})
		res, err := bounded.Receive()
		require.NoError(t, err)
		require.Equal(t, "ab", values(res))
		requireEnd(t, bounded)

		for i, v := range []string{"c", "d", "e"} { // none of them is due again
			s.fill(t, v)
			requireNext(t, fresh, uint64(i)+2, v, true)
			requireNext(t, history, uint64(i)+2, v, true)
		}
		requireNext(t, beyond, 4, "e", true)
		for _, stream := range []logv1connect.LogConsumeStreamClientStream{fresh, beyond, history} {
			require.NoError(t, stream.Close())
		}
	})
}

// Goal: the highest offset there is, is waited for like any that is not there yet,
// in every dialect: what is appended meanwhile is not sent, and nothing ends.
func TestTheHighestOffsetIsWaitedFor(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{Limits: rpc.Limits{MinHeartbeat: time.Millisecond}}, nil)
		s.fill(t, "a")
		stream, err := s.client(t, d).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{
			Offset: math.MaxUint64, Heartbeat: durationpb.New(20 * time.Millisecond),
		})
		require.NoError(t, err)
		requireBeat(t, stream, 1)
		s.fill(t, "b")
		for behind := 0; behind < 2; { // beats of before the append may come first
			res, err := stream.Receive()
			require.NoError(t, err)
			require.Nil(t, res.GetRecord())
			require.Empty(t, res.GetRecords())
			if res.GetNextOffset() == 2 {
				behind++
			}
		}
		require.NoError(t, stream.Close())
	})
}

// Goal: while nothing comes a heartbeat comes each interval, told apart from
// records, and never ahead of what the stream has sent; and without asking there
// is none. Method: a short interval.
func TestHeartbeatInterval(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{Limits: rpc.Limits{MinHeartbeat: time.Millisecond, Stall: 50 * time.Millisecond}}, nil)
	interval, start, beats := 20*time.Millisecond, time.Now(), 0
	beating, err := s.grpc(t).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{Heartbeat: durationpb.New(interval)})
	require.NoError(t, err)
	silent, err := s.grpc(t).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{})
	require.NoError(t, err)
	next := uint64(0)
	for range 5 {
		for range 3 {
			requireBeat(t, beating, next)
			beats++
		}
		s.fill(t, "x")
		for { // a heartbeat may have been under way
			res, err := beating.Receive()
			require.NoError(t, err)
			require.LessOrEqual(t, res.GetNextOffset(), next+1)
			if res.GetRecord() != nil {
				require.Equal(t, next, res.GetRecord().GetOffset())
				break
			}
			require.Equal(t, next, res.GetNextOffset(), "ahead of what was sent")
		}
		requireNext(t, silent, next, "x", true)
		next++
	}
	require.GreaterOrEqual(t, time.Since(start), time.Duration(beats-1)*interval)
}

// Goal: what ends a tail, in every dialect: sealing it ends it OK, behind the last
// record; deleting it is NOT_FOUND, or LOG_CHANGED for one who named the identity
// when another log has the name; trimming what it has yet to send is OUT_OF_RANGE
// with the new bounds.
func TestTailsEnd(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		c, ctx := s.client(t, d), ctxWithPatience(t)
		heartbeat := durationpb.New(time.Minute)
		tail := func(name, id string) logv1connect.LogConsumeStreamClientStream {
			stream, err := c.ConsumeStream(ctx, &logv1.ConsumeRequest{Log: name, LogId: id, Heartbeat: heartbeat})
			require.NoError(t, err)
			requireBeat(t, stream, 0) // it stands
			return stream
		}
		sealed := s.newLog(t, "sealed")
		stream := tail("sealed", sealed.ID())
		_, err := sealed.Append(ctx, commitlog.Batch{Records: []commitlog.Record{{Value: []byte("last")}}})
		require.NoError(t, err)
		_, _, err = s.engine.Put(ctx, "sealed", commitlog.Change{Sealed: ptr(true)})
		require.NoError(t, err)
		requireNext(t, stream, 0, "last", true)
		requireEnd(t, stream)
		for _, offset := range []uint64{1, 7} { // at the end, and where nothing ever comes
			stream, err := c.ConsumeStream(ctx, &logv1.ConsumeRequest{Log: "sealed", Offset: offset})
			require.NoError(t, err)
			requireEnd(t, stream)
		}

		s.newLog(t, "deleted")
		stream = tail("deleted", "")
		require.NoError(t, s.engine.Delete(ctx, "deleted"))
		_, err = stream.Receive()
		requireError(t, err, connect.CodeNotFound, logv1.Reason_REASON_LOG_NOT_FOUND)

		// The log is another before the tail notices: whichever it meets, it ends.
		id := s.newLog(t, "changed").ID()
		stream = tail("changed", id)
		require.NoError(t, s.engine.Delete(ctx, "changed"))
		s.newLog(t, "changed")
		_, err = stream.Receive()
		require.Contains(t, []connect.Code{connect.CodeNotFound, connect.CodeFailedPrecondition}, connect.CodeOf(err))
		stream, err = c.ConsumeStream(ctx, &logv1.ConsumeRequest{Log: "changed", LogId: id})
		require.NoError(t, err)
		_, err = stream.Receive()
		requireError(t, err, connect.CodeFailedPrecondition, logv1.Reason_REASON_LOG_CHANGED)
	})
}

// Goal: a tail whose log was replaced while it waited learns that when it had
// named the identity, and NOT_FOUND otherwise. Method: hold the wait until both
// has happened.
func TestTailOfAReplacedLog(t *testing.T) {
	t.Parallel()
	waits, replaced := make(chan struct{}), make(chan struct{})
	s := serveFaulty(t, &faulty{wait: func() error {
		waits <- struct{}{}
		<-replaced
		return nil
	}}, rpc.Options{})
	id := s.newLog(t, "orders").ID()
	named, err := s.grpc(t).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{Log: "orders", LogId: id})
	require.NoError(t, err)
	unnamed, err := s.grpc(t).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{Log: "orders"})
	require.NoError(t, err)
	<-waits
	<-waits
	require.NoError(t, s.engine.Delete(t.Context(), "orders"))
	s.newLog(t, "orders")
	close(replaced)
	_, err = named.Receive()
	requireError(t, err, connect.CodeFailedPrecondition, logv1.Reason_REASON_LOG_CHANGED)
	_, err = unnamed.Receive()
	requireError(t, err, connect.CodeNotFound, logv1.Reason_REASON_LOG_NOT_FOUND)
}

// Goal: a reader in the middle of what is trimmed gets what it was sent, then
// OUT_OF_RANGE with the new bounds, and nothing wrong in between.
func TestReaderCrossesATrim(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		var s *testServer
		s = serveFaulty(t, &faulty{read: func(from uint64) error {
			if from != 2 {
				return nil
			}
			log, err := s.engine.Log(t.Context(), "")
			if err == nil {
				_, err = log.Trim(t.Context(), 4)
			}
			return err
		}}, rpc.Options{Limits: rpc.Limits{StrideBytes: 1}}) // a record is a read
		s.fill(t, "a", "b", "c", "d", "e")
		stream, err := s.client(t, d).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{MaxRecords: 1})
		require.NoError(t, err)
		for _, want := range []string{"a", "b"} {
			res, err := stream.Receive()
			require.NoError(t, err)
			require.Equal(t, want, values(res))
		}
		_, err = stream.Receive()
		detail := requireError(t, err, connect.CodeOutOfRange, logv1.Reason_REASON_OFFSET_TRIMMED)
		requireNumbers(t, numbers{first: ptr(uint64(4)), next: ptr(uint64(5))}, detail)
	})
}

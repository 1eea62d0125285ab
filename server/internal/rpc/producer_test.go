package rpc_test

import (
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

func from(id string, epoch, sequence uint64, values ...string) *logv1.ProduceRequest {
	req := many(values...)
	req.Producer = &logv1.Producer{Id: id, Epoch: epoch, Sequence: sequence}
	return req
}

// Goal: each outcome of a producer's request, in every dialect: accepted,
// replayed, reused, gap, fenced, forgotten, a new epoch; a refused request does
// not use up its sequence; and a replay answers the original ack also where
// expected_offset no longer fits and where the log is sealed.
func TestProducerOutcomes(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		c, ctx := s.client(t, d), ctxWithPatience(t)
		accept := func(req *logv1.ProduceRequest, first uint64) *logv1.ProduceResponse {
			t.Helper()
			ack, err := c.Produce(ctx, req)
			require.NoError(t, err)
			require.Equal(t, first, ack.GetOffset())
			require.False(t, ack.GetDuplicate())
			return ack
		}
		refuse := func(req *logv1.ProduceRequest, code connect.Code, reason logv1.Reason, want numbers) {
			t.Helper()
			_, err := c.Produce(ctx, req)
			detail := requireError(t, err, code, reason)
			require.Equal(t, reason != logv1.Reason_REASON_SEQUENCE_FORGOTTEN, detail.GetNothingAppended())
			requireNumbers(t, want, detail)
		}
		replay := func(req *logv1.ProduceRequest, original *logv1.ProduceResponse) {
			t.Helper()
			ack, err := c.Produce(ctx, req)
			require.NoError(t, err)
			require.True(t, ack.GetDuplicate())
			ack.Duplicate = false
			require.True(t, proto.Equal(original, ack), "%v is not %v", ack, original)
		}
		expecting := func(req *logv1.ProduceRequest, offset uint64) *logv1.ProduceRequest {
			req.ExpectedOffset = &offset
			return req
		}
		failed, aborted := connect.CodeFailedPrecondition, connect.CodeAborted

		zero := accept(expecting(from("p", 3, 0, "a", "b"), 0), 0)
		refuse(from("p", 3, 2, "c"), aborted, logv1.Reason_REASON_SEQUENCE_GAP, numbers{epoch: ptr(uint64(3)), sequence: ptr(uint64(1))})
		refuse(expecting(from("p", 3, 1, "c"), 9), aborted, logv1.Reason_REASON_OFFSET_MISMATCH, numbers{next: ptr(uint64(2))})
		accept(from("p", 3, 1, "c"), 2)
		replay(from("p", 3, 0, "a", "b"), zero)
		replay(expecting(from("p", 3, 0, "a", "b"), 0), zero)
		refuse(from("p", 3, 0, "a", "x"), connect.CodeInvalidArgument, logv1.Reason_REASON_SEQUENCE_REUSED, numbers{})
		refuse(from("p", 2, 0, "z"), failed, logv1.Reason_REASON_PRODUCER_FENCED, numbers{epoch: ptr(uint64(3))})
		refuse(from("other", 0, 5, "z"), failed, logv1.Reason_REASON_SEQUENCE_FORGOTTEN, numbers{sequence: ptr(uint64(0))})
		last := accept(from("p", 4, 0, "d"), 3)
		refuse(from("p", 3, 2, "z"), failed, logv1.Reason_REASON_PRODUCER_FENCED, numbers{epoch: ptr(uint64(4))})

		_, _, err := s.engine.Put(ctx, "", commitlog.Change{Sealed: ptr(true)})
		require.NoError(t, err)
		replay(expecting(from("p", 4, 0, "d"), 0), last)
		refuse(from("p", 4, 1, "e"), failed, logv1.Reason_REASON_LOG_SEALED, numbers{next: ptr(uint64(4))})
		refuse(from("p", 4, 7, "e"), failed, logv1.Reason_REASON_LOG_SEALED, numbers{next: ptr(uint64(4))})
		refuse(from("p", 3, 2, "e"), failed, logv1.Reason_REASON_PRODUCER_FENCED, numbers{epoch: ptr(uint64(4))})
	})
}

// Goal: a producer that lost its stream sends all of it again: what is there is
// answered with the original acks, what is not is appended, and nothing is twice.
func TestProducerRetriesAStream(t *testing.T) {
	t.Parallel()
	eachDialect(t, true, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		for round, requests := range []uint64{3, 6} {
			stream, err := s.client(t, d).ProduceStream(ctxWithPatience(t))
			require.NoError(t, err)
			for i := range requests {
				require.NoError(t, stream.Send(from("p", 0, i, "a", "b")))
			}
			require.NoError(t, stream.CloseSend())
			for i := range requests {
				ack, err := stream.Receive()
				require.NoError(t, err)
				require.Equal(t, 2*i, ack.GetOffset())
				require.Equal(t, 2*i+2, ack.GetNextOffset())
				require.Equal(t, round == 1 && i < 3, ack.GetDuplicate())
			}
		}
	})
}

// Goal: an outcome beyond what is remembered is forgotten, not appended again.
// Method: more requests than the window holds, then the first of them again.
func TestForgottenOutcome(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	stream, err := s.grpc(t).ProduceStream(ctxWithPatience(t))
	require.NoError(t, err)
	n := uint64(commitlog.DefaultDedupWindow().Acks) + 1
	for i := range n {
		require.NoError(t, stream.Send(from("p", 0, i, "a")))
	}
	require.NoError(t, stream.Send(from("p", 0, 1, "a")))
	require.NoError(t, stream.Send(from("p", 0, 0, "a")))
	for i := range n {
		ack, err := stream.Receive()
		require.NoError(t, err)
		require.Equal(t, i, ack.GetOffset())
	}
	ack, err := stream.Receive()
	require.NoError(t, err)
	require.True(t, ack.GetDuplicate(), "the oldest that is remembered")
	_, err = stream.Receive()
	detail := requireError(t, err, connect.CodeFailedPrecondition, logv1.Reason_REASON_SEQUENCE_FORGOTTEN)
	require.False(t, detail.GetNothingAppended())
	require.Equal(t, n, detail.GetSequence())
}

package rpc_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"connectrpc.com/connect/v2/connecthttp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

// Goal: records that are sent as they are stored are, message by message, those that
// the protocol library would have sent, in every dialect that is not JSON, at the
// tail and before it, one by one and in batches; and the stream ends OK behind them.
// Method: JSON is always encoded by the library; its messages are what the others
// are compared with. Values are of all sizes around what is written at once.
func TestStoredRecordsTravelAsMessagesDo(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{Limits: rpc.Limits{MaxRecords: 1000}}, nil)
	count := s.fillWithAllSorts(t)
	for _, req := range []*logv1.ConsumeRequest{
		{UntilOffset: ptr(count)}, // the last response is at the tail
		{UntilOffset: ptr(count - 1)},
		{Offset: 3, UntilOffset: ptr(uint64(4))},
		{Offset: count - 1, UntilOffset: ptr(count)},
		{MaxRecords: 1, UntilOffset: ptr(count)},
		{MaxRecords: 7, UntilOffset: ptr(count)},
		{MaxRecords: 7, Offset: 5, UntilOffset: ptr(count - 2)},
		{MaxRecords: 1000, UntilOffset: ptr(count)},
	} {
		t.Run(req.String(), func(t *testing.T) {
			want := map[uint64]*logv1.Record{}
			for _, res := range s.stream(t, dialect{"JSON", true, []connecthttp.Option{connecthttp.WithProtoJSON()}}, req) {
				for _, r := range recordsOf(res) {
					want[r.GetOffset()] = r
				}
			}
			require.Len(t, want, int(req.GetUntilOffset()-req.GetOffset()))
			eachDialect(t, false, func(t *testing.T, d dialect) {
				next := req.GetOffset()
				responses := s.stream(t, d, req)
				for i, res := range responses {
					records := recordsOf(res)
					require.NotEmpty(t, records)
					require.Empty(t, res.ProtoReflect().GetUnknown())
					if req.GetMaxRecords() > 0 {
						require.Nil(t, res.GetRecord())
						require.LessOrEqual(t, len(records), int(req.GetMaxRecords()))
					} else {
						require.Empty(t, res.GetRecords())
					}
					for _, r := range records {
						require.Equal(t, next, r.GetOffset())
						require.True(t, proto.Equal(want[next], r), "record %d is another", next)
						next++
					}
					atTail := i+1 == len(responses) && next == count
					require.Equal(t, atTail, res.NextOffset != nil, "only the response that reached the tail says so")
				}
				require.Equal(t, req.GetUntilOffset(), next)
			})
		})
	}
}

// Goal: a unary answer of many records is the same in every dialect, also from
// within the log.
func TestConsumeOfManyIsTheSameInEveryDialect(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	count := s.fillWithAllSorts(t)
	req := &logv1.ConsumeRequest{Offset: 2, MaxRecords: uint32(count)}
	want, err := s.client(t, dialect{"JSON", true, []connecthttp.Option{connecthttp.WithProtoJSON()}}).Consume(ctxWithPatience(t), req)
	require.NoError(t, err)
	require.Greater(t, len(want.GetRecords()), 10)
	eachDialect(t, false, func(t *testing.T, d dialect) {
		got, err := s.client(t, d).Consume(ctxWithPatience(t), req)
		require.NoError(t, err)
		require.True(t, proto.Equal(want, got))
	})
}

// fillWithAllSorts appends records with and without headers, of sizes from nothing
// to more than is written at once, and returns how many.
func (s *testServer) fillWithAllSorts(t *testing.T) uint64 {
	t.Helper()
	log, err := s.engine.Log(t.Context(), "")
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	var batch commitlog.Batch
	for i, size := range []int{0, 1, 100, 127, 128, 5000, 200 << 10, 3, 16<<10 - 5, 64 << 10, 64<<10 - 1} {
		for range 20 {
			r := commitlog.Record{Value: make([]byte, max(0, size-random.IntN(3)))}
			for j := range r.Value {
				r.Value[j] = byte(random.Uint32())
			}
			for h := range random.IntN(3) {
				r.Headers = append(r.Headers, commitlog.Header{Name: fmt.Sprintf("name-%d", h), Value: fmt.Append(nil, i)})
			}
			batch.Records = append(batch.Records, r)
			if size > 100<<10 {
				break // one of the largest will do
			}
		}
		_, err := log.Append(t.Context(), batch)
		require.NoError(t, err)
		batch.Records = nil
	}
	return log.Bounds().Next
}

// stream returns all responses of a stream that ends OK.
func (s *testServer) stream(t *testing.T, d dialect, req *logv1.ConsumeRequest) (all []*logv1.ConsumeResponse) {
	t.Helper()
	stream, err := s.client(t, d).ConsumeStream(ctxWithPatience(t), req)
	require.NoError(t, err)
	for {
		res, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, res)
	}
}

func recordsOf(res *logv1.ConsumeResponse) []*logv1.Record {
	if r := res.GetRecord(); r != nil {
		return []*logv1.Record{r}
	}
	return res.GetRecords()
}

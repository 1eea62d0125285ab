package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/internal/rpc"
)

// Goal: a stream sends what there is, one record to a response, and then what
// comes, in every dialect; only the response that reached the tail says so.
func TestConsumeStreamFollows(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		s.fill(t, "a", "b", "c")
		ctx, cancel := context.WithCancel(ctxWithPatience(t))
		defer cancel()
		stream, err := s.client(t, d).ConsumeStream(ctx, &logv1.ConsumeRequest{Offset: 1})
		require.NoError(t, err)
		requireNext(t, stream, 1, "b", false)
		requireNext(t, stream, 2, "c", true)
		s.fill(t, "d")
		requireNext(t, stream, 3, "d", true)
		s.fill(t, "e")
		requireNext(t, stream, 4, "e", true)
		cancel()
		_, err = stream.Receive()
		require.Error(t, err)
	})
}

func requireNext(t *testing.T, stream logv1connect.LogConsumeStreamClientStream, offset uint64, value string, tail bool) {
	t.Helper()
	res, err := stream.Receive()
	require.NoError(t, err)
	require.NotNil(t, res.GetRecord())
	require.Empty(t, res.GetRecords())
	require.Equal(t, offset, res.GetRecord().GetOffset())
	require.Equal(t, value, string(res.GetRecord().GetValue()))
	require.NotZero(t, res.GetRecord().GetTimestamp().GetSeconds())
	require.Equal(t, tail, res.NextOffset != nil)
	if tail {
		require.Equal(t, offset+1, res.GetNextOffset())
	}
}

// Goal: with max_records a response has up to that many records, every record
// comes once and in order whatever the stride, and until_offset ends the stream
// OK. Method: small strides, values of many sizes, some above the stride.
func TestConsumeStreamBatches(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{Limits: rpc.Limits{StrideBytes: 500}}, nil)
		const n = 200
		for i := range n {
			s.fill(t, string(make([]byte, i*7)))
		}
		for _, maxRecords := range []uint32{0, 1, 7, 10_000} {
			stream, err := s.client(t, d).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{
				MaxRecords: maxRecords, UntilOffset: ptr(uint64(n - 1)),
			})
			require.NoError(t, err)
			next := uint64(0)
			for {
				res, err := stream.Receive()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				records := res.GetRecords()
				if maxRecords == 0 {
					records = []*logv1.Record{res.GetRecord()}
				}
				require.NotEmpty(t, records)
				require.LessOrEqual(t, len(records), int(max(maxRecords, 1)))
				for _, r := range records {
					require.Equal(t, next, r.GetOffset())
					require.Len(t, r.GetValue(), int(next)*7)
					next++
				}
				require.Nil(t, res.NextOffset, "the tail is beyond until_offset")
			}
			require.Equal(t, uint64(n-1), next)
		}
	})
}

// Goal: an offset beyond the end is waited for, and nothing before it is sent.
func TestConsumeStreamWaitsBeyondTheEnd(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	ctx, cancel := context.WithCancel(ctxWithPatience(t))
	defer cancel()
	stream, err := s.grpc(t).ConsumeStream(ctx, &logv1.ConsumeRequest{Offset: 2})
	require.NoError(t, err)
	s.fill(t, "a", "b", "c", "d")
	res, err := stream.Receive()
	require.NoError(t, err)
	require.Equal(t, uint64(2), res.GetRecord().GetOffset())
}

// Goal: what Consume refuses, ConsumeStream refuses alike, save what it waits
// for.
func TestConsumeStreamErrors(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		s.fill(t, "a", "b")
		for _, tc := range consumeErrors() {
			if tc.waits || tc.unsayable && d.json() {
				continue
			}
			t.Run(tc.name, func(t *testing.T) {
				stream, err := s.client(t, d).ConsumeStream(ctxWithPatience(t), tc.req)
				require.NoError(t, err)
				_, err = stream.Receive()
				detail := requireError(t, err, tc.code, tc.reason)
				require.False(t, detail.GetNothingAppended())
				requireNumbers(t, tc.numbers, detail)
			})
		}
	})
}

// Goal: a ProduceStream answers each request, in order, with its offsets, and
// ends OK after the half-close. The client waits for each answer, then sends
// many before it reads any.
func TestProduceStream(t *testing.T) {
	t.Parallel()
	eachDialect(t, true, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		stream, err := s.client(t, d).ProduceStream(ctxWithPatience(t))
		require.NoError(t, err)
		next := uint64(0)
		for i := range 3 {
			require.NoError(t, stream.Send(one(fmt.Sprint(i))))
			requireAck(t, stream, &next, 1)
		}
		const n = 300
		for i := range n {
			require.NoError(t, stream.Send(many(make([]string, i%3+1)...)))
		}
		require.NoError(t, stream.CloseSend())
		for i := range n {
			requireAck(t, stream, &next, uint64(i%3+1))
		}
		_, err = stream.Receive()
		require.ErrorIs(t, err, io.EOF)
		log, err := s.engine.Log(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, next, log.Bounds().Next)
	})
}

func requireAck(t *testing.T, stream logv1connect.LogProduceStreamClientStream, next *uint64, records uint64) {
	t.Helper()
	ack, err := stream.Receive()
	require.NoError(t, err)
	require.Equal(t, *next, ack.GetOffset())
	require.Equal(t, *next+records, ack.GetNextOffset())
	require.NotZero(t, ack.GetTimestamp().GetSeconds())
	*next = ack.GetNextOffset()
}

// Goal: the first request that fails ends the stream, after the acks of those
// before it; nothing after it is appended, and the error says so.
func TestProduceStreamStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	eachDialect(t, true, func(t *testing.T, d dialect) {
		for _, tc := range produceErrors() {
			t.Run(tc.name, func(t *testing.T) {
				if tc.req.GetLog() == "nowhere" && tc.reason == logv1.Reason_REASON_LOG_NOT_FOUND {
					tc.code, tc.reason = connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_REQUEST // not the stream's log
				}
				s := newServer(t, rpc.Options{}, nil)
				stream, err := s.client(t, d).ProduceStream(ctxWithPatience(t))
				require.NoError(t, err)
				next := uint64(0)
				for _, req := range []*logv1.ProduceRequest{one("a"), one("b"), tc.req, one("never"), one("never")} {
					if err := stream.Send(req); err != nil {
						require.ErrorIs(t, err, io.EOF) // it has ended already
						break
					}
				}
				requireAck(t, stream, &next, 1)
				requireAck(t, stream, &next, 1)
				_, err = stream.Receive()
				detail := requireError(t, err, tc.code, tc.reason)
				require.True(t, detail.GetNothingAppended())
				log, err := s.engine.Log(t.Context(), "")
				require.NoError(t, err)
				require.Equal(t, uint64(2), log.Bounds().Next)
			})
		}
	})
}

// Goal: the first request binds the log; later ones may leave it out or repeat
// it.
func TestProduceStreamBindsItsLog(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	log := s.newLog(t, "orders")
	s.newLog(t, "other")
	named := func(name string) *logv1.ProduceRequest {
		req := one("x")
		req.Log = name
		return req
	}
	stream, err := s.grpc(t).ProduceStream(ctxWithPatience(t))
	require.NoError(t, err)
	for _, name := range []string{"orders", "", "orders", "other"} {
		require.NoError(t, stream.Send(named(name)))
	}
	next := uint64(0)
	for range 3 {
		requireAck(t, stream, &next, 1)
	}
	_, err = stream.Receive()
	requireError(t, err, connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_REQUEST)
	require.Equal(t, uint64(3), log.Bounds().Next)

	stream, err = s.grpc(t).ProduceStream(ctxWithPatience(t))
	require.NoError(t, err)
	require.NoError(t, stream.Send(named("nowhere")))
	_, err = stream.Receive()
	detail := requireError(t, err, connect.CodeNotFound, logv1.Reason_REASON_LOG_NOT_FOUND)
	require.True(t, detail.GetNothingAppended())
}

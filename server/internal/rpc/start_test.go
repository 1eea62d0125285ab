package rpc_test

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

// values returns the values of a response, one after the other.
func values(res *logv1.ConsumeResponse) string {
	got := string(res.GetRecord().GetValue())
	for _, r := range res.GetRecords() {
		got += string(r.GetValue())
	}
	return got
}

// Goal: every start of a read is found, in every dialect, in a log whose first
// records are trimmed: n before the tail, a time before, at, between and after
// the records' own; by Consume and by ConsumeStream alike.
func TestStarts(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		s.tick(time.Second)
		c, ctx := s.client(t, d), ctxWithPatience(t)
		var times []time.Time
		for _, v := range []string{"a", "b", "c", "d", "e"} {
			ack, err := c.Produce(ctx, one(v))
			require.NoError(t, err)
			times = append(times, ack.GetTimestamp().AsTime())
		}
		log, err := s.engine.Log(ctx, "")
		require.NoError(t, err)
		_, err = log.Trim(ctx, 1)
		require.NoError(t, err)
		for _, tc := range []struct {
			name string
			req  *logv1.ConsumeRequest
			want string // up to offset 5
		}{
			{"one before the tail", &logv1.ConsumeRequest{Start: fromTail(1)}, "e"},
			{"all", &logv1.ConsumeRequest{Start: fromTail(4)}, "bcde"},
			{"more than there are", &logv1.ConsumeRequest{Start: fromTail(5)}, "bcde"},
			{"far more than there are", &logv1.ConsumeRequest{Start: fromTail(^uint64(0))}, "bcde"},
			{"the beginning of time", &logv1.ConsumeRequest{Start: fromTime(time.Unix(0, 0))}, "bcde"},
			{"before the epoch", &logv1.ConsumeRequest{Start: fromTime(time.Unix(-1, 0))}, "bcde"},
			{"the time of a trimmed one", &logv1.ConsumeRequest{Start: fromTime(times[0])}, "bcde"},
			{"its time", &logv1.ConsumeRequest{Start: fromTime(times[2])}, "cde"},
			{"just after its time", &logv1.ConsumeRequest{Start: fromTime(times[2].Add(1))}, "de"},
			{"the last's time", &logv1.ConsumeRequest{Start: fromTime(times[4])}, "e"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				tc.req.MaxRecords, tc.req.UntilOffset = 10, ptr(uint64(5))
				res, err := c.Consume(ctx, tc.req)
				require.NoError(t, err)
				require.Equal(t, tc.want, values(res))
				stream, err := c.ConsumeStream(ctx, tc.req)
				require.NoError(t, err)
				res, err = stream.Receive()
				require.NoError(t, err)
				require.Equal(t, tc.want, values(res))
				requireEnd(t, stream)
			})
		}
		for name, req := range map[string]*logv1.ConsumeRequest{
			"only new ones":   {Start: fromTail(0)},
			"after the last":  {Start: fromTime(times[4].Add(1))},
			"far in the time": {Start: fromTime(time.Now().Add(1000 * time.Hour))},
		} {
			_, err := c.Consume(ctx, req)
			detail := requireError(t, err, connect.CodeOutOfRange, logv1.Reason_REASON_OFFSET_UNWRITTEN)
			require.Equal(t, uint64(5), detail.GetNextOffset(), name)
		}
	})
}

// Goal: a start before the tail that is trimmed between being found and being
// read is found again, rather than failing a caller who named no offset.
func TestStartIsTrimmedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, stream := range []bool{false, true} {
		var s *testServer
		trims := 0
		s = serveFaulty(t, &faulty{read: func(uint64) error {
			if trims++; trims > 2 {
				return nil
			}
			log, err := s.engine.Log(t.Context(), "")
			if err == nil {
				_, err = log.Trim(t.Context(), uint64(trims))
			}
			return err
		}}, rpc.Options{})
		s.fill(t, "a", "b", "c")
		req := &logv1.ConsumeRequest{Start: fromTail(9)}
		if !stream {
			res, err := s.grpc(t).Consume(ctxWithPatience(t), req)
			require.NoError(t, err)
			require.Equal(t, uint64(2), res.GetRecord().GetOffset())
			continue
		}
		tail, err := s.grpc(t).ConsumeStream(ctxWithPatience(t), req)
		require.NoError(t, err)
		requireNext(t, tail, 2, "c", true)
	}
}

// Goal: a Consume that waits gets what comes, at the tail, beyond it and from a
// relative start; or ends empty: as an error in the origin's shape, else with no
// records and the tail. Without a wait it fails at once.
func TestWait(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		waits := make(chan struct{}, 1)
		s := serveFaulty(t, &faulty{wait: func() error {
			waits <- struct{}{}
			return nil
		}}, rpc.Options{})
		s.fill(t, "a", "b")
		c, ctx := s.client(t, d), ctxWithPatience(t)
		for name, req := range map[string]*logv1.ConsumeRequest{
			"at the tail":    {Offset: 2},
			"from the tail":  {Start: fromTail(0)},
			"from a time":    {Start: fromTime(time.Now().Add(time.Hour))},
			"beyond":         {Offset: 3},
			"beyond, a few":  {Offset: 3, MaxRecords: 5},
			"in batches":     {Offset: 2, MaxRecords: 5},
			"with its limit": {Offset: 2, MaxRecords: 5, UntilOffset: ptr(uint64(3))},
		} {
			req.Wait = durationpb.New(time.Millisecond)
			res, err := c.Consume(ctx, req)
			<-waits
			if req.GetMaxRecords() == 0 {
				detail := requireError(t, err, connect.CodeOutOfRange, logv1.Reason_REASON_OFFSET_UNWRITTEN)
				requireNumbers(t, numbers{first: ptr(uint64(0)), next: ptr(uint64(2))}, detail)
			} else {
				require.NoError(t, err, name)
				require.Empty(t, res.GetRecords())
				require.Equal(t, ptr(uint64(2)), res.NextOffset)
			}
		}
		next := uint64(2)
		for name, req := range map[string]*logv1.ConsumeRequest{"a record": {}, "from the tail": {Start: fromTail(0)}, "a batch": {MaxRecords: 9}} {
			if req.GetStart() == nil {
				req.Offset = next
			}
			req.Wait = durationpb.New(24 * time.Hour) // cut to the limit
			got := make(chan *logv1.ConsumeResponse, 1)
			go func() {
				res, _ := c.Consume(ctx, req)
				got <- res
			}()
			<-waits
			s.fill(t, name)
			res := <-got
			require.Equal(t, name, values(res))
			next++
			require.Equal(t, &next, res.NextOffset)
		}
		res, err := c.Consume(ctx, &logv1.ConsumeRequest{Wait: durationpb.New(time.Hour)})
		require.NoError(t, err)
		require.Equal(t, "a", values(res), "what is there is not waited for")
	})
}

// Goal: a wait outlasts the bound of a call, is cut to its own limit, ends at once
// where nothing can come, and with the server's drain.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	batch := &logv1.ConsumeRequest{MaxRecords: 1, Wait: durationpb.New(time.Hour)}
	for _, http2 := range []bool{false, true} {
		s := newServer(t, rpc.Options{Limits: rpc.Limits{Unary: time.Second, Wait: 1500 * time.Millisecond}}, nil)
		c := s.client(t, dialect{http2: http2})
		start := time.Now()
		res, err := c.Consume(ctxWithPatience(t), batch)
		require.NoError(t, err)
		require.Equal(t, ptr(uint64(0)), res.NextOffset)
		require.GreaterOrEqual(t, time.Since(start), 1500*time.Millisecond)
	}

	s := newServer(t, rpc.Options{}, nil)
	_, _, err := s.engine.Put(t.Context(), "", commitlog.Change{Sealed: ptr(true)})
	require.NoError(t, err)
	res, err := s.grpc(t).Consume(ctxWithPatience(t), batch)
	require.NoError(t, err)
	require.Equal(t, ptr(uint64(0)), res.NextOffset)

	waits := make(chan struct{}, 1)
	s = serveFaulty(t, &faulty{wait: func() error {
		waits <- struct{}{}
		return nil
	}}, rpc.Options{})
	s.newLog(t, "gone")
	failed := make(chan error, 1)
	consume := func(req *logv1.ConsumeRequest) {
		_, err := s.grpc(t).Consume(ctxWithPatience(t), req)
		failed <- err
	}
	go consume(&logv1.ConsumeRequest{Log: "gone", Wait: durationpb.New(time.Hour)})
	<-waits
	require.NoError(t, s.engine.Delete(t.Context(), "gone"))
	requireError(t, <-failed, connect.CodeNotFound, logv1.Reason_REASON_LOG_NOT_FOUND)
	go consume(batch)
	<-waits
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, s.Drain(ctx))
	requireError(t, <-failed, connect.CodeUnavailable, logv1.Reason_REASON_DRAINING)
}

package rpc_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

// Goal: a deadline that the caller sends, and the server's own bound, end a call
// with DEADLINE_EXCEEDED and its reason, in every protocol: a read that waits, a
// tail, and a write in flight, of which the outcome is unknown. Method: raw
// requests, since a client would not wait for the answer behind its deadline.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	f := &faulty{append: func(ctx context.Context, _ commitlog.CommitLog, _ []commitlog.Batch) ([]commitlog.Ack, error) {
		<-ctx.Done()
		return nil, commitlog.OutcomeUnknown(ctx.Err())
	}}
	unbounded := serveFaulty(t, f, rpc.Options{})
	bounded := serveFaulty(t, f, rpc.Options{Limits: rpc.Limits{Unary: 50 * time.Millisecond}})
	type call struct {
		name, path string
		stream     bool
		server     *testServer
		timeout    bool
		message    string
	}
	for _, call := range []call{
		{"produce, the caller's", producePath, false, unbounded, true, `{"record":{}}`},
		{"produce, the server's", producePath, false, bounded, false, `{"record":{}}`},
		{"consume, the caller's", consumePath, false, unbounded, true, `{"wait":"60s"}`},
		{"stream of consume, the caller's", consumeStreamPath, true, unbounded, true, `{}`},
		{"stream of produce, the caller's", produceStreamPath, true, unbounded, true, `{"record":{}}`},
	} {
		for _, f := range framings(call.stream) {
			for _, inWords := range []bool{false, true} {
				for _, http2 := range []bool{false, true} {
					if inWords && f.name == "gRPC" || !http2 && (f.name == "gRPC" || call.path == produceStreamPath) {
						continue // nobody speaks it like that
					}
					name := strings.Join([]string{call.name, f.name, map[bool]string{true: "JSON"}[inWords], map[bool]string{true: "h2"}[http2]}, "/")
					t.Run(name, func(t *testing.T) {
						body, f := []byte(call.message), f
						if inWords {
							f.contentType = strings.TrimSuffix(f.contentType, "proto") + "json"
						} else {
							body = inProto(t, call.path, call.message)
						}
						header := http.Header{}
						if call.timeout {
							header["timeout"] = []string{map[bool]string{true: "40", false: "40m"}[f.name == "connect"]}
						}
						require.Equal(t, "REASON_DEADLINE", call.server.post(t, newHTTPClient(t, http2), f, call.path, header, f.message(0, body)))
					})
				}
			}
		}
	}
}

// inProto turns a request in JSON into one as it travels.
func inProto(t *testing.T, path, message string) []byte {
	t.Helper()
	var m proto.Message = new(logv1.ProduceRequest)
	if strings.Contains(path, "Consume") {
		m = new(logv1.ConsumeRequest)
	}
	require.NoError(t, protojson.Unmarshal([]byte(message), m))
	b, err := proto.Marshal(m)
	require.NoError(t, err)
	return b
}

// Goal: what is below the first offset is OUT_OF_RANGE with both bounds, in every
// dialect, for one record, a batch, a wait and a stream; where the log is empty
// behind a trim as well.
func TestTrimmed(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{}, nil)
		s.fill(t, "a", "b", "c")
		log, err := s.engine.Log(t.Context(), "")
		require.NoError(t, err)
		c, ctx := s.client(t, d), ctxWithPatience(t)
		for _, first := range []uint64{2, 3} {
			_, err = log.Trim(ctx, first)
			require.NoError(t, err)
			for _, req := range []*logv1.ConsumeRequest{
				{Offset: first - 1}, {Offset: 0, MaxRecords: 9}, {Offset: first - 1, MaxRecords: 9, UntilOffset: ptr(uint64(9))},
				{Offset: first - 1, LogId: log.ID()},
			} {
				want := numbers{first: ptr(first), next: ptr(uint64(3))}
				_, err := c.Consume(ctx, req)
				requireNumbers(t, want, requireError(t, err, connect.CodeOutOfRange, logv1.Reason_REASON_OFFSET_TRIMMED))
				stream, err := c.ConsumeStream(ctx, req)
				require.NoError(t, err)
				_, err = stream.Receive()
				requireNumbers(t, want, requireError(t, err, connect.CodeOutOfRange, logv1.Reason_REASON_OFFSET_TRIMMED))
			}
		}
	})
}

// Goal: requests beyond the memory for them are OVERLOADED with the promise that
// nothing was appended, in every dialect, and are taken once there is room. Method:
// uploads that stop half way hold most of the memory.
func TestOverloadedInEveryDialect(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		batch := commitlog.DefaultLimits()
		batch.ValueBytes, batch.BatchBytes = 64<<10, 128<<10
		s := newServer(t, rpc.Options{Limits: rpc.Limits{Batch: batch, RequestMemory: 3 << 19}}, nil)
		held, release := context.WithCancel(ctxWithPatience(t))
		defer release()
		holder := newHTTPClient(t, true)
		value := string(make([]byte, 60<<10))
		c := s.client(t, d)
		var ends sync.WaitGroup
		var before uint64
		var err error
		require.Eventually(t, func() bool { // one upload more, which is held or refused itself
			end := s.half(held, t, holder, produceStreamPath, announced(100<<10+1, 100<<10))
			ends.Go(func() { <-end })
			before = s.next(t)
			_, err = c.Produce(ctxWithPatience(t), many(value, value))
			return err != nil
		}, patience, time.Millisecond)
		detail := requireError(t, err, connect.CodeResourceExhausted, logv1.Reason_REASON_OVERLOADED)
		require.True(t, detail.GetNothingAppended())
		require.Equal(t, before, s.next(t))
		release()
		ends.Wait()
		require.Eventually(t, func() bool {
			_, err := c.Produce(ctxWithPatience(t), many(value, value))
			return err == nil
		}, patience, time.Millisecond)
		require.Equal(t, before+2, s.next(t), "the refused one appended nothing")
	})
}

// Goal: a call that comes while the server drains is DRAINING with the promise
// that nothing was appended, in every dialect and every method, or finds its
// connection closed before it was looked at. Method: a call that does not end
// keeps the drain, and a second one the connection, open.
func TestDrainRefusesCalls(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		begun, goOn := make(chan struct{}), make(chan struct{})
		s := serveFaulty(t, &faulty{append: func(ctx context.Context, log commitlog.CommitLog, batches []commitlog.Batch) ([]commitlog.Ack, error) {
			close(begun)
			<-goOn
			return log.Append(ctx, batches...)
		}}, rpc.Options{})
		transport := s.transport(t, d)
		c := logv1connect.NewLogClient(transport)
		produced := make(chan error, 1)
		go func() {
			_, err := c.Produce(ctxWithPatience(t), one("a"))
			produced <- err
		}()
		<-begun
		drained := make(chan error, 1)
		go func() { drained <- s.drainWithPatience(t) }()
		watchNotServing(t, s)
		ctx := ctxWithPatience(t)
		calls := adminCalls(ctx, logv1connect.NewAdminClient(transport), "orders")
		calls["Produce"] = func() error { _, err := c.Produce(ctx, one("late")); return err }
		calls["Consume"] = func() error { _, err := c.Consume(ctx, &logv1.ConsumeRequest{}); return err }
		calls["GetLog"] = func() error { _, err := c.GetLog(ctx, &logv1.GetLogRequest{}); return err }
		for name, call := range calls {
			err := call()
			require.Error(t, err, name)
			if e, ok := errors.AsType[*connect.Error](err); ok && e.IsRemote() {
				detail := requireError(t, err, connect.CodeUnavailable, logv1.Reason_REASON_DRAINING)
				require.Equal(t, name == "Produce", detail.GetNothingAppended(), name)
			}
		}
		close(goOn)
		require.NoError(t, <-produced)
		require.NoError(t, <-drained)
		require.Equal(t, uint64(1), s.next(t))
	})
}

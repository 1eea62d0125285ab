package rpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

const produceStreamPath = "/log.v1.Log/ProduceStream"

// half sends a request that stops in the middle of its body, and returns where
// its outcome will be: a reason, or "cut" when the test ended it.
func (s *testServer) half(ctx context.Context, t *testing.T, client *http.Client, path string, begin []byte) <-chan string {
	t.Helper()
	body, more := io.Pipe()
	context.AfterFunc(ctx, func() { _ = more.CloseWithError(ctx.Err()) }) // the transport waits for its read
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, io.MultiReader(bytes.NewReader(begin), body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/grpc-web+proto")
	ended := make(chan string, 1)
	go func() {
		res, err := client.Do(req)
		if err != nil {
			ended <- "cut"
			return
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil {
			ended <- "cut"
			return
		}
		ended <- outcome(t, res, got)
	}()
	return ended
}

// announced begins a message of n bytes, of which there are as many as sent.
func announced(n, sent int) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(n)), make([]byte, sent)...)
}

// Goal: a stream whose client stops in the middle of a request is ended after
// the stall limit, wherever in the request that is, and one whose client is
// silent between requests is not. Method: when the others have been ended the
// time has passed for the silent one as well.
func TestHalfSentRequest(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{Limits: rpc.Limits{Stall: 100 * time.Millisecond}}, nil)
	ctx := ctxWithPatience(t)
	silent, err := s.grpc(t).ProduceStream(ctx)
	require.NoError(t, err)
	next := uint64(0)
	require.NoError(t, silent.Send(one("a")))
	requireAck(t, silent, &next, 1)
	client := newHTTPClient(t, true)
	for _, begin := range [][]byte{
		{0}, announced(2<<20, 0)[:3], announced(2<<20, 0), announced(2<<20, 1<<10), announced(1<<30, 9),
		append(message(t, &logv1.ProduceRequest{Log: "nowhere"})[:5:5], 'x'),
	} {
		for _, path := range []string{produceStreamPath, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"} {
			require.Equal(t, "REASON_DEADLINE", <-s.half(ctx, t, client, path, begin), "%v of %s", len(begin), path)
		}
	}
	require.NoError(t, silent.Send(one("b")))
	requireAck(t, silent, &next, 1)
}

// Goal: requests that are being received take no more than the memory for them,
// whatever their call; those beyond are told so, and what the others had is there
// again when they have ended.
func TestRequestMemory(t *testing.T) {
	t.Parallel()
	batch := commitlog.DefaultLimits()
	batch.ValueBytes, batch.BatchBytes = 64<<10, 128<<10
	for _, path := range []string{produceStreamPath, producePath, consumeStreamPath} {
		s := newServer(t, rpc.Options{Limits: rpc.Limits{Batch: batch, RequestMemory: 3 << 19}}, nil)
		ctx, cancel := context.WithCancel(ctxWithPatience(t))
		defer cancel()
		const each = 100 << 10 // counts three times: five of them fit
		var ended []<-chan string
		client := newHTTPClient(t, true)
		refused := make(chan string, 10)
		for range 10 {
			end := s.half(ctx, t, client, path, announced(each+1, each))
			ended = append(ended, end)
			go func() { refused <- <-end }()
		}
		for range 5 {
			require.Equal(t, "REASON_OVERLOADED", <-refused, path)
		}
		cancel()
		for range len(ended) - 5 {
			<-refused
		}
		require.Eventually(t, func() bool { return s.Running() == 0 }, patience, time.Millisecond)
		for range 20 { // nothing of it is lost
			_, err := s.grpc(t).Produce(ctxWithPatience(t), many(string(make([]byte, 60<<10)), string(make([]byte, 60<<10))))
			require.NoError(t, err)
		}
	}
}

// Goal: whatever was received in a stream, in however many requests, compressed
// or not, takes nothing any more once it is appended.
func TestRequestMemoryIsGivenBack(t *testing.T) {
	t.Parallel()
	batch := commitlog.DefaultLimits()
	batch.ValueBytes, batch.BatchBytes = 64<<10, 128<<10
	eachDialect(t, true, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{Limits: rpc.Limits{Batch: batch, RequestMemory: 3 << 19}}, nil)
		stream, err := s.client(t, d).ProduceStream(ctxWithPatience(t))
		require.NoError(t, err)
		next := uint64(0)
		for range 100 {
			require.NoError(t, stream.Send(one(string(make([]byte, 60<<10)))))
			requireAck(t, stream, &next, 1)
		}
	})
}

// Goal: a connection beyond the limit is closed, the others go on, and there is
// room again when one of them has ended.
func TestConnections(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{Limits: rpc.Limits{Connections: 2}}, nil)
	ctx := ctxWithPatience(t)
	leave, cancel := context.WithCancel(ctx)
	defer cancel()
	s.fill(t, "a")
	first := newPeer(t, s, 65535)
	require.NoError(t, first.open(1, consumeStreamPath))
	require.NoError(t, first.WriteData(1, true, message(t, &logv1.ConsumeRequest{})))
	_, err := first.until(http2.FrameData)
	require.NoError(t, err)
	tail, err := s.grpc(t).ConsumeStream(leave, &logv1.ConsumeRequest{})
	require.NoError(t, err)
	requireNext(t, tail, 0, "a", true)

	over, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer over.Close()
	require.NoError(t, over.SetReadDeadline(time.Now().Add(patience)))
	_, err = over.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	require.Contains(t, s.logs.String(), "closing new connections")

	s.fill(t, "b")
	requireNext(t, tail, 1, "b", true)
	require.NoError(t, first.conn.Close())
	require.Eventually(t, func() bool {
		_, err := s.grpc(t).Produce(ctx, one("c"))
		return err == nil
	}, patience, 10*time.Millisecond)
}

// Goal: an HTTP/2 client is told how many calls its connection may have.
func TestStreamsPerConnection(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{Limits: rpc.Limits{StreamsPerConnection: 7}}, nil)
	frame, err := newPeer(t, s, 65535).until(http2.FrameSettings)
	require.NoError(t, err)
	n, ok := frame.(*http2.SettingsFrame).Value(http2.SettingMaxConcurrentStreams)
	require.True(t, ok)
	require.Equal(t, uint32(7), n)
}

// Goal: max_records is cut to 10,000 where nothing else is set.
func TestMaxRecordsByDefault(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	s.fill(t, make([]string, 10_001)...)
	res, err := s.grpc(t).Consume(ctxWithPatience(t), &logv1.ConsumeRequest{MaxRecords: 10_001})
	require.NoError(t, err)
	require.Len(t, res.GetRecords(), 10_000)
}

// Goal: what a stream has sent and the server has not begun to look at when the
// drain begins is not appended any more: the drain has an end. Method: the first
// request is held while the log is looked up, with others behind it.
func TestDrainStopsReceiving(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}), make(chan struct{})
	var opened atomic.Bool
	s := serveFaulty(t, &faulty{open: func() {
		if opened.CompareAndSwap(false, true) {
			close(begun)
			<-goOn
		}
	}}, rpc.Options{})
	c, ctx := s.grpc(t), ctxWithPatience(t)
	stream, err := c.ProduceStream(ctx)
	require.NoError(t, err)
	for range 5 {
		require.NoError(t, stream.Send(one("a")))
	}
	<-begun
	_, err = c.GetLog(ctx, &logv1.GetLogRequest{}) // on the same connection: the others have come
	require.NoError(t, err)
	drained := make(chan error, 1)
	go func() { drained <- s.drainWithPatience(t) }()
	watchNotServing(t, s)
	close(goOn)
	next := uint64(0)
	requireAck(t, stream, &next, 1)
	_, err = stream.Receive()
	detail := requireError(t, err, connect.CodeUnavailable, logv1.Reason_REASON_DRAINING)
	require.True(t, detail.GetNothingAppended())
	require.NoError(t, <-drained)
}

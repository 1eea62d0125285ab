package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
	plog "github.com/proglog/proglog/server/log"
)

// A protocol is a way to speak to a server.
type protocol struct {
	name    string
	http2   bool
	options []connecthttp.Option
}

// protocols are all there are, over each version of HTTP that carries them.
func protocols() []protocol {
	json := []connecthttp.Option{connecthttp.WithProtoJSON()}
	grpc := []connecthttp.Option{connecthttp.WithGRPC()}
	web := []connecthttp.Option{connecthttp.WithGRPCWeb()}
	return []protocol{
		{"connect over HTTP/1.1", false, nil},
		{"connect JSON over HTTP/1.1", false, json},
		{"gRPC-Web over HTTP/1.1", false, web},
		{"connect over HTTP/2", true, nil},
		{"connect JSON over HTTP/2", true, json},
		{"gRPC over HTTP/2", true, grpc},
		{"gRPC-Web over HTTP/2", true, web},
	}
}

// client returns a client that speaks the protocol to an address.
func (p protocol) client(t *testing.T, addr string) logv1connect.LogClient {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!p.http2)
	transport.Protocols.SetUnencryptedHTTP2(p.http2)
	t.Cleanup(transport.CloseIdleConnections)
	return logv1connect.NewLogClient(connect.NewClient(
		connecthttp.NewTransport(&http.Client{Transport: transport}, "http://"+addr, p.options...)))
}

// A disk is the file system of a server in this process, and how full it is.
type disk struct {
	*vfstest.Mem
	looks atomic.Int64 // at the free space
}

const diskBytes = 1 << 30

// fill leaves no byte free; clear undoes it.
func (d *disk) fill(t *testing.T) {
	t.Helper()
	free, err := d.Free()
	require.NoError(t, err)
	d.SetCapacity(diskBytes - int64(free))
}

func (d *disk) clear() { d.SetCapacity(diskBytes) }

// serveOnDisk serves the real engine on a disk in memory. It remembers four acks
// of a producer, and looks at the free space with each append: its clock jumps.
func serveOnDisk(t *testing.T) (addr string, engine *plog.Engine, d *disk) {
	t.Helper()
	d = &disk{Mem: vfstest.NewMem()}
	d.clear()
	d.SetHook(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpFree {
			d.looks.Add(1)
		}
		return nil
	})
	start := time.Now()
	var ticks atomic.Int64
	engine, err := plog.Open("data", plog.Options{
		FS: d.Mem, RetentionEvery: -1,
		Dedup: commitlog.DedupWindow{Acks: 4, MaxAge: 24 * time.Hour, Producers: 100},
		Now:   func() time.Time { return start.Add(time.Duration(ticks.Add(1)) * time.Second) },
	})
	require.NoError(t, err)
	server, err := rpc.New(engine, rpc.Options{CreateOnProduce: "*"})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		assert.NoError(t, <-served)
		assert.NoError(t, engine.Close())
	})
	return listener.Addr().String(), engine, d
}

// A retrier is one log's producer "p" in epoch 3, whose requests go through a
// protocol, by Produce or by a ProduceStream of their own.
type retrier struct {
	client logv1connect.LogClient
	log    string
	stream bool
}

func (r *retrier) send(t *testing.T, req *logv1.ProduceRequest) (*logv1.ProduceResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req.Log = r.log
	if !r.stream {
		return r.client.Produce(ctx, req)
	}
	stream, err := r.client.ProduceStream(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(req))
	require.NoError(t, stream.CloseSend())
	ack, err := stream.Receive()
	return ack, err
}

// request is one of producer "p": a batch of two that tells its number.
func (r *retrier) request(epoch, sequence uint64) *logv1.ProduceRequest {
	value := fmt.Append(nil, epoch, " ", sequence)
	return &logv1.ProduceRequest{
		Records:  []*logv1.Record{{Value: value}, {Value: value, Headers: []*logv1.Header{{Name: "h"}}}},
		Producer: &logv1.Producer{Id: "p", Epoch: epoch, Sequence: sequence},
	}
}

func (r *retrier) accept(t *testing.T, req *logv1.ProduceRequest, offset uint64) *logv1.ProduceResponse {
	t.Helper()
	ack, err := r.send(t, req)
	require.NoError(t, err)
	require.False(t, ack.GetDuplicate())
	require.Equal(t, offset, ack.GetOffset())
	return ack
}

func (r *retrier) replay(t *testing.T, req *logv1.ProduceRequest, original *logv1.ProduceResponse) {
	t.Helper()
	ack, err := r.send(t, req)
	require.NoError(t, err)
	require.True(t, ack.GetDuplicate())
	ack.Duplicate = false
	require.True(t, proto.Equal(original, ack), "%v is not %v", ack, original)
}

func (r *retrier) refuse(t *testing.T, req *logv1.ProduceRequest, code connect.Code, reason logv1.Reason) {
	t.Helper()
	_, err := r.send(t, req)
	detail := requireReason(t, err, reason)
	require.Equal(t, code.String(), connect.CodeOf(err).String())
	require.Equal(t, reason != logv1.Reason_REASON_SEQUENCE_FORGOTTEN, detail.GetNothingAppended(), "%v", err)
}

// state is that of a log and of its disk.
type state struct {
	sealed, full bool
	forgotten    uint64 // so many of the first acks are
}

// outcomes sends every kind of retry to a log whose producer has had requests 0
// to 5 acknowledged with acks. Nothing of it is appended.
func (r *retrier) outcomes(t *testing.T, s state, acks []*logv1.ProduceResponse) {
	t.Helper()
	refused, aborted := connect.CodeFailedPrecondition, connect.CodeAborted
	for sequence := s.forgotten; sequence < 6; sequence++ {
		r.replay(t, r.request(3, sequence), acks[sequence])
		expecting := r.request(3, sequence)
		expecting.ExpectedOffset = new(uint64(math.MaxUint64))
		r.replay(t, expecting, acks[sequence])
	}
	other := r.request(3, 5)
	other.Records[1].Headers[0].Name = "other"
	r.refuse(t, other, connect.CodeInvalidArgument, logv1.Reason_REASON_SEQUENCE_REUSED)
	r.refuse(t, r.request(2, 0), refused, logv1.Reason_REASON_PRODUCER_FENCED)
	r.refuse(t, r.request(2, 6), refused, logv1.Reason_REASON_PRODUCER_FENCED)
	mismatch := r.request(3, 6)
	mismatch.ExpectedOffset = new(uint64(1))
	stranger := r.request(0, 9)
	stranger.Producer.Id = "never seen"
	if s.sealed {
		for _, req := range []*logv1.ProduceRequest{r.request(3, 9), r.request(3, 6), r.request(4, 0), mismatch, {Record: &logv1.Record{}}} {
			r.refuse(t, req, refused, logv1.Reason_REASON_LOG_SEALED)
		}
		return
	}
	r.refuse(t, r.request(3, 9), aborted, logv1.Reason_REASON_SEQUENCE_GAP)
	for sequence := range s.forgotten {
		r.refuse(t, r.request(3, sequence), refused, logv1.Reason_REASON_SEQUENCE_FORGOTTEN)
	}
	r.refuse(t, stranger, refused, logv1.Reason_REASON_SEQUENCE_FORGOTTEN)
	r.refuse(t, mismatch, aborted, logv1.Reason_REASON_OFFSET_MISMATCH)
	if s.full {
		stranger.Producer.Sequence = 0
		for _, req := range []*logv1.ProduceRequest{r.request(3, 6), r.request(4, 0), stranger, {Record: &logv1.Record{}}} {
			r.refuse(t, req, connect.CodeResourceExhausted, logv1.Reason_REASON_STORAGE_FULL)
		}
	}
}

// Goal: each outcome of a retry, by each protocol, by Produce and by
// ProduceStream, on an open log, a sealed one, a full disk, and both: what is
// known is answered with its first acknowledgement, what is new is refused
// without using up its number or bringing its epoch into force, and appends go on
// by themselves when there is room. Reads go on all the while. Method: the real
// engine on a disk in memory.
func TestEveryOutcomeOfARetry(t *testing.T) {
	for _, p := range protocols() {
		for _, stream := range []bool{false, true} {
			if stream && !p.http2 {
				continue // it needs both directions at once
			}
			t.Run(fmt.Sprintf("%s, stream=%v", p.name, stream), func(t *testing.T) {
				addr, engine, d := serveOnDisk(t)
				c := p.client(t, addr)
				acks := map[string][]*logv1.ProduceResponse{}
				logs := map[string]*retrier{}
				for _, name := range []string{"open", "sealed"} {
					r := &retrier{client: c, log: name, stream: stream}
					for i := range uint64(6) {
						acks[name] = append(acks[name], r.accept(t, r.request(3, i), 2*i))
					}
					logs[name] = r
				}
				_, _, err := engine.Put(t.Context(), "sealed", commitlog.Change{Sealed: new(true)})
				require.NoError(t, err)
				for _, full := range []bool{false, true} {
					if full {
						d.fill(t)
					}
					logs["open"].outcomes(t, state{full: full, forgotten: 2}, acks["open"])
					logs["sealed"].outcomes(t, state{sealed: true, full: full, forgotten: 2}, acks["sealed"])
					for name := range logs {
						res, err := c.Consume(t.Context(), &logv1.ConsumeRequest{Log: name, MaxRecords: 99})
						require.NoError(t, err)
						require.Len(t, res.GetRecords(), 12)
						require.Equal(t, uint64(12), res.GetNextOffset(), "nothing of it was appended")
					}
				}
				d.clear()
				r := logs["open"]
				ack := r.accept(t, r.request(3, 6), 12)
				r.replay(t, r.request(3, 6), ack)
				r.accept(t, r.request(4, 0), 14)
				r.refuse(t, r.request(3, 7), connect.CodeFailedPrecondition, logv1.Reason_REASON_PRODUCER_FENCED)
			})
		}
	}
}

// Goal: produce waits while the disk of the server is full, goes on by itself when
// there is room, and each line is in the log once. Method: room is made when the
// server has looked for it in vain.
func TestProduceOutlastsAFullDisk(t *testing.T) {
	addr, _, d := serveOnDisk(t)
	requireOK(t, "produce", "before\n", "--addr", "http://"+addr)
	d.fill(t)
	lines := strings.Repeat("a line\n", 3000)
	looks := d.looks.Load()
	done := make(chan result, 1)
	go func() { done <- runCommand(t, "produce", lines, "--addr", "http://"+addr) }()
	require.Eventually(t, func() bool { return d.looks.Load() >= looks+3 }, patience, time.Millisecond)
	assert.Equal(t, "before\n", requireOK(t, "consume", "", "--addr", "http://"+addr), "reads go on")
	d.clear()
	r := <-done
	require.Equal(t, exitOK, r.code, r.stderr)
	assert.Equal(t, "before\n"+lines, requireOK(t, "consume", "", "--addr", "http://"+addr))
}

package rpc_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

// A peer speaks HTTP/2 frame by frame, to do what no client library would.
type peer struct {
	*http2.Framer
	conn net.Conn
	addr string
	buf  bytes.Buffer
	enc  *hpack.Encoder
}

// newPeer connects and announces a window for each stream's response.
func newPeer(t *testing.T, s *testServer, window uint32) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, http2.ClientPreface)
	require.NoError(t, err)
	p := &peer{Framer: http2.NewFramer(conn, conn), conn: conn, addr: s.addr}
	p.enc = hpack.NewEncoder(&p.buf)
	require.NoError(t, p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}))
	require.NoError(t, p.WriteSettingsAck())
	return p
}

// open begins a gRPC call.
func (p *peer) open(stream uint32, path string) error {
	p.buf.Reset()
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", p.addr},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		if err := p.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	return p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.buf.Bytes(), EndHeaders: true})
}

// message frames a request for gRPC.
func message(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	require.NoError(t, err)
	return framing{envelopes: true}.message(0, b)
}

// until reads frames until one is of the type, or the connection ends.
func (p *peer) until(want http2.FrameType) (http2.Frame, error) {
	for {
		f, err := p.ReadFrame()
		if err != nil || f.Header().Type == want {
			return f, err
		}
	}
}

// Goal: a peer that opens calls and resets them at once, tens of thousands of
// them, leaves no call behind, whether it is sent away or not; others are served
// meanwhile.
func TestRapidReset(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	p := newPeer(t, s, 65535)
	read := make(chan error, 1)
	go func() {
		_, err := p.until(http2.FrameGoAway)
		read <- err
	}()
	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		for stream := uint32(1); stream < 60_000; stream += 2 {
			if p.open(stream, consumeStreamPath) != nil || p.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
				return // the server has closed the connection
			}
		}
	}()
	c := s.grpc(t)
	for {
		_, err := c.Produce(ctxWithPatience(t), one("a"))
		require.NoError(t, err)
		select {
		case <-flooded:
		default:
			continue
		}
		break
	}
	_ = p.conn.Close()
	<-read
	require.Eventually(t, func() bool { return s.Running() == 0 }, patience, time.Millisecond)
}

// Goal: a peer that answers every frame but never opens its window for a tail is
// cut after the stall limit, with a reset of that stream alone.
func TestWindowThatNeverOpens(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{Limits: rpc.Limits{Stall: 50 * time.Millisecond}}, nil)
	s.fill(t, "a")
	p := newPeer(t, s, 0)
	require.NoError(t, p.open(1, consumeStreamPath))
	require.NoError(t, p.WriteData(1, true, message(t, &logv1.ConsumeRequest{})))
	frame, err := p.until(http2.FrameRSTStream)
	require.NoError(t, err)
	require.Equal(t, uint32(1), frame.Header().StreamID)
	require.Eventually(t, func() bool { return s.Running() == 0 }, patience, time.Millisecond)
}

// Goal: an upload that ends with a reset in the middle of a message appends
// nothing of it, and all that came before.
func TestHalfWrittenStream(t *testing.T) {
	t.Parallel()
	s := newServer(t, rpc.Options{}, nil)
	p := newPeer(t, s, 65535)
	require.NoError(t, p.open(1, "/log.v1.Log/ProduceStream"))
	require.NoError(t, p.WriteData(1, false, message(t, one("whole"))))
	_, err := p.until(http2.FrameData) // its ack
	require.NoError(t, err)
	half := message(t, one("half"))
	require.NoError(t, p.WriteData(1, false, half[:len(half)-1]))
	require.NoError(t, p.WriteRSTStream(1, http2.ErrCodeCancel))
	require.Eventually(t, func() bool { return s.Running() == 0 }, patience, time.Millisecond)
	log, err := s.engine.Log(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, uint64(1), log.Bounds().Next)
}

// Goal: a request that is refused before all of it has come is taken to its end,
// so that a client which is still sending gets the answer. Method: the limit is
// passed in the first part; a stream reset by the server would come before the
// answer to the ping behind the second part.
func TestRefusedRequestIsNotReset(t *testing.T) {
	batch := commitlog.DefaultLimits()
	batch.ValueBytes, batch.BatchBytes = 512, 1024
	s := newServer(t, rpc.Options{Limits: rpc.Limits{Batch: batch}}, nil)
	p := newPeer(t, s, 1<<20)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/log.v1.Log/Produce"}, {":authority", p.addr},
		{"content-type", "application/json"},
	} {
		require.NoError(t, p.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
	}
	require.NoError(t, p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.buf.Bytes(), EndHeaders: true}))
	part := bytes.Repeat([]byte(" "), 10<<10)
	for range 10 {
		require.NoError(t, p.WriteData(1, false, part))
	}
	require.NoError(t, p.WriteData(1, true, part))
	answered := false
	for !answered {
		f, err := p.ReadFrame()
		require.NoError(t, err)
		require.NotEqual(t, http2.FrameRSTStream, f.Header().Type)
		answered = f.Header().StreamID == 1 && f.Header().Flags.Has(http2.FlagDataEndStream)
	}
	require.NoError(t, p.WritePing(false, [8]byte{1}))
	for {
		f, err := p.ReadFrame()
		require.NoError(t, err)
		require.NotEqual(t, http2.FrameRSTStream, f.Header().Type)
		if ping, ok := f.(*http2.PingFrame); ok && ping.IsAck() {
			return
		}
	}
}

package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync/atomic"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/peer"
)

// Connect is log.v1 on connect's own handlers and behind connect's own client, with
// compression off at both ends: with it, small records cost it a multiple.
type Connect struct {
	Store string // of package child
}

// Name implements [peer.Peer].
func (p Connect) Name() string {
	if p.Store == child.Memory {
		return NameConnectMemory
	}
	return NameConnect
}

// About implements [peer.Peer].
func (p Connect) About() string {
	what := "stock connect " + child.Version("connectrpc.com/connect/v2") + " at both ends over HTTP/2, Connect protocol, compression off"
	if p.Store == child.Memory {
		return what + "; messages ready in memory, an ack means nothing"
	}
	return what + "; on the same engine as proglog; an ack stands on a sync"
}

// Open implements [peer.Peer].
func (p Connect) Open(dir string, load peer.Load) (peer.Subject, error) {
	if err := checkLoad(load); err != nil {
		return nil, err
	}
	s, err := startChild(child.Config{Kind: child.Connect, Dir: filepath.Join(dir, "data"), Store: p.Store}, load)
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	c := &connectSubject{served: s, http: &http.Client{Transport: &http.Transport{Protocols: protocols}}}
	c.log = logv1connect.NewLogClient(connect.NewClient(connecthttp.NewTransport(c.http, "http://"+s.process.Ready, connecthttp.WithCompressors())))
	return c, nil
}

type connectSubject struct {
	*served
	http *http.Client
	log  logv1connect.LogClient
}

// Close implements [peer.Subject].
func (s *connectSubject) Close() error {
	s.http.CloseIdleConnections()
	return s.stop()
}

// Writer implements [peer.Subject].
func (s *connectSubject) Writer(_ int, batch *peer.Batch) peer.Writer {
	return connectWriter{subject: s, request: newRequest(batch.Values, len(batch.Values))}
}

type connectWriter struct {
	subject *connectSubject
	request *logv1.ProduceRequest
}

// Append implements [peer.Writer]: one unary call.
func (w connectWriter) Append(int) (uint64, error) {
	ctx, cancel := context.WithTimeout(w.subject.ctx, callLimit)
	defer cancel()
	answer, err := w.subject.log.Produce(ctx, w.request)
	return answer.GetOffset(), err
}

// Count implements [peer.Subject].
func (s *connectSubject) Count() (uint64, error) {
	answer, err := s.log.GetLog(s.ctx, &logv1.GetLogRequest{})
	return answer.GetInfo().GetNextOffset(), err
}

// Value implements [peer.Subject].
func (s *connectSubject) Value(at peer.Place, _ []byte) ([]byte, error) {
	answer, err := s.log.Consume(s.ctx, &logv1.ConsumeRequest{Offset: at.Offset})
	return answer.GetRecord().GetValue(), err
}

// Pump implements [peer.Pipelined]: one ProduceStream.
func (s *connectSubject) Pump(ctx context.Context, flow *peer.Flow) error {
	stream, err := s.log.ProduceStream(ctx)
	if err != nil {
		return err
	}
	var first atomic.Uint64
	begun := make(chan struct{})
	send := func(context.Context) error {
		for sent := false; ; sent = true {
			at, values := flow.Take(1)
			if !sent {
				first.Store(at)
				close(begun)
			}
			if values == nil {
				return stream.CloseSend()
			}
			if err := stream.Send(newRequest(values, 0)); err != nil {
				return err
			}
		}
	}
	receive := func(context.Context) error {
		<-begun
		for at := first.Load(); ; at++ {
			_, err := stream.Receive()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			flow.Ack(at, 1)
		}
	}
	return errors.Join(pipeline(ctx, send, receive), stream.Close())
}

// Stream implements [peer.Streaming]: one ConsumeStream from offset 0 on.
func (s *connectSubject) Stream(ctx context.Context, n uint64, each func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.log.ConsumeStream(ctx, &logv1.ConsumeRequest{})
	if err != nil {
		return err
	}
	for at := uint64(0); at < n; {
		answer, err := stream.Receive()
		if err != nil {
			return err
		}
		if answer.GetRecord() == nil {
			return fmt.Errorf("a message without a record came at offset %d", at)
		}
		if err := oneOf(answer.GetRecord(), &at, each); err != nil {
			return err
		}
	}
	cancel()
	_ = stream.Close() // it says that the stream was cut short
	return nil
}

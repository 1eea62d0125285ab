package trial

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	"github.com/proglog/proglog/server/torture/internal/wire"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

const (
	// pressers is how many callers press, each with a value of pressValue: more than
	// requests may take, all together.
	pressers   = 96
	pressValue = 1 << 20
	// pressFor is how long they do, in each cycle, and longer if none was refused.
	pressFor = 1500 * time.Millisecond
	// pressMost is the longest; a server that has refused nothing then never will.
	pressMost = 60 * time.Second
	// holders is how many requests stop before their last byte until a request was
	// refused. A byte of a message counts three times, so these are all that requests
	// may take: what comes beside them must be refused, however slow the machine is
	// and however few callers run at once.
	holders = memoryRequests / (3 * pressValue)
	// pressLog takes what they append; it is not audited.
	pressLog = "torture/press"
)

// A pressure is the callers of one cycle and what they were answered.
type pressure struct {
	client         *wire.Client
	request        *logv1.ProduceRequest
	end            time.Time
	taken, refused atomic.Uint64
	once           sync.Once
	first          chan struct{} // closed when a request was refused, or none will be
	failed         sync.Once
	err            error
}

// pressHard sends large values from many callers at once. Only RESOURCE_EXHAUSTED, with
// nothing appended, may be the answer to what is not taken, and some must get it.
func pressHard(ctx context.Context, url string) (taken, refused uint64, err error) {
	p := &pressure{
		client: wire.New(url, wire.GRPC),
		request: &logv1.ProduceRequest{
			Log:    pressLog,
			Record: &logv1.Record{Value: bytes.Repeat([]byte("pressure"), pressValue/8)},
		},
		end:   time.Now().Add(pressFor),
		first: make(chan struct{}),
	}
	defer p.client.Close()
	ctx, cancel := context.WithTimeout(ctx, pressMost)
	defer cancel()
	var pressing, holding sync.WaitGroup
	for range holders {
		holding.Go(func() { p.fail(p.hold(ctx, url)) })
	}
	for range pressers {
		pressing.Go(func() { p.fail(p.press(ctx)) })
	}
	pressing.Wait()
	p.open()
	holding.Wait()
	if p.err == nil && p.refused.Load() == 0 {
		p.err = fmt.Errorf("none of %d requests was refused: this was no pressure", p.taken.Load())
	}
	return p.taken.Load(), p.refused.Load(), p.err
}

func (p *pressure) open() { p.once.Do(func() { close(p.first) }) }

func (p *pressure) fail(err error) {
	if err != nil {
		p.failed.Do(func() { p.err = err })
	}
}

// press sends one request after the other until the time is up and one was refused.
func (p *pressure) press(ctx context.Context) error {
	for time.Now().Before(p.end) || p.refused.Load() == 0 {
		_, err := p.client.Produce(ctx, p.request)
		switch f := wire.Judge(err); {
		case ctx.Err() != nil:
			return nil // pressMost is over, or the battery
		case err == nil:
			p.taken.Add(1)
		case f.Code == connect.CodeResourceExhausted && f.NothingAppended && f.Reason == logv1.Reason_REASON_OVERLOADED:
			p.refused.Add(1)
			p.open()
		default:
			return err
		}
	}
	return nil
}

// hold sends one request in gRPC but for its last byte, and that when another was
// refused. It may be refused too, and is taken otherwise.
func (p *pressure) hold(ctx context.Context, url string) error {
	message, err := proto.Marshal(p.request)
	if err != nil {
		return err
	}
	body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	last := len(body) - 1
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+logv1connect.LogProduceProcedure,
		io.MultiReader(bytes.NewReader(body[:last]), &gate{ctx, p.first}, bytes.NewReader(body[last:])))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/grpc+proto")
	req.Header.Set("TE", "trailers")
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("a request that was held: %w", err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("a request that was held: %w", err)
	}
	status := resp.Trailer.Get("Grpc-Status")
	if status == "" {
		status = resp.Header.Get("Grpc-Status")
	}
	switch status {
	case "0":
		p.taken.Add(1)
	case "8": // RESOURCE_EXHAUSTED
		p.refused.Add(1)
		p.open()
	default:
		return fmt.Errorf("a request that was held was answered with gRPC status %q", status)
	}
	return nil
}

// A gate holds a reader up until it opens.
type gate struct {
	ctx  context.Context
	open <-chan struct{}
}

func (g *gate) Read([]byte) (int, error) {
	select {
	case <-g.open:
		return 0, io.EOF
	case <-g.ctx.Done():
		return 0, g.ctx.Err()
	}
}

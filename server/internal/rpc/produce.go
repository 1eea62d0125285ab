package rpc

import (
	"context"
	"errors"
	"io"
	"sync"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
)

// ProduceStream implements log.v1.Log.
func (s *logService) ProduceStream(ctx context.Context, stream logv1connect.LogProduceStreamServerStream) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &producing{
		service: s,
		stream:  stream,
		conn:    connOf(ctx),
		queue:   newBatchQueue(s.limits.QueueBytes),
		acks:    make(chan []commitlog.Ack, 1),
	}
	if err := stream.SendHeaders(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { p.queue.close(p.receive(ctx)) })
	wg.Go(func() { defer close(p.acks); p.outcome = p.append(ctx) })
	err := p.send(cancel)
	cancel()
	if p.conn != nil {
		p.conn.stopReading()
	}
	wg.Wait()
	return err
}

// producing is one ProduceStream. Three goroutines pass its requests on: one
// receives and judges their form, one appends all that wait, one answers. So
// requests keep arriving while others become durable, and what is in memory is
// bounded: a full queue stops the receiver, and a client that does not read its
// answers stops the appender.
type producing struct {
	service *logService
	stream  logv1connect.LogProduceStreamServerStream
	conn    *conn
	queue   *batchQueue
	acks    chan []commitlog.Ack

	name string              // the log's, from the first request
	log  commitlog.CommitLog // set before the first batch is in the queue

	outcome error // what the stream ends with; set before acks is closed
}

// receive puts requests into the queue until the client has ended (nil), a
// request is refused, or the server drains. What it returns is answered after
// the requests before it.
func (p *producing) receive(ctx context.Context) (err error) {
	defer recovered(&err)
	for {
		req, err := p.stream.Receive()
		select {
		case <-p.service.draining.Done():
			return draining()
		default:
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		batch, err := newBatch(req, p.service.limits.Batch)
		if err != nil {
			return err
		}
		if err := p.bind(ctx, req); err != nil {
			return err
		}
		if p.conn != nil {
			p.conn.intake.received(int64(batchBytes(batch)))
		}
		if err := p.queue.put(ctx, batch); err != nil {
			return err
		}
	}
}

// bind opens the log that the first request names and holds the later ones to
// it.
func (p *producing) bind(ctx context.Context, req *logv1.ProduceRequest) (err error) {
	if p.log == nil {
		p.name = req.GetLog()
		p.log, err = p.service.logToAppend(ctx, p.name)
		return err
	}
	if name := req.GetLog(); name != "" && name != p.name {
		return invalid(logv1.Reason_REASON_INVALID_REQUEST, "a ProduceStream has one log: that of its first request")
	}
	return nil
}

// append makes what waits durable, all of it at a time, until a batch fails or
// there will be no more. It returns what the stream ends with.
func (p *producing) append(ctx context.Context) (err error) {
	defer recovered(&err)
	for {
		batches, over, err := p.queue.take(ctx, p.service.limits.GroupBytes)
		if over {
			return err
		}
		acks, err := p.log.Append(ctx, batches...)
		if p.conn != nil {
			for _, b := range batches {
				p.conn.intake.give(int64(batchBytes(b)))
			}
		}
		select {
		case p.acks <- acks:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// send answers in order and returns what the stream ends with. When the client
// cannot be answered it stops the other two.
func (p *producing) send(stop func()) error {
	var failed error
	for acks := range p.acks {
		for i, ack := range acks {
			if failed != nil {
				break
			}
			if p.conn != nil {
				p.conn.hold(i+1 < len(acks))
				p.conn.writeWithin(p.service.limits.Stall)
			}
			failed = p.stream.Send(ackResponse(ack))
		}
		if failed != nil {
			stop()
		} else if p.conn != nil {
			p.conn.writeWithin(0)
		}
	}
	if failed != nil {
		return failed
	}
	return p.outcome
}

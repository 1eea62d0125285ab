package proglog

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect/v2"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// recordOverhead is what a record weighs in flight beyond its own bytes, so that
// a flood of empty records has an end too.
const recordOverhead = 32

// producerStream is one stream of a producer, which may need several.
type producerStream struct {
	connect.ClientStream
	ctx    context.Context
	cancel context.CancelFunc
}

// run is the life of a producer: streams, one after the other. The first may be
// open already.
func (p *Producer) run(first *producerStream) {
	defer close(p.done)
	stop := context.AfterFunc(p.ctx, p.stir)
	defer stop()
	defer p.cancel()
	for stream := first; ; stream = nil {
		s, err := p.prepare(stream)
		if err == nil {
			err = p.goOn(p.replaced(p.use(s)))
		}
		if err != nil || p.finished() {
			p.end(p.verdict(err))
			return
		}
	}
}

// prepare opens a stream, unless there is one, asks the server for its bounds, and
// lets records in.
func (p *Producer) prepare(s *producerStream) (_ *producerStream, err *Error) {
	p.mu.Lock()
	p.opening = true
	if p.waits() {
		p.watch()
	}
	p.mu.Unlock()
	if s == nil {
		s, err = p.openStream()
	}
	if err == nil {
		if err = p.learn(); err != nil {
			s.cancel() // it is without a request so far
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opening = false
	if err == nil {
		p.learned = true
		if p.backoff.failed == 0 && p.idle() && p.queued == 0 {
			p.bound.succeeded(0) // who waited has left
		}
		p.makeRoom()
	}
	return s, err
}

// isOpening says whether it still waits for what comes before a stream.
func (p *Producer) isOpening() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opening
}

// stir wakes whoever waits for something to do.
func (p *Producer) stir() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake.Broadcast()
}

// learn asks the server for its bounds, unless it has told them. One that does not
// tell is taken to have the usual ones; one that knows no identities must not get
// a record twice. An answer for good of something that is not the server comes back
// as an error: nothing has to be sent to learn it, and what was not sent is known to
// be in no log.
func (p *Producer) learn() *Error {
	if p.known { // only this goroutine sets it
		return nil
	}
	res, e := p.ask(p.config.log)
	logID := res.GetInfo().GetLogId()
	if e != nil && e.Reason == ReasonLogNotFound {
		// The first record may make the log, under the limits that hold for all.
		res, e = p.ask("")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if e != nil && e.permanent && (e.status != 0 || e.NothingAppended && !e.FromServer) && p.ctx.Err() == nil {
		return e
	}
	if e != nil {
		p.known = e.FromServer && e.fate() == final
		if e.FromServer && e.Code == CodeUnimplemented && !p.identity.chosen && len(p.flight) == 0 {
			p.identity = identity{none: true}
		}
		return nil
	}
	p.known = true
	p.logID = logID
	if caps := res.GetCapabilities(); caps != nil && !caps.GetProducers() && !p.identity.chosen && len(p.flight) == 0 {
		p.identity = identity{none: true}
	}
	if n := int(res.GetInfo().GetDedupWindow().GetAcks()); n > 0 && !p.identity.none {
		p.window = min(p.window, n)
	}
	limits := res.GetLimits()
	lower(&p.config.batchRecords, uint64(limits.GetBatchRecords()))
	lower(&p.config.batchBytes, uint64(limits.GetBatchBytes()))
	lower(&p.limits.ValueBytes, uint64(limits.GetValueBytes()))
	lower(&p.limits.Headers, uint64(limits.GetHeaders()))
	lower(&p.limits.HeaderBytes, uint64(limits.GetHeaderBytes()))
	return nil
}

// ask asks for the bounds of a log, once.
func (p *Producer) ask(log string) (*logv1.GetLogResponse, *Error) {
	ctx := newAttempt(p.ctx)
	res, err := p.c.log.GetLog(ctx, &logv1.GetLogRequest{Log: log})
	if err != nil {
		return nil, translate(ctx, err)
	}
	return res, nil
}

// lower brings a bound down to the server's; 0: it does not tell.
func lower(bound *int, servers uint64) {
	if servers > 0 && servers < uint64(*bound) {
		*bound = int(servers)
	}
}

// A stream has two goroutines: one sends, one receives and decides the end.
// Whatever breaks, the receiver learns it, since the stream ends for both.

// use sends and receives over a stream until it ends, and returns why; nil if
// everything is done.
func (p *Producer) use(s *producerStream) *Error {
	p.mu.Lock()
	p.sent = 0
	p.bound.begin()
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.bound.using = time.Time{}
		p.mu.Unlock()
	}()
	sent, closed := make(chan struct{}), make(chan struct{})
	// The library is not safe against a Close that meets the first Send. What
	// this fails with, the receiver gets too.
	_ = s.SendHeaders()
	// Once the response has begun, net/http notices the end of the context only
	// when it has more of the request to write. Close makes it notice.
	context.AfterFunc(s.ctx, func() {
		defer close(closed)
		_ = s.Close()
	})
	go func() {
		defer close(sent)
		p.write(s)
	}()
	err := p.readAcks(s)
	s.cancel()
	p.stir()
	<-sent
	<-closed
	return err
}

// write sends batches to a stream until it or the producer ends.
func (p *Producer) write(s *producerStream) {
	for first := true; ; first = false {
		b := p.take(s.ctx, first)
		if b == nil {
			// Either all is sent, or the stream has ended already.
			_ = s.CloseSend()
			return
		}
		err := s.Send(b.request)
		p.written()
		if err != nil {
			return // the receiver gets the reason
		}
	}
}

// take waits for the next batch to send over a stream, whose first request names
// the log. It returns nil when there will be none.
func (p *Producer) take(stream context.Context, first bool) *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; stream.Err() == nil; p.wake.Wait() {
		if p.sent == len(p.flight) && len(p.flight) < p.window {
			if b := p.due(); b != nil {
				b.number(&p.identity)
				if len(p.flight) == 0 {
					p.bound.sends()
				}
				p.flight = append(p.flight, b)
				p.watch()
			}
		}
		if p.sent < len(p.flight) {
			b := p.flight[p.sent]
			if first && !b.named {
				b.request, b.named = appendLog(b.request, p.config.log), true
			}
			p.sent++
			p.writing = b
			return b
		}
		if p.closing && len(p.full) == 0 && p.open == nil && len(p.senders) == 0 {
			return nil
		}
	}
	return nil
}

// written ends the use of the buffer that was being sent.
func (p *Producer) written() {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.writing
	p.writing = nil
	if b.settled {
		p.recycle(b)
	}
}

// recycle keeps the buffer of a batch for a later one.
func (p *Producer) recycle(b *batch) {
	if len(p.spare) < p.window && cap(b.request) <= 2*p.config.batchBytes {
		p.spare = append(p.spare, b.request[:0])
	}
	b.request = nil
}

// due removes the batch that is to be sent now from those that wait.
func (p *Producer) due() *batch {
	if len(p.full) > 0 {
		b := p.full[0]
		p.full[0] = nil
		p.full = p.full[1:]
		return b
	}
	b := p.open
	if b == nil || !(b.timer == nil || b.ripe || p.flush || p.closing || p.queued > 0 || b.records >= p.config.batchRecords) {
		return nil
	}
	p.open, p.flush = nil, false
	return b
}

// readAcks receives the answers until the stream ends, and returns the error
// that it ended with; nil if that was clean.
func (p *Producer) readAcks(s *producerStream) *Error {
	for {
		var res logv1.ProduceResponse
		if err := s.Receive(&res); isEOF(err) {
			return p.cleanEnd()
		} else if err != nil {
			return p.judgeStatus(translate(s.ctx, err))
		}
		if err := p.acknowledge(&res); err != nil {
			return err
		}
	}
}

// judgeStatus takes back what a status of HTTP proves of a unary call: of a stream,
// whoever answered may have passed on what was sent until then.
func (p *Producer) judgeStatus(err *Error) *Error {
	if err.status == 0 || err.status == http.StatusHTTPVersionNotSupported {
		return err
	}
	e := *err
	e.NothingAppended = false
	return &e
}

// acknowledge takes the answer to the oldest batch in flight.
func (p *Producer) acknowledge(res *logv1.ProduceResponse) *Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sent == 0 {
		return brokenPromise("an acknowledgement came of nothing that was sent")
	}
	b := p.flight[0]
	ack, err := readAck(res, b.records)
	if err != nil {
		return err
	}
	p.flight[0] = nil
	p.flight = p.flight[1:]
	p.sent--
	b.ack = ack
	p.reached = true
	p.backoff.reset()
	p.bound.succeeded(len(p.flight))
	p.counts.Acked += uint64(b.records)
	p.counts.LastOffset = ack.NextOffset - 1
	p.settle(b)
	p.wake.Signal()
	p.makeRoom()
	return nil
}

// settle makes the fate of a batch known.
func (p *Producer) settle(b *batch) {
	if b.timer != nil {
		b.timer.Stop()
	}
	p.bytes -= b.size + b.records*recordOverhead
	p.counts.Pending -= uint64(b.records)
	b.settled = true
	if b != p.writing {
		p.recycle(b)
	}
	close(b.done)
}

// cleanEnd judges an end of the stream without an error, which is right only
// when everything was sent and acknowledged.
func (p *Producer) cleanEnd() *Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.complete() {
		return nil
	}
	return brokenPromise("the stream ended without an error and without %d acknowledgements", len(p.flight))
}

// idle says that nothing waits and nothing is in flight.
func (p *Producer) idle() bool {
	return len(p.flight) == 0 && len(p.full) == 0 && p.open == nil
}

// complete says that no more records will come and none is undecided.
func (p *Producer) complete() bool { return p.closing && p.idle() && len(p.senders) == 0 }

package proglog

import (
	"context"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// recordOverhead is what a record weighs in flight beyond its own bytes, so that
// a flood of empty records has an end too.
const recordOverhead = 32

// A producer has two goroutines: one sends, one receives and decides the end.
// Whatever breaks, the receiver learns it, since the stream ends for both.

// run is the life of a producer's stream.
func (p *Producer) run() {
	sent, closed := make(chan struct{}), make(chan struct{})
	// The library is not safe against a Close that meets the first Send. What
	// this fails with, the receiver gets too.
	_ = p.stream.SendHeaders()
	// Once the response has begun, net/http notices the end of the context only
	// when it has more of the request to write. Close makes it notice.
	context.AfterFunc(p.ctx, func() {
		defer close(closed)
		_ = p.stream.Close()
	})
	go func() {
		defer close(sent)
		p.send()
	}()
	err := p.readAcks()
	p.cancel()
	p.end(err)
	<-sent
	<-closed
	close(p.done)
}

// send writes batches to the stream until the producer ends.
func (p *Producer) send() {
	var spare produceRequest
	for {
		b := p.take(spare)
		if b == nil {
			// Either all is sent, or the stream has ended already.
			_ = p.stream.CloseSend()
			return
		}
		err := p.stream.Send(b.request)
		spare, b.request = b.request, nil
		if err != nil {
			return // the receiver gets the reason
		}
	}
}

// take waits for the next batch to send, and counts it as in flight. It returns
// nil when there will be none. It gets back the buffer of the batch before.
func (p *Producer) take(spare produceRequest) *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.spare) < p.config.batches && cap(spare) <= 2*p.config.batchBytes {
		p.spare = append(p.spare, spare[:0])
	}
	for !p.ended {
		if len(p.flight) < p.config.batches {
			if b := p.due(); b != nil {
				p.flight = append(p.flight, b)
				return b
			}
			if p.closing && p.open == nil {
				return nil
			}
		}
		p.wake.Wait()
	}
	return nil
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
	if b == nil || !(b.timer == nil || b.ripe || p.flush || p.closing || b.records == p.config.batchRecords) {
		return nil
	}
	p.open, p.flush = nil, false
	return b
}

// readAcks receives the answers until the stream ends, and returns the error
// that it ended with; nil if that was clean.
func (p *Producer) readAcks() *Error {
	for {
		var res logv1.ProduceResponse
		if err := p.stream.Receive(&res); isEOF(err) {
			return p.cleanEnd()
		} else if err != nil {
			return translate(p.ctx, err)
		}
		if err := p.acknowledge(&res); err != nil {
			return err
		}
	}
}

// acknowledge takes the answer to the oldest batch in flight.
func (p *Producer) acknowledge(res *logv1.ProduceResponse) *Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.flight) == 0 {
		return brokenPromise("an acknowledgement came of nothing that was sent")
	}
	b := p.flight[0]
	ack, err := readAck(res, b.records)
	if err != nil {
		return err
	}
	p.flight[0] = nil
	p.flight = p.flight[1:]
	b.ack = ack
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
	close(b.done)
}

// makeRoom wakes those who wait to send.
func (p *Producer) makeRoom() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// cleanEnd judges an end of the stream without an error, which is right only
// when everything was sent and acknowledged.
func (p *Producer) cleanEnd() *Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing && len(p.flight) == 0 && len(p.full) == 0 && p.open == nil {
		return nil
	}
	return brokenPromise("the stream ended without an error and without %d acknowledgements", len(p.flight))
}

// end decides the fate of every batch that has none.
//
// The server ends a stream at the first request that fails, and appends nothing
// after it. So if it vouches for that request, it does for all in flight. If it
// does not, or said nothing, any of those that were sent may be in the log:
// requests that arrive together may become durable together.
func (p *Producer) end(err *Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.err = true, err
	p.wake.Broadcast()
	p.makeRoom()
	if err == nil {
		return
	}
	for i, b := range p.flight {
		b.err = outcome(err)
		if i > 0 && err.NothingAppended {
			b.err = outcome(afterFailure(err))
		}
		if err.NothingAppended {
			p.counts.NotInLog += uint64(b.records)
		} else {
			p.counts.Unknown += uint64(b.records)
		}
		p.settle(b)
	}
	waiting := p.full
	if p.open != nil {
		waiting = append(waiting, p.open)
	}
	for _, b := range waiting {
		b.err = outcome(afterFailure(err))
		p.counts.NotInLog += uint64(b.records)
		p.settle(b)
	}
	p.flight, p.full, p.open = nil, nil, nil
}

// afterFailure is the error of what came behind the batch that failed.
func afterFailure(err *Error) *Error {
	e := refused(CodeAborted, ReasonUnspecified, "the producer ended before: %v", err)
	e.cause = err
	return e
}

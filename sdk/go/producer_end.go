package proglog

import "time"

// goOn decides what follows the end of a stream, and waits as long as it should.
// It returns the error that ends the producer; without one it goes on, unless
// everything is done.
func (p *Producer) goOn(err *Error) *Error {
	if err == nil {
		return nil
	}
	p.mu.Lock()
	p.reached = p.reached || err.FromServer
	renewed := p.renew(err)
	if !err.NothingAppended && !renewed {
		for _, b := range p.flight[:p.sent] {
			b.tried = true
		}
	}
	p.sent = 0
	if p.complete() && (p.ctx.Err() == nil || p.gaveUp()) {
		p.mu.Unlock()
		return nil
	}
	if !renewed && p.hopeless(err) {
		p.mu.Unlock()
		return err
	}
	b := p.backoff
	if p.waits() {
		p.watch()
	}
	p.mu.Unlock()
	if !renewed && !p.c.pause(p.ctx, &b, "go on producing", err) {
		if p.gaveUp() {
			return err
		}
		return p.left()
	}
	return p.awaitWork()
}

// hopeless says whether to give up after a failure, which it counts if something
// waits for success. It may strike hours before the next record comes.
func (p *Producer) hopeless(err *Error) bool {
	if p.identity.none || p.ctx.Err() != nil {
		return true
	}
	if p.idle() {
		return err.fate() == final
	}
	if p.backoff.failed == 0 {
		p.failing = time.Now()
	}
	exhausted := p.backoff.exhausted()
	switch err.fate() {
	case final:
		return true
	case passing:
		if err.tooLong() {
			return true
		}
	case doubtful:
		if exhausted {
			return true
		}
	}
	if !p.reached {
		return exhausted
	}
	since := p.failing
	if !p.bound.since.IsZero() {
		since = p.bound.since
	}
	return time.Since(since) >= p.config.giveUp
}

// renew takes another identity if the server does not know this one, and nothing
// that was sent under it is undecided.
func (p *Producer) renew(err *Error) bool {
	next, ok := p.identity.renewed(err)
	if !ok || len(p.flight) > 0 && p.flight[0].tried {
		return false
	}
	// A producer that is not known any more, after it had acks, was silent for
	// days; or the log is another one now, such as of a data directory that was
	// made anew. The caller has to know: records would go on where those before
	// them are not.
	if err.Reason == ReasonSequenceForgotten {
		return false
	}
	p.identity = next
	for _, b := range p.flight {
		b.number(&p.identity)
	}
	return true
}

// replaced says of a log that is not there any more, or does not know the producer, if
// another one has its name now: a stream belongs to the log that it began with, and a
// producer to the one that has its records. Whichever of them refused, appended nothing.
func (p *Producer) replaced(err *Error) *Error {
	if err == nil || !err.FromServer || p.ctx.Err() != nil {
		return err
	}
	p.mu.Lock()
	was, known := p.logID, p.logID != ""
	if err.Reason == ReasonLogNotFound {
		known = known || p.counts.Acked > 0
	}
	p.mu.Unlock()
	if !known || err.Reason != ReasonLogNotFound && err.Reason != ReasonSequenceForgotten {
		return err
	}
	res, failed := p.ask(p.config.log)
	if id := res.GetInfo().GetLogId(); failed != nil || id == "" || id == was {
		return err
	}
	e := refused(CodeFailedPrecondition, ReasonLogChanged, "the log was deleted, and another one has its name now")
	e.cause = err
	return e
}

// awaitWork waits until there is something to send, so that a producer that has
// nothing does not keep a server busy that wants to stop.
func (p *Producer) awaitWork() *Error {
	p.mu.Lock()
	for p.idle() && !p.closing && p.ctx.Err() == nil {
		p.wake.Wait()
	}
	p.mu.Unlock()
	if p.ctx.Err() != nil {
		return p.left()
	}
	return nil
}

// left is the error of a producer whose context ended while no stream was open.
func (p *Producer) left() *Error {
	return notSent(p.ctx)
}

// finished says that no more records will come and none is undecided.
func (p *Producer) finished() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.complete()
}

// end decides the fate of every batch that has none.
//
// The server ends a stream at the first request that fails, and appends nothing
// after it. So if it vouches for that request, it does for all in flight that it
// saw for the first time. If it does not, or said nothing, any of those that were
// sent may be in the log: requests that arrive together may become durable
// together. What was sent over an earlier stream, and never answered, may be in
// the log whatever is said of this one.
func (p *Producer) end(err *Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.err = true, err
	if p.bound.timer != nil {
		p.bound.timer.Stop()
	}
	p.wake.Broadcast()
	p.makeRoom()
	waiting := append(p.flight, p.full...)
	if p.open != nil {
		waiting = append(waiting, p.open)
	}
	p.flight, p.full, p.open = nil, nil, nil
	for i, b := range waiting {
		switch {
		case b.tried:
			unknown := *err
			unknown.NothingAppended = false
			b.err = outcome(&unknown)
			p.counts.Unknown += uint64(b.records)
		case i == 0:
			refused := *err
			refused.NothingAppended = true
			b.err = outcome(&refused)
			p.counts.NotInLog += uint64(b.records)
		default:
			b.err = outcome(afterFailure(err))
			p.counts.NotInLog += uint64(b.records)
		}
		p.settle(b)
	}
}

// afterFailure is the error of what came behind the batch that failed.
func afterFailure(err *Error) *Error {
	e := refused(CodeAborted, ReasonUnspecified, "the producer ended before: %v", err)
	e.cause, e.behind = err, err
	return e
}

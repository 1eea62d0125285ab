package proglog

import (
	"context"
	"slices"
)

// sender is a call of Send that could not go on at once.
type sender struct {
	weight int           // of its records in flight
	turn   chan struct{} // closed when it may go on, or nobody may any more
	left   chan struct{} // closed when its records were taken or refused
}

// enter waits, without the lock, until there is room for records of that weight,
// behind everybody who came before. Whoever gets in holds the lock, has to check
// and add its records, and then to leave.
func (p *Producer) enter(ctx context.Context, weight int) (leave func(), err *Error) {
	if err := p.refusal(); err != nil {
		return nil, err
	}
	if p.queued == 0 && p.fits(weight) {
		return func() {}, nil
	}
	s := &sender{weight: weight, turn: make(chan struct{}), left: make(chan struct{})}
	p.senders = append(p.senders, s)
	p.queued++
	if p.opening {
		p.watch()
	}
	p.wake.Signal() // what is open lingers for no one when senders wait for its room
	p.mu.Unlock()
	select {
	case <-s.turn:
	case <-ctx.Done():
	}
	p.mu.Lock()
	select {
	case <-s.turn: // and it goes on, even if its context has ended meanwhile
		if p.ended {
			p.leave(s)
			return nil, ended(p.err)
		}
		return func() { p.leave(s) }, nil
	default:
		p.leave(s)
		return nil, notSent(ctx)
	}
}

// refusal is the error of a Send that comes too late.
func (p *Producer) refusal() *Error {
	switch {
	case p.err != nil:
		return ended(p.err)
	case p.closing || p.ended:
		e := refused(CodeCanceled, ReasonUnspecified, "the producer is closed")
		e.cause = ErrClosed
		return e
	}
	return nil
}

// fits says whether there is room. Records are taken however large they are, or
// they would wait for ever; but a batch that is larger than the server takes could
// not be cut again, so that nothing is taken before the server was asked.
func (p *Producer) fits(weight int) bool {
	used := p.bytes + p.reserved
	return p.learned && (used == 0 || used+weight <= p.config.bytes)
}

// makeRoom lets in those who wait, in order, as far as there is room.
func (p *Producer) makeRoom() {
	for p.queued > 0 {
		s := p.senders[len(p.senders)-p.queued]
		if !p.ended && !p.fits(s.weight) {
			return
		}
		p.queued--
		p.reserved += s.weight
		close(s.turn)
	}
}

// leave ends a call that waited, whatever became of its records.
func (p *Producer) leave(s *sender) {
	i := slices.Index(p.senders, s)
	if i >= len(p.senders)-p.queued {
		p.queued--
	} else {
		p.reserved -= s.weight
	}
	p.senders = slices.Delete(p.senders, i, i+1)
	close(s.left)
	p.makeRoom()
	p.wake.Signal() // Close may have waited for it
}

// ended is the error of a Send after the producer has failed: that of the failure,
// but these records were not even looked at.
func ended(err *Error) *Error {
	e := *err
	e.Message = "the producer has ended before: " + err.Message
	e.NothingAppended, e.permanent = true, true
	e.cause, e.behind = err, err
	return &e
}

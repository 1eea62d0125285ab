package proglog

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// bound watches over how long a producer has to wait for a success. It belongs to
// the lock of the producer.
type bound struct {
	since time.Time   // nothing succeeded, of what waits; zero: nothing waits
	timer *time.Timer // nil: it does not run
	using time.Time   // a stream is in use since then; zero: none is
	end   context.CancelCauseFunc
}

// errGaveUp is the cause of a context that the bound has ended.
var errGaveUp = errors.New("the producer gave up")

// watch sees to it that the bound is noticed, while something waits.
func (p *Producer) watch() {
	b := &p.bound
	if !p.config.cuts || p.ended {
		return
	}
	if b.since.IsZero() {
		b.since = time.Now()
	}
	if b.timer == nil {
		b.timer = time.AfterFunc(time.Until(b.since.Add(p.config.giveUp)), p.overdue)
	}
}

// waits says whether something waits for the server: for an answer, or for a stream to
// be sent over. What lingers while there is one does not.
func (p *Producer) waits() bool {
	return len(p.flight) > 0 || p.bound.using.IsZero() && (!p.idle() || p.queued > 0 || p.closing)
}

// overdue ends whatever the producer is at, if the bound is over. The timer is not
// set anew for every success, so that it mostly comes too early.
func (p *Producer) overdue() {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := &p.bound
	b.timer = nil
	switch {
	case p.ended:
	case !p.waits():
		if p.backoff.failed == 0 {
			b.since = time.Time{}
		}
	case time.Since(b.since) < p.config.giveUp:
		p.watch()
	default:
		b.end(errGaveUp)
	}
}

// begin notes that a stream is in use; the batch that is sent next may linger first.
func (b *bound) begin() { b.using = time.Now() }

// sends notes that something is sent where nothing was in flight: until then nothing
// waited over this stream, however often those before it failed.
func (b *bound) sends() {
	if !b.since.IsZero() {
		b.since = b.since.Add(time.Since(b.using))
	}
}

// succeeded begins anew, for what is still in flight.
func (b *bound) succeeded(inFlight int) {
	if b.since = (time.Time{}); inFlight > 0 {
		b.since = time.Now()
	}
}

// gaveUp says whether the bound has ended the producer.
func (p *Producer) gaveUp() bool { return errors.Is(context.Cause(p.ctx), errGaveUp) }

// verdict is what ended the producer: the end of its context is not the caller's if the
// bound was over.
func (p *Producer) verdict(err *Error) *Error {
	if err == nil || err.FromServer || !p.gaveUp() || !errors.Is(err, errGaveUp) {
		return err
	}
	return &Error{
		Code: CodeUnavailable, NothingAppended: err.NothingAppended, permanent: true,
		Message: fmt.Sprintf("no answer from the server for %v, after which the producer gives up", p.config.giveUp),
	}
}

package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/proglog/proglog/server/torture/internal/audit"
	"github.com/proglog/proglog/server/torture/internal/wire"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

const (
	// inFlight is how many records a producer has under way, so that a run gets
	// many requests and not just many records.
	inFlight = 32
	// maxBatch is how many records a batch has at most.
	maxBatch = 24
)

// writer writes until the load ends.
type writer struct {
	l      *Load
	kind   Kind
	log    Log
	client *proglog.Client
	bare   *wire.Client
	random *rand.Rand
	acks   atomic.Uint64
	last   atomic.Pointer[error] // the last failure, for those who wait in vain
}

// write starts a writer.
func (l *Load) write(log Log, kind Kind, random *rand.Rand) {
	n := len(l.writers)
	w := &writer{
		l: l, kind: kind, log: log, client: l.clients[n%len(l.clients)], bare: l.bare[n%len(l.bare)],
		random: rand.New(rand.NewPCG(random.Uint64(), uint64(n))),
	}
	l.writers = append(l.writers, w)
	l.writing.Go(func() {
		switch kind {
		case Stream:
			w.stream()
		case OnceStream:
			w.stream(proglog.WithoutIdentity())
		case Unary:
			w.calls(1)
		case Batches:
			w.calls(maxBatch)
		case Bare:
			w.bareCalls()
		case Repeated:
			w.repeatedCalls(fmt.Sprintf("repeated-%d-%d", n, w.random.Uint64()))
		case Expecting:
			w.expectingCalls()
		}
	})
}

// quitting tells that the writer has to end.
func (w *writer) quitting() bool {
	select {
	case <-w.l.quit:
		return true
	case <-w.l.run.Done():
		return true
	default:
		return false
	}
}

func (w *writer) failed(err error) {
	w.last.Store(&err)
	wire.Sleep(w.l.run, failurePause)
}

func (w *writer) lastError() error {
	if err := w.last.Load(); err != nil {
		return *err
	}
	return nil
}

// stream writes through producers of the SDK, one after the other if one ends.
func (w *writer) stream(options ...proglog.ProducerOption) {
	options = append(options, proglog.InLog(w.log.Name), proglog.MaxBatch(8, 64<<10), proglog.MaxInFlight(4, 1<<20))
	for !w.quitting() {
		p, err := w.client.NewProducer(w.l.run, options...)
		if err != nil {
			w.l.fail(err)
			return
		}
		w.feed(p, w.log.History.Writer(true))
	}
}

// feed sends records through a producer until it ends, or has to.
func (w *writer) feed(p *proglog.Producer, told *audit.Writer) {
	var waiting sync.WaitGroup
	slots := make(chan struct{}, inFlight)
	for alive := true; alive && !w.quitting(); {
		select {
		case slots <- struct{}{}:
		case <-p.Done():
			alive = false
			continue
		}
		number, batch := told.Begin(1)
		future, err := p.Send(w.l.run, batch[0])
		if err != nil { // not taken: its outcome is known, also if the producer's is not
			told.Refused(number)
			w.failed(err)
			break
		}
		waiting.Go(func() {
			ack, err := future.Wait(context.WithoutCancel(w.l.run)) // every future is done in the end
			w.told(told, number, ack.Offset, err)
			<-slots
		})
	}
	if err := p.Close(w.l.run); err != nil {
		w.failed(err)
	}
	waiting.Wait()
}

// told notes what a call of the SDK returned.
func (w *writer) told(told *audit.Writer, number uint32, offset uint64, err error) {
	switch {
	case err == nil:
		told.Acked(number, offset)
		w.acks.Add(1)
	case errors.Is(err, proglog.ErrNothingAppended):
		told.Refused(number)
	}
}

// calls writes through Produce or ProduceBatch of the SDK.
func (w *writer) calls(most int) {
	told := w.log.History.Writer(false)
	for !w.quitting() {
		number, batch := told.Begin(1 + w.random.IntN(most))
		var ack proglog.Ack
		var err error
		if most == 1 {
			ack, err = w.client.Produce(w.l.run, batch[0], proglog.InLog(w.log.Name))
		} else {
			ack, err = w.client.ProduceBatch(w.l.run, batch, proglog.InLog(w.log.Name))
		}
		w.told(told, number, ack.Offset, err)
		if err != nil {
			w.failed(err)
		}
	}
}

// bareCalls sends each request once, without an identity.
func (w *writer) bareCalls() {
	told := w.log.History.Writer(false)
	for !w.quitting() {
		number, batch := told.Begin(1 + w.random.IntN(3))
		w.once(told, number, wire.Request(w.log.Name, batch))
	}
}

// once sends a request and notes the answer.
func (w *writer) once(told *audit.Writer, number uint32, req *logv1.ProduceRequest) (wire.Failure, bool) {
	res, err := w.bare.Produce(w.l.run, req)
	if err == nil {
		told.Acked(number, res.GetOffset())
		w.acks.Add(1)
		return wire.Failure{}, true
	}
	f := wire.Judge(err)
	if f.NothingAppended {
		told.Refused(number)
	}
	w.failed(err)
	return f, false
}

// repeatedCalls sends each request under an identity until it is answered.
func (w *writer) repeatedCalls(id string) {
	told := w.log.History.Writer(true)
	for sequence := uint64(0); !w.quitting(); sequence++ {
		number, batch := told.Begin(1 + w.random.IntN(3))
		req := wire.Request(w.log.Name, batch)
		req.Producer = &logv1.Producer{Id: id, Sequence: sequence}
		for {
			res, err := w.bare.Produce(w.l.run, req)
			if err == nil {
				told.Acked(number, res.GetOffset())
				w.acks.Add(1)
				break
			}
			if w.l.run.Err() != nil {
				return // its outcome stays unknown
			}
			switch f := wire.Judge(err); f.Reason {
			case logv1.Reason_REASON_SEQUENCE_GAP, logv1.Reason_REASON_SEQUENCE_FORGOTTEN,
				logv1.Reason_REASON_SEQUENCE_REUSED, logv1.Reason_REASON_PRODUCER_FENCED:
				w.l.fail(fmt.Errorf("sequence %d of %s, the one after an ack: %w", sequence, id, err))
				return
			}
			w.failed(err)
		}
	}
}

// expectingCalls names the offset that each record has to get. Others write, so
// that most are refused.
func (w *writer) expectingCalls() {
	told := w.log.History.Writer(false)
	for !w.quitting() {
		res, err := w.bare.GetLog(w.l.run, &logv1.GetLogRequest{Log: w.log.Name})
		if err != nil {
			w.failed(err)
			continue
		}
		expected := res.GetInfo().GetNextOffset()
		number, batch := told.Begin(1)
		req := wire.Request(w.log.Name, batch)
		req.ExpectedOffset = &expected
		answer, err := w.bare.Produce(w.l.run, req)
		switch f := wire.Judge(err); {
		case err == nil && answer.GetOffset() != expected:
			w.l.fail(&audit.Violation{Kind: audit.Misplaced, Text: fmt.Sprintf("a record expected offset %d and got %d", expected, answer.GetOffset())})
			return
		case err == nil:
			told.Acked(number, expected)
			w.acks.Add(1)
		case f.Reason == logv1.Reason_REASON_OFFSET_MISMATCH:
			if f.NothingAppended {
				told.Refused(number)
			}
			w.acks.Add(1) // an answer is what it is about; it need not win
		default:
			if f.NothingAppended {
				told.Refused(number)
			}
			w.failed(err)
		}
	}
}

// asError is errors.As for the SDK's error.
func asError(err error, target **proglog.Error) bool { return errors.As(err, target) }

// orEnd names the end of a tail without an error.
func orEnd(err error) error {
	if err == nil {
		return errors.New("without an error")
	}
	return err
}

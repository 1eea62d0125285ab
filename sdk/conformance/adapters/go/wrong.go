package main

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"

	proglog "github.com/proglog/proglog/sdk/go"
)

// wrongEnv names the environment variable that makes the adapter misbehave in
// one way, as a broken SDK would: the suite's own tests prove by it that its cases
// can fail.
const wrongEnv = "PROGLOG_ADAPTER_WRONG"

// The ways to misbehave.
const (
	skipsRecord            = "skips-record"             // does not deliver the second record
	repeatsRecord          = "repeats-record"           // delivers the second record twice
	forgetsLogID           = "forgets-log-id"           // resumes in whatever log has the name now
	jumpsGap               = "jumps-gap"                // goes on behind what was trimmed, without a word
	takesLossForEnd        = "takes-loss-for-end"       // ends without an error when the connection is lost
	retriesWithoutIdentity = "retries-without-identity" // sends a lost write again as a new one
	swapsAcks              = "swaps-acks"               // tells acknowledgements in another order
	losesReason            = "loses-reason"             // tells errors without the server's reason
	losesOutcome           = "loses-outcome"            // calls every failed write one that appended nothing
	dropsHeaders           = "drops-headers"            // sends records without their headers
)

// misbehaviour is one of the ways, or none.
type misbehaviour struct {
	way  string
	once sync.Once
	lost chan struct{} // closed when the first connection is lost
}

func newMisbehaviour(way string) *misbehaviour {
	return &misbehaviour{way: way, lost: make(chan struct{})}
}

// iteration is Records or Follow.
type iteration func(context.Context, ...proglog.ReadOption) iter.Seq2[proglog.Record, error]

// read tells the records of an iteration.
func (m *misbehaviour) read(ctx context.Context, records iteration, opts []proglog.ReadOption, tell func(*proglog.Record)) error {
	for {
		own, stop := context.WithCancel(ctx)
		if m.way == takesLossForEnd {
			go func() {
				select {
				case <-m.lost:
					stop()
				case <-own.Done():
				}
			}()
		}
		err := m.readOnce(own, records, opts, tell)
		ended := own.Err() != nil && ctx.Err() == nil
		stop()
		e, _ := errors.AsType[*proglog.Error](err)
		switch {
		case ended:
			return nil
		case m.way == forgetsLogID && proglog.ReasonOf(err) == proglog.ReasonLogChanged:
			opts = append(opts, proglog.OnlyLog(""), proglog.FromEarliest())
		case m.way == jumpsGap && proglog.ReasonOf(err) == proglog.ReasonOffsetTrimmed:
			opts = append(opts, proglog.From(e.FirstOffset))
		default:
			return err
		}
	}
}

func (m *misbehaviour) readOnce(ctx context.Context, records iteration, opts []proglog.ReadOption, tell func(*proglog.Record)) error {
	count := 0
	for record, err := range records(ctx, opts...) {
		if err != nil {
			return err
		}
		count++
		if count != 2 || m.way != skipsRecord {
			tell(&record)
		}
		if count == 2 && m.way == repeatsRecord {
			tell(&record)
		}
	}
	return nil
}

// client is how the options of a client are spoilt.
func (m *misbehaviour) client(retry proglog.Retry) []proglog.Option {
	switch m.way {
	case retriesWithoutIdentity:
		retry.Attempts = 1
	case takesLossForEnd:
		return []proglog.Option{proglog.WithRetry(retry), proglog.WithLogger(slog.New(m))}
	}
	return []proglog.Option{proglog.WithRetry(retry)}
}

// produce is what becomes of a write whose outcome is unknown.
func (m *misbehaviour) produce(ctx context.Context, once func() (proglog.Ack, error)) (proglog.Ack, error) {
	ack, err := once()
	for m.way == retriesWithoutIdentity && errors.Is(err, proglog.ErrOutcomeUnknown) && ctx.Err() == nil {
		ack, err = once()
	}
	return ack, err
}

// acks is what a send tells.
func (m *misbehaviour) acks(acks []any) []any {
	if m.way == swapsAcks && len(acks) > 1 {
		acks[0], acks[1] = acks[1], acks[0]
	}
	return acks
}

// error is what is told of an error.
func (m *misbehaviour) error(told map[string]any) map[string]any {
	if m.way == losesReason {
		told["reason"] = ""
	}
	if _, write := told["outcome"]; write && m.way == losesOutcome {
		told["outcome"] = "nothing_appended"
	}
	return told
}

// record is what is sent of a record.
func (m *misbehaviour) record(r proglog.Record) proglog.Record {
	if m.way == dropsHeaders {
		r.Headers = nil
	}
	return r
}

// The rest makes it a handler of the client's log, which hears of lost
// connections.

// Enabled is true for every level.
func (m *misbehaviour) Enabled(context.Context, slog.Level) bool { return true }

// Handle takes every line for a lost connection.
func (m *misbehaviour) Handle(context.Context, slog.Record) error {
	m.once.Do(func() { close(m.lost) })
	return nil
}

// WithAttrs changes nothing.
func (m *misbehaviour) WithAttrs([]slog.Attr) slog.Handler { return m }

// WithGroup changes nothing.
func (m *misbehaviour) WithGroup(string) slog.Handler { return m }

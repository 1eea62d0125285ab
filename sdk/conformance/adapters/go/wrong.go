package main

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

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

// More of them: what is set and not done, and what must end and does not.
const (
	ignoresSilence  = "ignores-silence"  // takes a tail that is silent for one that is quiet
	ignoresCancel   = "ignores-cancel"   // goes on when the caller has left
	ignoresDeadline = "ignores-deadline" // goes on when the time is over
	hangsAtClose    = "hangs-at-close"   // never returns from the close of a client
	leaksAtClose    = "leaks-at-close"   // leaves running what a client runs when that is closed
	forgetsCursor   = "forgets-cursor"   // commits no place
	ignoresLimits   = "ignores-limits"   // sends what is over a limit
	ignoresBounds   = "ignores-bounds"   // has as much in flight as there is
	ignoresLinger   = "ignores-linger"   // sends at once
	forgetsToken    = "forgets-token"    // sends no token
	losesAtResume   = "loses-at-resume"  // drops the first record behind a lost connection
	noBackoff       = "no-backoff"       // tries again at once
	noJitter        = "no-jitter"        // draws no pause
	neverTraces     = "never-traces"     // calls no hook
	ignoresCA       = "ignores-ca"       // trusts everybody
	reusesBytes     = "reuses-bytes"     // keeps the caller's bytes, and not a copy
	neverGivesUp    = "never-gives-up"   // waits as long as it likes for an answer
	namesLogLate    = "names-log-late"   // stores a first place for the log that is there by then
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
	count, away := 0, false
	if m.way == ignoresSilence {
		opts = append(opts, proglog.Heartbeat(time.Minute))
	}
	for record, err := range records(ctx, opts...) {
		if err != nil {
			return err
		}
		if m.way == losesAtResume && !away && isClosed(m.lost) {
			away = true
			continue
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
	case noBackoff:
		retry.MinDelay, retry.MaxDelay = 1, 1
	case noJitter:
		retry.Attempts = 1
	case ignoresLimits:
		return []proglog.Option{proglog.WithRetry(retry), proglog.WithLimits(proglog.Limits{
			ValueBytes: 1 << 30, Headers: 1 << 20, HeaderBytes: 1 << 30, BatchRecords: 1 << 20, BatchBytes: 1 << 30,
		})}
	case takesLossForEnd, losesAtResume:
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

// producer is how the arguments of a producer are spoilt.
func (m *misbehaviour) producer(c *command) {
	switch m.way {
	case ignoresBounds:
		c.MaxInFlightBatches, c.MaxInFlightBytes = 1000, 1<<28
	case ignoresLinger:
		c.LingerMS = 0
	case neverGivesUp:
		c.GiveUpAfterMS = nil
	}
}

// token is where a client has its tokens from; nil: it has none.
func (m *misbehaviour) token(c *command) func(context.Context) (string, error) {
	tokens := c.Tokens
	if c.Token != "" {
		tokens = []string{c.Token}
	}
	if len(tokens) == 0 || m.way == forgetsToken {
		return nil
	}
	var next atomic.Int64
	return func(context.Context) (string, error) {
		return tokens[min(int(next.Add(1)), len(tokens))-1], nil
	}
}

// closeClient closes a client.
func (m *misbehaviour) closeClient(ctx context.Context, client *proglog.Client) error {
	switch m.way {
	case hangsAtClose:
		<-ctx.Done()
	case leaksAtClose:
		return nil
	}
	return client.Close()
}

// again calls a log's administration as often as an SDK would that draws no pause.
func (m *misbehaviour) again(c *command, once func() (any, error)) (any, error) {
	answer, err := once()
	if m.way != noJitter || c.Op != "describe_log" {
		return answer, err
	}
	for n, pause := 1, 50*time.Millisecond; n < 6 && err != nil; n++ {
		time.Sleep(pause)
		pause = min(2*pause, 800*time.Millisecond)
		answer, err = once()
	}
	return answer, err
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
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

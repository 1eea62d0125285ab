package trial

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"

	"github.com/proglog/proglog/server/torture/internal/audit"
	"github.com/proglog/proglog/server/torture/internal/history"
	"github.com/proglog/proglog/server/torture/internal/load"
	"github.com/proglog/proglog/server/torture/internal/wire"

	proglog "github.com/proglog/proglog/sdk/go"
)

const (
	// crowdSize is how many clients make the calls of a history, as many over each
	// protocol.
	crowdSize = 12
	// callLimit is how long a call may take that is not cut short on purpose.
	callLimit = 5 * time.Second
)

// newCrowd starts the clients of a history.
func newCrowd(ctx context.Context, url string, log load.Log, random *rand.Rand) *crowd {
	c := &crowd{log: log, began: time.Now(), done: make(chan struct{}), quit: make(chan struct{})}
	ctx, c.cancel = context.WithCancel(ctx)
	var running sync.WaitGroup
	for i := range crowdSize {
		m := &member{
			c: c, number: i, hash: history.Empty,
			client: wire.New(url, wire.Protocols()[i%len(wire.Protocols())]),
			random: rand.New(rand.NewPCG(random.Uint64(), uint64(i))),
			told:   log.History.Writer(false),
			id:     fmt.Sprintf("member-%d-%d", i, random.Uint64()),
		}
		c.members = append(c.members, m)
		running.Go(func() { m.live(ctx) })
	}
	go func() { running.Wait(); close(c.done) }()
	return c
}

// member is a client of a history. It makes one call after the other.
type member struct {
	c        *crowd
	number   int
	client   *wire.Client
	random   *rand.Rand
	told     *audit.Writer
	id       string // of its producer
	sequence uint64

	next  uint64 // how far it has read, and the hash of what it read
	hash  uint64
	made  []history.Call
	wrong error // what it must not be told; it ends with it
}

func (m *member) live(ctx context.Context) {
	for m.wrong == nil && ctx.Err() == nil && m.c.calls.Add(1) <= historyCalls {
		select {
		case <-m.c.quit:
			return
		default:
		}
		switch roll := m.random.IntN(20); {
		case roll < 12:
			m.append(ctx, roll)
		case roll < 15:
			m.readToEnd(ctx)
		case roll < 18:
			m.readAt(ctx)
		default:
			m.describe(ctx)
		}
	}
}

// now is the time of the history.
func (m *member) now() time.Duration { return time.Since(m.c.began) }

// limited is the context of one call. At times it ends in the middle.
func (m *member) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := callLimit
	switch roll := m.random.IntN(40); roll {
	case 0:
		limit = time.Duration(m.random.Int64N(int64(4 * time.Millisecond)))
	case 1: // the client leaves, without a deadline that the server knows of
		ctx, cancel := context.WithCancel(ctx)
		timer := time.AfterFunc(time.Duration(m.random.Int64N(int64(4*time.Millisecond))), cancel)
		return ctx, func() { timer.Stop(); cancel() }
	}
	return context.WithTimeout(ctx, limit)
}

// append appends a record or a few: one time in six at an offset that it expects, in
// four as a producer that tries until it is answered, in the others once and for all.
func (m *member) append(ctx context.Context, roll int) {
	number, batch := m.told.Begin(1 + m.random.IntN(2)*m.random.IntN(4))
	call := history.Call{Client: m.number, Kind: history.Append, Expected: history.NoOffset, Next: history.NoOffset, Outcome: history.Unknown}
	for i := range batch {
		call.Keys = append(call.Keys, uint64(audit.KeyOf(batch[i].Value)))
	}
	req := wire.Request(m.c.log.Name, batch)
	repeated := roll < 3
	switch {
	case repeated:
		req.Producer = &logv1.Producer{Id: m.id, Sequence: m.sequence}
	case roll < 5:
		call.Expected = m.next
		req.ExpectedOffset = &m.next
	}
	call.Began = m.now()
	for tries := 0; ; tries++ {
		limited, cancel := m.limited(ctx)
		res, err := m.client.Produce(limited, req)
		cancel()
		if err == nil {
			call.Outcome, call.At = history.OK, res.GetOffset()
			m.told.Acked(number, res.GetOffset())
			m.c.acks.Add(1)
			m.sequence++
			if !repeated {
				m.sequence--
			}
			break
		}
		f := wire.Judge(err)
		if f.Reason == logv1.Reason_REASON_SEQUENCE_GAP || f.Reason == logv1.Reason_REASON_SEQUENCE_REUSED {
			m.wrong = fmt.Errorf("sequence %d of %s: %w", m.sequence, m.id, err)
			break
		}
		if !repeated {
			if f.NothingAppended {
				call.Outcome = history.Refused
				m.told.Refused(number)
			}
			if f.Reason == logv1.Reason_REASON_OFFSET_MISMATCH {
				call.Next = f.Next
			}
			break
		}
		if ctx.Err() != nil {
			break // it stays unknown
		}
		pause(ctx, time.Millisecond)
	}
	call.Ended = m.now()
	m.made = append(m.made, call)
	if call.Outcome == history.Unknown {
		pause(ctx, time.Millisecond)
	}
}

// readToEnd reads on from where it was to the tail. Its answer is that of the last
// request, which reached the tail, so it began then.
func (m *member) readToEnd(ctx context.Context) {
	for {
		call := history.Call{Client: m.number, Kind: history.ReadToEnd, Began: m.now()}
		limited, cancel := m.limited(ctx)
		res, err := m.client.Consume(limited, &logv1.ConsumeRequest{Log: m.c.log.Name, Offset: m.next, MaxRecords: 1000})
		cancel()
		call.Ended = m.now()
		switch {
		case err != nil && wire.Judge(err).Reason == logv1.Reason_REASON_OFFSET_UNWRITTEN:
			// At the tail already; the answer tells that it is there.
			call.Next, call.Hash = wire.Judge(err).Next, m.hash
			m.made = append(m.made, call)
			return
		case err != nil:
			m.failedRead(ctx, err)
			return
		}
		for _, r := range res.GetRecords() {
			if !m.reads(r) {
				return
			}
		}
		if res.NextOffset != nil {
			call.Next, call.Hash = res.GetNextOffset(), m.hash
			m.made = append(m.made, call)
			return
		}
	}
}

// reads takes the record that has to be the next one.
func (m *member) reads(r *logv1.Record) bool {
	if r.GetOffset() != m.next {
		m.wrong = fmt.Errorf("read offset %d, not %d", r.GetOffset(), m.next)
		return false
	}
	key, err := m.c.log.History.Identify(recordOf(r))
	if err != nil {
		m.wrong = fmt.Errorf("offset %d: %w", r.GetOffset(), err)
		return false
	}
	m.next, m.hash = m.next+1, history.Chain(m.hash, uint64(key))
	return true
}

func recordOf(r *logv1.Record) *proglog.Record {
	record := &proglog.Record{Offset: r.GetOffset(), Value: r.GetValue()}
	for _, h := range r.GetHeaders() {
		record.Headers = append(record.Headers, proglog.Header{Name: h.GetName(), Value: h.GetValue()})
	}
	return record
}

// readAt reads a record around the place to which it has read.
func (m *member) readAt(ctx context.Context) {
	call := history.Call{Client: m.number, Kind: history.ReadAt, Began: m.now(), Outcome: history.OK}
	call.Offset = m.next + m.random.Uint64N(8)
	if m.next > 4 {
		call.Offset -= 4
	}
	limited, cancel := m.limited(ctx)
	defer cancel()
	res, err := m.client.Consume(limited, &logv1.ConsumeRequest{Log: m.c.log.Name, Offset: call.Offset})
	call.Ended = m.now()
	if err != nil {
		f := wire.Judge(err)
		if f.Reason != logv1.Reason_REASON_OFFSET_UNWRITTEN {
			m.failedRead(ctx, err)
			return
		}
		call.Outcome, call.Next = history.Refused, f.Next
	} else if _, err := m.c.log.History.Identify(recordOf(res.GetRecord())); err != nil || res.GetRecord().GetOffset() != call.Offset {
		m.wrong = fmt.Errorf("read offset %d instead of %d: %w", res.GetRecord().GetOffset(), call.Offset, err)
		return
	}
	m.made = append(m.made, call)
}

// describe asks for the log's bounds.
func (m *member) describe(ctx context.Context) {
	call := history.Call{Client: m.number, Kind: history.Describe, Began: m.now()}
	limited, cancel := m.limited(ctx)
	defer cancel()
	res, err := m.client.GetLog(limited, &logv1.GetLogRequest{Log: m.c.log.Name})
	if err != nil {
		m.failedRead(ctx, err)
		return
	}
	call.Ended, call.Next = m.now(), res.GetInfo().GetNextOffset()
	m.made = append(m.made, call)
}

// failedRead judges a read without an answer, which says nothing about the log. What a
// server must never say of this one is wrong.
func (m *member) failedRead(ctx context.Context, err error) {
	switch f := wire.Judge(err); f.Reason {
	case logv1.Reason_REASON_DATA_DAMAGED, logv1.Reason_REASON_OFFSET_TRIMMED, logv1.Reason_REASON_LOG_NOT_FOUND, logv1.Reason_REASON_INTERNAL:
		m.wrong = err
	default:
		pause(ctx, time.Millisecond)
	}
}

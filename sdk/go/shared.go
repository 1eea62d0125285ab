package proglog

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// sharedBatches is how many requests are in flight over a stream that calls
	// share. Few of them make large batches out of many callers.
	sharedBatches = 4
	// sharedBytes is how much waits, or is in flight, over such a stream.
	sharedBytes = 64 << 20
	// sharedIdle is how long a stream that nobody uses stays open.
	sharedIdle = 30 * time.Second
	// sharedPatience is how long calls wait for a server that answered before
	// to come back, as it does from a restart.
	sharedPatience = 10 * time.Second
)

// sharing is the streams over which calls of Produce travel together, one for
// each log.
type sharing struct {
	mu     sync.Mutex
	open   map[string]*sharedStream
	closed bool
	idle   time.Duration
	h1     bool // streams do not work here: there is no HTTP/2
}

// sharedStream is one of them. Its fields belong to the lock of the sharing.
type sharedStream struct {
	producer *Producer
	users    int // calls that wait
	timer    *time.Timer
}

// produceShared sends records with those of other calls. Unless it is done, the
// request has to go alone: to get an answer of its own.
func (c *Client) produceShared(ctx context.Context, log string, records []Record, size int) (ack Ack, failure error, done bool) {
	s := c.enterShared(log)
	if s == nil {
		return Ack{}, nil, false
	}
	defer c.leaveShared(log, s)
	future, failure := s.producer.send(ctx, records, size)
	if failure == nil {
		select {
		case <-future.batch.done:
		case <-ctx.Done():
			return Ack{}, outcome(translate(ctx, ctx.Err())), true
		}
		if failure = future.batch.err; failure == nil {
			ack = future.batch.ack
			ack.Offset += uint64(future.index)
			ack.NextOffset = ack.Offset + uint64(len(records))
			return ack, nil, true
		}
	}
	e, ok := errors.AsType[*Error](failure)
	if !ok || !errors.Is(failure, ErrNothingAppended) || ctx.Err() != nil {
		return Ack{}, failure, true
	}
	cause := e
	if e.behind != nil {
		cause = e.behind
	}
	switch {
	case cause.Reason == ReasonLogNotFound, cause.Reason == ReasonLogChanged:
		return Ack{}, nil, false // the stream may stand on a log that was deleted, and made again since
	case e == cause && future.batch != nil && future.batch.senders == 1 && cause.FromServer:
		return Ack{}, failure, true // it is an answer to this call alone
	case cause.Code == CodeUnimplemented && !cause.FromServer:
		c.shared.mu.Lock()
		c.shared.h1 = true
		c.shared.mu.Unlock()
		return Ack{}, nil, false
	case cause.FromServer, cause.status != 0, errors.Is(cause, ErrClosed):
		return Ack{}, nil, false
	}
	own := *cause
	own.NothingAppended = true
	return Ack{}, outcome(&own), true
}

// enterShared returns the stream of a log, for one call; nil if there can be none.
func (c *Client) enterShared(log string) *sharedStream {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	if c.shared.h1 || c.shared.closed {
		return nil
	}
	s := c.shared.open[log]
	if s != nil {
		select {
		case <-s.producer.Done():
			s = nil
		default:
		}
	}
	if s == nil {
		// It outlives the call that opens it, so nothing of the call's context
		// bounds it.
		patience := sharedPatience
		if c.retry.Attempts == 1 {
			patience = 0
		}
		p := c.newProducer(context.Background(), producerConfig{
			log: log, batchRecords: c.limits.BatchRecords, batchBytes: c.limits.BatchBytes,
			batches: sharedBatches, bytes: sharedBytes, identity: newIdentity(), giveUp: patience,
		})
		// Outside of the lock: a token may be long in coming.
		go p.run(nil)
		s = &sharedStream{producer: p}
		c.shared.open[log] = s
	}
	s.users++
	if s.timer != nil {
		s.timer.Stop()
	}
	return s
}

// leaveShared ends the use of a stream by one call. The last one leaves a stream
// that closes after a while.
func (c *Client) leaveShared(log string, s *sharedStream) {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	s.users--
	switch {
	case s.users > 0:
	case c.shared.closed:
		s.producer.cancel()
	case s.producer.isOpening():
		// Nobody waits for it any more, and it may hang, in the source of tokens
		// for one: whoever comes next begins anew.
		if c.shared.open[log] == s {
			delete(c.shared.open, log)
		}
		s.producer.cancel()
	case s.timer == nil:
		s.timer = time.AfterFunc(c.shared.idle, func() { c.closeIdle(log, s) })
	default:
		s.timer.Reset(c.shared.idle)
	}
}

// closeIdle closes a stream, unless somebody uses it again.
func (c *Client) closeIdle(log string, s *sharedStream) {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	if s.users > 0 {
		return
	}
	if c.shared.open[log] == s {
		delete(c.shared.open, log)
	}
	s.producer.cancel()
}

// close forgets the streams, which end with the client.
func (s *sharing) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, o := range s.open {
		if o.timer != nil {
			o.timer.Stop()
		}
	}
}

// identities are those under which requests go alone. One id has one order, so
// a request takes an identity for itself, and gives it back when its outcome is
// known. There are as many as there were such requests at once.
type identities struct {
	mu   sync.Mutex
	free map[string][]identity
}

// take returns an identity for one request.
func (i *identities) take(config *produceConfig) identity {
	if config.identity != nil {
		return *config.identity
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	free := i.free[config.log]
	if len(free) == 0 {
		return newIdentity()
	}
	id := free[len(free)-1]
	i.free[config.log] = free[:len(free)-1]
	return id
}

// give takes an identity back.
func (i *identities) give(config *produceConfig, id identity) {
	if config.identity != nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.free[config.log] = append(i.free[config.log], id)
}

package log

import (
	"context"
	"slices"
	"sync"

	"github.com/proglog/proglog/server/commitlog"
)

// A pending is one call that waits.
type pending struct {
	log     *Log // nil: a change
	batches []commitlog.Batch
	change  func(full bool) error // of a log's settings, made while the group is built
	size    int64                 // how much it takes in a group, at most

	acks      []commitlog.Ack
	err       error
	withdrawn bool // by a caller that left the queue
	taken     bool
	done      chan struct{}
}

var pendings = sync.Pool{New: func() any { return &pending{done: make(chan struct{}, 1)} }}

const (
	// recordOverhead bounds what an envelope, with a frame of its own, takes
	// beside value and headers.
	recordOverhead = 128
	// markOverhead bounds what a call takes beside its records: a roll.
	markOverhead = 128
)

func sizeOf(b *commitlog.Batch) (n int64) {
	if b.Producer != nil {
		n += recordOverhead + 255
	}
	for i := range b.Records {
		r := &b.Records[i]
		n += recordOverhead + int64(len(r.Value))
		for _, h := range r.Headers {
			n += 16 + int64(len(h.Name)+len(h.Value))
		}
	}
	return n
}

// append is Log.Append.
func (c *committer) append(ctx context.Context, l *Log, batches []commitlog.Batch) ([]commitlog.Ack, error) {
	var acks []commitlog.Ack
	for len(batches) > 0 {
		n, size := 0, int64(0)
		var bad error
		for n < len(batches) {
			b := &batches[n]
			if bad = c.options.Limits.Check(*b); bad != nil {
				break
			}
			more := sizeOf(b)
			if n > 0 && size+more > c.options.GroupBytes {
				break
			}
			size += more
			n++
		}
		if n > 0 {
			p := pendings.Get().(*pending)
			p.log, p.batches, p.size = l, batches[:n], size
			done, err := c.submit(ctx, p)
			if acks == nil {
				acks = done
			} else {
				acks = append(acks, done...)
			}
			if err != nil {
				return acks, err
			}
		}
		if bad != nil {
			return acks, bad
		}
		batches = batches[n:]
	}
	return acks, nil
}

// submit queues p, waits for its outcome and gives p back to the pool.
func (c *committer) submit(ctx context.Context, p *pending) ([]commitlog.Ack, error) {
	if err := ctx.Err(); err != nil {
		p.release()
		return nil, err
	}
	c.mu.Lock()
	if err := c.admit(p); err != nil {
		c.mu.Unlock()
		p.release()
		return nil, err
	}
	c.queue = append(c.queue, p)
	c.bytes += p.size
	c.batches += len(p.batches)
	if !c.busy {
		c.busy = true
		group := c.take()
		c.mu.Unlock()
		c.commit(group)
		c.handOver()
	} else {
		c.mu.Unlock()
		if c.options.queued != nil {
			c.options.queued()
		}
	}
	if ctx.Done() == nil {
		<-p.done
		acks, err := p.acks, p.err
		p.release()
		return acks, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		select {
		case <-p.done: // it was decided all the same
		default:
			return nil, c.leave(p, ctx.Err())
		}
	}
	acks, err := p.acks, p.err
	p.release()
	return acks, err
}

// admit says whether p may queue. The caller holds mu.
func (c *committer) admit(p *pending) error {
	if c.stopped != nil {
		return c.stopped
	}
	if c.bytes > 0 && (c.bytes+p.size > c.options.QueueBytes || c.batches+len(p.batches) > c.options.QueueBatches) {
		return commitlog.ErrOverloaded
	}
	return nil
}

// leave takes p, whose caller waits no longer, out of the queue. If it is being
// committed its outcome is open. p never goes back to the pool.
func (c *committer) leave(p *pending, cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.taken {
		return commitlog.OutcomeUnknown(cause)
	}
	p.withdrawn = true
	return cause
}

func (p *pending) release() {
	*p = pending{done: p.done}
	pendings.Put(p)
}

// A group of light calls goes first: a log of which at most lightBytes wait does not
// wait behind another of which more than heavyBytes do.
const (
	lightBytes = 16 << 10
	heavyBytes = 64 << 10
)

// take takes a group off the queue: what waits, up to GroupBytes. If more waits,
// the first call of each log goes before others, so that each has its turn. And if
// much waits of some logs and little of others, the latter have every second group
// for themselves, with one of at most heavyBytes, or a single call, between: a small
// append waits for one such write at most, and its own. The caller holds mu.
func (c *committer) take() []*pending {
	c.taken = c.taken[:0]
	limit := c.options.GroupBytes
	if c.light {
		limit = min(limit, heavyBytes)
	}
	if c.bytes > heavyBytes && !c.light && c.takeLight() {
		c.light = true
		return c.taken
	}
	c.light = false
	size := int64(0)
	if c.bytes > limit {
		clear(c.seen)
		size = c.takeIf(size, limit, func(p *pending) bool {
			seen := c.seen[p.log]
			c.seen[p.log] = true
			return !seen
		})
	}
	clear(c.seen)
	c.takeIf(size, limit, func(p *pending) bool { return !c.seen[p.log] })
	return c.taken
}

// takeLight takes the calls of light logs, if there are any, and heavy ones.
func (c *committer) takeLight() bool {
	if !slices.ContainsFunc(c.queue, func(p *pending) bool { return p.log != c.queue[0].log }) {
		return false // one log alone, which is not to pay for the sums
	}
	clear(c.waits)
	heaviest := int64(0)
	for _, p := range c.queue {
		c.waits[p.log] += p.size
		heaviest = max(heaviest, c.waits[p.log])
	}
	if heaviest <= heavyBytes {
		return false
	}
	clear(c.seen)
	c.takeIf(0, c.options.GroupBytes, func(p *pending) bool { return c.waits[p.log] <= lightBytes && !c.seen[p.log] })
	return len(c.taken) > 0
}

// takeIf takes the calls that it is asked about, as far as the group has room.
// What has none keeps those of its log that come later from overtaking it.
func (c *committer) takeIf(size, limit int64, wanted func(*pending) bool) int64 {
	rest := c.queue[:0]
	for _, p := range c.queue {
		if !wanted(p) {
			rest = append(rest, p)
			continue
		}
		if len(c.taken) > 0 && size+p.size > limit {
			c.seen[p.log] = true
			rest = append(rest, p)
			continue
		}
		c.bytes -= p.size
		c.batches -= len(p.batches)
		if p.withdrawn {
			continue
		}
		p.taken = true
		size += p.size
		c.taken = append(c.taken, p)
	}
	clear(c.queue[len(rest):])
	c.queue = rest
	return size
}

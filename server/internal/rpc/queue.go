package rpc

import (
	"context"
	"sync"

	"github.com/proglog/proglog/server/commitlog"
)

// A batchQueue holds what a ProduceStream has received and not yet begun to
// append. It has one putter and one taker, and is bounded in bytes.
type batchQueue struct {
	limit int
	room  chan struct{} // holds a token when there may be room
	ready chan struct{} // holds a token when there may be something to take

	mu      sync.Mutex
	batches []commitlog.Batch
	bytes   int
	closed  bool
	end     error // why there will be no more; nil if the client has ended
}

func newBatchQueue(limit int) *batchQueue {
	return &batchQueue{limit: limit, room: make(chan struct{}, 1), ready: make(chan struct{}, 1)}
}

// put adds a batch and waits for room first. A batch over the limit goes into an
// empty queue. Error: the context's.
func (q *batchQueue) put(ctx context.Context, b commitlog.Batch) error {
	size := batchBytes(b)
	for !q.tryPut(b, size) {
		select {
		case <-q.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	signal(q.ready)
	return nil
}

func (q *batchQueue) tryPut(b commitlog.Batch, size int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.batches) > 0 && q.bytes+size > q.limit {
		return false
	}
	q.batches = append(q.batches, b)
	q.bytes += size
	return true
}

// close says that there will be no more, and why.
func (q *batchQueue) close(end error) {
	q.mu.Lock()
	q.closed, q.end = true, end
	q.mu.Unlock()
	signal(q.ready)
}

// take waits until there is a batch and returns all there are, in order, up to
// limit bytes. Without batches, over says that there will be none, and err why;
// or err is the context's.
func (q *batchQueue) take(ctx context.Context, limit int) (batches []commitlog.Batch, over bool, err error) {
	for {
		batches, over, err = q.tryTake(limit)
		if len(batches) > 0 || over {
			signal(q.room)
			return batches, over, err
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
			return nil, true, ctx.Err()
		}
	}
}

func (q *batchQueue) tryTake(limit int) (batches []commitlog.Batch, over bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.batches) == 0 {
		return nil, q.closed, q.end
	}
	n, size := 0, 0
	for n < len(q.batches) {
		b := batchBytes(q.batches[n])
		if n > 0 && size+b > limit {
			break
		}
		size += b
		n++
	}
	batches = q.batches[:n:n]
	if n == len(q.batches) {
		q.batches = nil
	} else {
		q.batches = q.batches[n:]
	}
	q.bytes -= size
	return batches, false, nil
}

// signal leaves a token, unless one is there.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

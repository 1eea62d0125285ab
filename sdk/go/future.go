package proglog

import (
	"context"
	"time"
)

// Future is the acknowledgement of one record to come.
type Future struct {
	batch *batch
	index int // within the batch
}

// Wait returns the record's acknowledgement. If ctx ends first it returns the
// error of ctx, which says nothing about the record; it can be called again.
func (f Future) Wait(ctx context.Context) (Ack, error) {
	select {
	case <-f.batch.done:
	default:
		select {
		case <-f.batch.done:
		case <-ctx.Done():
			return Ack{}, ctx.Err()
		}
	}
	if f.batch.err != nil {
		return Ack{}, f.batch.err
	}
	offset := f.batch.ack.Offset + uint64(f.index)
	return Ack{Offset: offset, NextOffset: offset + 1, Time: f.batch.ack.Time}, nil
}

// Done is closed when Wait would return at once. All records of a batch share
// it.
func (f Future) Done() <-chan struct{} { return f.batch.done }

// batch is a request of a producer. Before it is sent it belongs to the lock of
// the producer, then to nobody until its fate is known; done publishes that.
type batch struct {
	request produceRequest
	records int
	size    int
	timer   *time.Timer // lets it linger; nil: it does not
	ripe    bool        // it has lingered
	done    chan struct{}
	ack     Ack
	err     error
}

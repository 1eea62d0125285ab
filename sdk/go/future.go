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
	return Ack{Offset: offset, NextOffset: offset + 1, Time: f.batch.ack.Time, Duplicate: f.batch.ack.Duplicate}, nil
}

// Done is closed when Wait would return at once. All records of a batch share
// it.
func (f Future) Done() <-chan struct{} { return f.batch.done }

// batch is a request of a producer. It belongs to the lock of the producer until
// its fate is known; done publishes that.
type batch struct {
	request  produceRequest
	body     int // length of the request before its number and its log
	sequence uint64
	named    bool // the request has the name of the log
	tried    bool // it was sent over a stream that broke without an answer
	records  int
	senders  int // who put records into it
	size     int
	timer    *time.Timer // lets it linger; nil: it does not
	ripe     bool        // it has lingered
	settled  bool        // its fate is known
	done     chan struct{}
	ack      Ack
	err      error
}

// number gives the request its place in an identity, in the stead of one that it
// had.
func (b *batch) number(i *identity) {
	if b.body == 0 {
		b.body = len(b.request)
	}
	b.sequence, b.named = i.sequence, false
	b.request = i.appendTo(b.request[:b.body], i.sequence)
	i.sequence++
}

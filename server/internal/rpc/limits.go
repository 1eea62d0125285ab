package rpc

import (
	"fmt"
	"time"

	"github.com/proglog/proglog/server/commitlog"
)

// Limits are the bounds that the server holds its callers to. The zero value of
// each field is its default.
type Limits struct {
	// Batch bounds what one request may append; by default
	// [commitlog.DefaultLimits]. It has to be what the engine enforces: the
	// server checks first, so that a request over a limit is refused before its
	// log is looked up.
	Batch commitlog.Limits

	// ResponseBytes bounds the records of a response that has two or more: 1 MiB
	// by default and never over 3.5 MiB, since stock gRPC clients take no message
	// over 4 MiB.
	ResponseBytes int

	// MaxRecords bounds the records of a response: 10,000 by default.
	MaxRecords int

	// Unary bounds a call that is not a stream, and how long the one request of
	// a server stream may take to arrive: 30 s by default. A caller's own
	// deadline can only be shorter.
	Unary time.Duration

	// Stall is how long a client may leave a stream's response unread before the
	// stream is cut: 30 s by default. Waiting at the tail does not count.
	Stall time.Duration

	// QueueBytes bounds what one ProduceStream has received and not yet begun to
	// append: 1 MiB by default. One request is always taken.
	QueueBytes int

	// GroupBytes bounds what one ProduceStream appends at a time: 1 MiB by
	// default. One request is always taken.
	GroupBytes int

	// StrideBytes is how much a ConsumeStream reads at a time: 256 KiB by
	// default. It bounds the memory of a slow client.
	StrideBytes int

	// CompressBytes is the size from which a response is compressed, if the
	// client asks for it: 1 KiB by default. Below it gzip costs more than it
	// saves.
	CompressBytes int

	// StreamsPerConnection bounds the calls of one HTTP/2 connection at a time:
	// 1,000 by default, so that ten connections carry ten thousand tails.
	StreamsPerConnection int
}

// Fixed bounds.
const (
	// messageSlack is what a message may have beyond its values and headers.
	messageSlack = 64 << 10
	// maxResponseBytes is the highest that Limits.ResponseBytes may be.
	maxResponseBytes = 7 << 19
	// recordOverhead is what a record in a queue counts beside its bytes.
	recordOverhead = 256
	// maxHeaderBytes bounds the HTTP headers of a request.
	maxHeaderBytes = 16 << 10
)

// DefaultLimits returns the limits that hold unless an operator changes them.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

// withDefaults fills what was left zero.
func (l Limits) withDefaults() Limits {
	if l.Batch == (commitlog.Limits{}) {
		l.Batch = commitlog.DefaultLimits()
	}
	for _, f := range []struct {
		field *int
		value int
	}{
		{&l.ResponseBytes, 1 << 20},
		{&l.MaxRecords, 10_000},
		{&l.QueueBytes, 1 << 20},
		{&l.GroupBytes, 1 << 20},
		{&l.StrideBytes, 256 << 10},
		{&l.CompressBytes, 1 << 10},
		{&l.StreamsPerConnection, 1000},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	if l.Unary == 0 {
		l.Unary = 30 * time.Second
	}
	if l.Stall == 0 {
		l.Stall = 30 * time.Second
	}
	return l
}

// Validate reports a limit outside its range. Zero fields are in range: they
// mean the default.
func (l Limits) Validate() error {
	l = l.withDefaults()
	if err := l.Batch.Validate(); err != nil {
		return err
	}
	for _, f := range []struct {
		name     string
		v, least int
		most     int
	}{
		{"response bytes", l.ResponseBytes, 1, maxResponseBytes},
		{"max records", l.MaxRecords, 1, 1_000_000},
		{"queue bytes", l.QueueBytes, 1, 1 << 30},
		{"group bytes", l.GroupBytes, 1, 1 << 30},
		{"stride bytes", l.StrideBytes, 1, 64 << 20},
		{"compress bytes", l.CompressBytes, 1, 1 << 30},
		{"streams per connection", l.StreamsPerConnection, 1, 1_000_000},
	} {
		if f.v < f.least || f.v > f.most {
			return fmt.Errorf("the limit of %s is %d, outside %d to %d", f.name, f.v, f.least, f.most)
		}
	}
	if l.Unary < 0 || l.Stall < 0 {
		return fmt.Errorf("the limits of a call (%v) and of a stall (%v) cannot be negative", l.Unary, l.Stall)
	}
	return nil
}

// messageBytes is the largest request message that is decoded, and the largest
// that a compressed one may become.
func (l Limits) messageBytes() int {
	return max(l.Batch.BatchBytes, l.Batch.ValueBytes+l.Batch.HeaderBytes) + messageSlack
}

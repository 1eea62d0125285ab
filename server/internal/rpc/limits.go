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

	// Wait is the longest that a Consume waits at the tail, whatever it asks for:
	// 60 s by default.
	Wait time.Duration

	// MinHeartbeat and MaxHeartbeat bound the interval of a ConsumeStream's
	// heartbeats: 1 s and 60 s by default.
	MinHeartbeat, MaxHeartbeat time.Duration

	// PageSize bounds the logs on a page of ListLogs: 1,000 by default.
	PageSize int

	// Unary bounds a call that is not a stream, beside what it waits at the tail,
	// and how long the one request of a server stream may take to arrive: 30 s by
	// default. A caller's own deadline can only be shorter.
	Unary time.Duration

	// Stall is how long a client may leave a stream's response unread, or a request
	// of a stream half sent, before the stream is cut: 30 s by default. Waiting at
	// the tail does not count, nor does the time between requests.
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

	// Connections bounds the connections that are open at a time: by default
	// 10,000, and never more than half of the files that the process may open.
	// One too many is closed as soon as it comes.
	Connections int

	// RequestMemory bounds, in bytes and for all calls together, what requests
	// take from their first byte until they are answered, or a stream's until
	// they are appended: 256 MiB by default. Beyond it requests are refused.
	RequestMemory int
}

// Fixed bounds.
const (
	// messageSlack is what a message may have beyond its values and headers.
	messageSlack = 64 << 10
	// maxResponseBytes is the highest that Limits.ResponseBytes may be.
	maxResponseBytes = 7 << 19
	// maxPageSize is the highest that Limits.PageSize may be: so that a page of
	// the longest names stays well below what stock gRPC clients take.
	maxPageSize = 5000
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
		{&l.PageSize, 1000},
		{&l.QueueBytes, 1 << 20},
		{&l.GroupBytes, 1 << 20},
		{&l.StrideBytes, 256 << 10},
		{&l.CompressBytes, 1 << 10},
		{&l.StreamsPerConnection, 1000},
		{&l.Connections, min(mostConnections, openableConnections())},
		{&l.RequestMemory, 256 << 20},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&l.Wait, time.Minute},
		{&l.MinHeartbeat, time.Second},
		{&l.MaxHeartbeat, time.Minute},
		{&l.Unary, 30 * time.Second},
		{&l.Stall, 30 * time.Second},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
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
		{"page size", l.PageSize, 1, maxPageSize},
		{"queue bytes", l.QueueBytes, 1, 1 << 30},
		{"group bytes", l.GroupBytes, 1, 1 << 30},
		{"stride bytes", l.StrideBytes, 1, 64 << 20},
		{"compress bytes", l.CompressBytes, 1, 1 << 30},
		{"streams per connection", l.StreamsPerConnection, 1, 1_000_000},
		{"connections", l.Connections, 1, openableConnections()},
		{"request memory", l.RequestMemory, 2 * messageFactor * l.jsonBytes(), 1 << 40}, // one request always fits
	} {
		if f.v < f.least || f.v > f.most {
			return fmt.Errorf("the limit of %s is %d, outside %d to %d", f.name, f.v, f.least, f.most)
		}
	}
	for _, f := range []struct {
		name string
		v    time.Duration
	}{
		{"wait", l.Wait}, {"min heartbeat", l.MinHeartbeat}, {"max heartbeat", l.MaxHeartbeat}, {"call", l.Unary}, {"stall", l.Stall},
	} {
		if f.v < time.Millisecond || f.v > time.Hour {
			return fmt.Errorf("the limit of a %s is %v, outside 1ms to 1h", f.name, f.v)
		}
	}
	if l.MinHeartbeat > l.MaxHeartbeat {
		return fmt.Errorf("the limit of a min heartbeat is %v, above that of a max heartbeat, %v", l.MinHeartbeat, l.MaxHeartbeat)
	}
	return nil
}

// messageBytes is the largest request message that is decoded, and the largest
// that a compressed one may become.
func (l Limits) messageBytes() int { return l.requestBytes() + messageSlack }

// jsonBytes is the same for messages in JSON, whose bytes are in base64: a third
// more. So every limit holds there as well.
func (l Limits) jsonBytes() int { return l.requestBytes()/3*4 + messageSlack }

// requestBytes is what the values and headers of a request may have together.
func (l Limits) requestBytes() int {
	return max(l.Batch.BatchBytes, l.Batch.ValueBytes+l.Batch.HeaderBytes)
}

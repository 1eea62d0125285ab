package peer

import (
	"context"
	"time"
)

// A Served subject is a process of its own, which tells its processor time.
type Served interface {
	CPU() (time.Duration, error)
}

// A Pipelined subject takes records before it has acked those before them.
type Pipelined interface {
	// Pump sends the records of a flow until it is over, and returns when all are
	// acked.
	Pump(ctx context.Context, flow *Flow) error
}

// A Streaming subject can be read from its first record on, in order.
type Streaming interface {
	// Stream gives at least n records to each, and stops when each returns an
	// error, which it returns. The value belongs to it until each returns.
	Stream(ctx context.Context, n uint64, each func(value []byte) error) error
}

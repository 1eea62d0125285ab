// Package peer holds the ways to keep records durably that are measured side by
// side: our engine, and what it is compared with. To add one, implement [Peer]
// and enter it in a contest.
package peer

import "errors"

// A Load says what a subject will have to carry.
type Load struct {
	Logs       int
	Writers    int // goroutines that append
	Batch      int // records of an append
	ValueBytes int // of a record
}

// BatchBytes is the size of the values of one append.
func (l Load) BatchBytes() int64 { return int64(l.Batch) * int64(l.ValueBytes) }

// A Peer is one way to keep records.
type Peer interface {
	// Name is short: the head of a column.
	Name() string
	// About says what it does, for the reader of a table: its version, and what
	// stands behind its ack.
	About() string
	// Open prepares a subject for a load in an empty directory. The error is
	// [ErrUnavailable] if this machine cannot do it.
	Open(dir string, load Load) (Subject, error)
}

// A Subject is a peer at work in a directory. Its methods, but for Close, are
// safe for concurrent use.
type Subject interface {
	// Writer returns what one goroutine appends with. The batch's values change
	// between appends, never during one.
	Writer(id int, batch *Batch) Writer
	// Count returns how many records the subject says it has taken.
	Count() (uint64, error)
	// Value reads a record back, and may use buf's array for it. The error is
	// [ErrReused] if the subject had to overwrite it.
	Value(at Place, buf []byte) ([]byte, error)
	Close() error
}

// A Writer appends for one goroutine.
type Writer interface {
	// Append appends the batch to a log and returns the offset of its first
	// record, once all of it is durable.
	Append(log int) (offset uint64, err error)
}

// A Readable subject can be read in the two ways that are measured, both of its
// first log.
type Readable interface {
	Reader() Reader
}

// A Reader reads for one goroutine. What it returns is valid until its next call.
type Reader interface {
	// At returns the value of the record at an offset.
	At(offset uint64) ([]byte, error)
	// Run reads about RunBytes from an offset on, and returns how many records
	// and how many bytes that was.
	Run(offset uint64) (records, bytes int, err error)
}

// RunBytes is the size of the pieces that a catch-up read takes.
const RunBytes = 256 << 10

// A Place is where an acked record is. No two records have the same.
type Place struct {
	Log    int
	Offset uint64 // below 1<<44
}

var (
	// ErrUnavailable: this machine cannot run the peer; its text says why.
	ErrUnavailable = errors.New("not available here")
	// ErrReused: the space of a record was used again, as the peer has to.
	ErrReused = errors.New("the space was used again")
)

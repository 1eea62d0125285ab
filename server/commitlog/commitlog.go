// Package commitlog is the contract between the server and its engines.
//
// An [Engine] is a set of named logs; a [CommitLog] is one of them. Engines
// know nothing of RPC, and those who call them know nothing of files. Package
// commitlogtest holds the suite that every engine passes and the simplest
// engine that does.
//
// The package also owns the one encoding of a record (see encoding.go), so that
// an engine can store records as they travel and a reader can hand out runs of
// them without decoding.
package commitlog

import (
	"context"
	"time"
)

// A Header is a named annotation of a record. Order and duplicates are kept.
type Header struct {
	Name  string // UTF-8
	Value []byte
}

// A Record is one value in a log.
type Record struct {
	Offset  uint64    // its number in the log; set by the engine
	Time    time.Time // when it was appended, never decreasing within a log; set by the engine
	Value   []byte    // may be empty
	Headers []Header
}

// Bounds are the offsets of a log: First is the lowest that can be read, Next
// the one that the next record gets. An empty log has First == Next.
type Bounds struct {
	First, Next uint64
}

// A Batch is what one request appends: its records are appended all or none,
// at contiguous offsets.
type Batch struct {
	// Records to append, at least one. Their Offset and Time are ignored, and
	// none of them is changed. The engine may keep the slices they refer to until
	// the outcome is decided, so the caller does not change them after the call,
	// whatever it returned.
	Records []Record

	// ExpectedOffset, if not nil, is the offset that the first record must get.
	// If it would get another, the batch fails with [*OffsetMismatchError].
	ExpectedOffset *uint64

	// Producer, if not nil, makes a retry of the batch recognisable.
	Producer *Producer
}

// A Producer names a batch, so that a retry is answered with the first ack, and
// a writer that was replaced is refused. A producer's first sequence is 0, and so
// is the first of each epoch; each next batch has the next one. A higher epoch
// takes the place of the lower ones with all of their acks: whichever of their
// sequences comes then is refused with [*FencedError].
//
// What is remembered is bounded by a [DedupWindow]: whatever lies beyond it is
// refused with [*SequenceForgottenError] and never appended again.
type Producer struct {
	ID       string // 1 to 64 bytes
	Epoch    uint64 // a higher one fences all lower ones
	Sequence uint64
}

// A DedupWindow bounds what an engine remembers of a log's producers.
type DedupWindow struct {
	Acks      int           // of each producer, the latest
	MaxAge    time.Duration // of a producer's latest batch
	Producers int           // of each log, those that were active last
}

// An Ack says where a batch stands: its records have the offsets from First up
// to but not including Next.
type Ack struct {
	First, Next uint64
	Time        time.Time // the timestamp of its records
	Duplicate   bool      // nothing was appended now: this is the ack of an earlier batch with the same producer sequence
}

// A CommitLog is an append-only sequence of records. All methods are safe for
// concurrent use.
type CommitLog interface {
	// Append appends batches in order and returns when the outcome of each is
	// decided. The first batch that fails ends the call: acks are those of the
	// batches before it, err is why it failed, and nothing after it is appended.
	// Concurrent calls are ordered in some way, and the batches of one call may
	// have those of others between them.
	//
	// A batch is judged in this order: limits ([*TooLargeError],
	// [*InvalidBatchError]); a sequence that its producer had before, which is
	// answered with the first ack, or is [*SequenceReusedError] or
	// [*SequenceForgottenError]; a lower epoch ([*FencedError]); a log that is
	// sealed ([*LogSealedError]); a sequence that is not the next
	// ([*SequenceGapError]); the expected offset ([*OffsetMismatchError]); room
	// ([ErrStorageFull]). A refused batch does not use up its sequence.
	//
	// An acked batch is durable, and so is all before it. An error that is
	// [ErrOutcomeUnknown] leaves open whether the failed batch is, or will be
	// found to be, in the log: a cancelled context or a failed disk. After every
	// other error the failed batch is not in the log and never will be.
	//
	// It blocks while the engine makes the records durable. The context bounds
	// the wait only.
	Append(ctx context.Context, batches ...Batch) (acks []Ack, err error)

	// Read returns records from the offset on, as many as exist, are durable
	// and fit max, and at least one. The run takes the place of what buf holds,
	// in its array if that is large enough, so that a caller can reuse it.
	//
	// It never waits. Errors: [*OffsetError] if from is not within the bounds;
	// [ErrOverloaded] if it can be tried again; [*DamagedError] if the record at from is damaged (a run ends before a
	// damaged record, and never steps over one); [ErrStorageFailed] if only a
	// restart can tell, or bring it back.
	Read(ctx context.Context, from uint64, max ReadLimit, buf []byte) (Run, error)

	// Wait returns when the log's next offset is above the given one, with the
	// bounds then. It never polls. Errors: the context's; [ErrClosed] when the
	// engine closes; [*LogSealedError] when the log has ended at or below offset;
	// [*LogNotFoundError] when the log is deleted, whatever the offset.
	Wait(ctx context.Context, offset uint64) (Bounds, error)

	// Bounds returns the bounds of what is durable. It does not block.
	Bounds() Bounds

	// ID returns the log's identity: random, given at creation.
	ID() string

	// FindTime returns the offset of the first record with this timestamp or a
	// later one; the next offset if there is none. Errors: [*DamagedError];
	// [ErrStorageFailed] as of Read.
	FindTime(ctx context.Context, t time.Time) (offset uint64, err error)

	// Info describes the log.
	Info(ctx context.Context) (Info, error)

	// Trim removes the records below an offset, all of them if it is beyond the
	// end, and returns the log's first offset then. It is durable on return, and
	// never undone. Offsets below it are trimmed from then on, also for those
	// who read at this moment. A lower offset than the first changes nothing.
	Trim(ctx context.Context, first uint64) (uint64, error)
}

// Info describes a log as it is at one moment.
type Info struct {
	Name string
	ID   string
	Bounds
	Bytes     uint64    // that the log takes in storage, about; what was removed may count until its space is given back
	FirstTime time.Time // timestamp of the first record; zero in an empty log
	LastTime  time.Time // timestamp of the last record ever appended; zero if there was none
	Settings
}

// Settings are what can be set of a log.
type Settings struct {
	Retention Retention
	Sealed    bool // the log takes no more records, ever
}

// Retention says how long records are kept. Whatever is exceeded first removes
// the oldest records, by itself and soon. A zero field is no bound.
type Retention struct {
	MaxAge   time.Duration
	MaxBytes uint64
}

// A Change says what to set of a log; a nil field stays as it is.
type Change struct {
	Retention *Retention
	Sealed    *bool
}

// A ReadLimit bounds a run. A zero field is no bound. One record is always
// returned, whatever its size.
type ReadLimit struct {
	Records int
	Bytes   int // of the run's encoding
}

// A Run is a sequence of records at contiguous offsets, encoded as envelopes
// (see encoding.go). It refers to the buffer given to Read.
type Run struct {
	First, Next uint64 // the offsets in the run: from First up to but not including Next
	Envelopes   []byte
	// Tail says that the run reached the end of the log: when it was read, the
	// record at Next did not exist.
	Tail bool
}

// An Engine is a set of named logs. The empty name is the default log, which
// always exists. All methods are safe for concurrent use.
//
// Whoever composed an engine closes it; that is why Close is not here.
type Engine interface {
	// Log returns the log of that name. Error: [*LogNotFoundError].
	Log(ctx context.Context, name string) (CommitLog, error)

	// Put makes the log of that name if there is none, and changes its settings.
	// It is durable on return. A log that takes the name of a deleted one goes on
	// behind its offsets, with an identity of its own. Errors:
	// [*InvalidLogNameError]; [ErrUnseal] for a change that would unseal.
	Put(ctx context.Context, name string, change Change) (log CommitLog, created bool, err error)

	// Delete removes the log of that name with its records. It is durable on
	// return. Errors: [*LogNotFoundError]; [ErrDeleteDefault].
	Delete(ctx context.Context, name string) error

	// List returns logs whose names start with prefix and are above after, in
	// byte order, at most max of them, and whether there are more. The default
	// log, whose name is empty, is in it if after is nil.
	List(ctx context.Context, prefix string, after *string, max int) (logs []Info, more bool, err error)

	// Check returns nil if the engine takes appends, or why it does not.
	Check() error

	// Capabilities say what the engine can do. They never change.
	Capabilities() Capabilities
}

// Capabilities are what an engine can do beyond the least. What it lacks it
// refuses with [*UnsupportedError]; it never imitates.
type Capabilities struct {
	ExpectedOffset bool
	Producers      bool
	NamedLogs      bool
	Trim           bool // Trim, Delete and retention
	Seal           bool
	FindTime       bool
	Durability     Durability
	Dedup          DedupWindow
}

// Durability says what an ack means.
type Durability int

// An engine's ack means one of these.
const (
	InMemory     Durability = iota // gone with the process; for tests
	Synced                         // synced to this machine's disk
	QuorumSynced                   // synced to the disks of a quorum
)

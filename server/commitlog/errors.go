package commitlog

import (
	"errors"
	"fmt"
)

// ErrOutcomeUnknown is the one error that leaves an append undecided: the
// batch may be in the log, or be found there after a restart. It wraps the
// cause. After every other error of Append nothing of the batch was appended.
var ErrOutcomeUnknown = errors.New("outcome unknown")

// OutcomeUnknown wraps a cause so that it is [ErrOutcomeUnknown].
func OutcomeUnknown(cause error) error {
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause)
}

var (
	// ErrClosed: the engine was closed or is closing.
	ErrClosed = errors.New("closed")
	// ErrOverloaded: too much waits to be appended, or too many files are open;
	// try later.
	ErrOverloaded = errors.New("overloaded")
	// ErrStorageFull: there is no room for records. Reads go on, and appends
	// resume by themselves when there is room.
	ErrStorageFull = errors.New("storage full")
	// ErrStorageFailed: a write or sync failed. Reads go on; appends need a
	// restart, since after a failed sync nobody knows what the disk holds.
	ErrStorageFailed = errors.New("storage failed, appends need a restart")
)

var (
	// ErrUnseal: a sealed log stays sealed.
	ErrUnseal = errors.New("a sealed log cannot be unsealed")
	// ErrDeleteDefault: the default log always exists.
	ErrDeleteDefault = errors.New("the default log cannot be deleted")
)

// FencedError reports a producer whose epoch is below the one in force.
type FencedError struct{ Epoch uint64 }

func (e *FencedError) Error() string {
	return fmt.Sprintf("a producer with this id and the higher epoch %d is in force", e.Epoch)
}

// SequenceGapError reports a sequence that is not the next one.
type SequenceGapError struct {
	Epoch    uint64 // in force
	Expected uint64
}

func (e *SequenceGapError) Error() string {
	if e.Expected == 0 {
		return "an epoch begins with sequence 0"
	}
	return fmt.Sprintf("sequence %d of epoch %d was expected", e.Expected, e.Epoch)
}

// SequenceForgottenError reports a sequence that was, or may have been, appended
// so long ago that its ack is forgotten. Nothing was appended now.
type SequenceForgottenError struct {
	Expected uint64 // the producer's next sequence; 0 if the producer is forgotten
}

func (e *SequenceForgottenError) Error() string {
	return fmt.Sprintf("the outcome of this sequence is forgotten; the next is %d", e.Expected)
}

// SequenceReusedError reports a sequence that came before with other records.
type SequenceReusedError struct{ Sequence uint64 }

func (e *SequenceReusedError) Error() string {
	return fmt.Sprintf("sequence %d came before with other records", e.Sequence)
}

// OffsetError reports an offset that cannot be read: below Bounds.First it was
// trimmed, from Bounds.Next on it is not yet written.
type OffsetError struct {
	Offset uint64
	Bounds Bounds
}

func (e *OffsetError) Error() string {
	if e.Trimmed() {
		return fmt.Sprintf("offset %d is trimmed: the log begins at %d", e.Offset, e.Bounds.First)
	}
	return fmt.Sprintf("offset %d is not yet written: the log's next offset is %d", e.Offset, e.Bounds.Next)
}

// Trimmed says whether the offset is below the first.
func (e *OffsetError) Trimmed() bool { return e.Offset < e.Bounds.First }

// OffsetMismatchError reports an ExpectedOffset that was not the next one.
type OffsetMismatchError struct {
	Expected, Next uint64
}

func (e *OffsetMismatchError) Error() string {
	return fmt.Sprintf("expected offset %d, but the log's next offset is %d", e.Expected, e.Next)
}

// TooLargeError reports a request over a limit.
type TooLargeError struct {
	What  string // what was measured, with its unit, such as "value bytes"
	Size  uint64
	Limit uint64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%d %s are over the limit of %d", e.Size, e.What, e.Limit)
}

// InvalidBatchError reports a batch that no log can hold.
type InvalidBatchError struct {
	Why string
}

func (e *InvalidBatchError) Error() string { return "invalid batch: " + e.Why }

// DamagedError reports records that the disk no longer holds as they were
// written: the offsets from First up to but not including Next. Its text is for
// the operator: it may name files, and never goes to a client.
type DamagedError struct {
	First, Next uint64
	Cause       error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("records from %d up to %d are damaged: %v", e.First, e.Next, e.Cause)
}

func (e *DamagedError) Unwrap() error { return e.Cause }

// LogNotFoundError reports a name that no log has.
type LogNotFoundError struct{ Name string }

func (e *LogNotFoundError) Error() string { return fmt.Sprintf("there is no log %q", e.Name) }

// LogSealedError reports that a log has ended: its next offset stays.
type LogSealedError struct{ Next uint64 }

func (e *LogSealedError) Error() string {
	return fmt.Sprintf("the log is sealed at offset %d", e.Next)
}

// InvalidLogNameError reports a name that breaks the rules of [CheckLogName].
type InvalidLogNameError struct {
	Why string
}

func (e *InvalidLogNameError) Error() string { return "invalid log name: " + e.Why }

// UnsupportedError reports a capability that the engine lacks.
type UnsupportedError struct{ Capability string }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("this engine does not support %s", e.Capability)
}

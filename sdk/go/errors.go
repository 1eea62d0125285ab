package proglog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"connectrpc.com/connect/v2"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// Every error of Produce, ProduceBatch, Send, and of a future that is done is
// exactly one of these two, by [errors.Is]. The [*Error] beneath says why.
var (
	// ErrNothingAppended: the records are certainly not in the log. Sending
	// them again cannot double them.
	ErrNothingAppended = errors.New("nothing appended")
	// ErrOutcomeUnknown: nobody told whether the records are in the log. They
	// may be there already, or appear; reading the log is the way to know.
	ErrOutcomeUnknown = errors.New("outcome unknown")
)

// ErrClosed is the error of a call on a client or producer after its Close.
var ErrClosed = errors.New("closed")

// Error says why a call failed. Decide by Reason, then by Code.
//
// It is found with [errors.As], or with [ReasonOf] and [CodeOf].
type Error struct {
	// Code is the status code.
	Code Code
	// Reason is the server's reason; ReasonUnspecified for an error that the
	// server did not raise itself.
	Reason Reason
	// Message is for people. It is not stable.
	Message string
	// FromServer: the server said this. Otherwise the connection failed, HTTP
	// answered in its place, or the error arose in this process.
	FromServer bool
	// NothingAppended: this call appended nothing, for certain.
	NothingAppended bool

	// FirstOffset and NextOffset are the log's bounds with ReasonOffsetTrimmed
	// and ReasonOffsetUnwritten, and the damaged range with ReasonDataDamaged.
	// NextOffset alone goes with ReasonOffsetMismatch and ReasonLogSealed.
	FirstOffset, NextOffset uint64
	// Epoch is the one in force, with ReasonProducerFenced.
	Epoch uint64
	// Sequence is the one expected, with ReasonSequenceGap.
	Sequence uint64
	// Limit is what was exceeded, with ReasonTooLarge.
	Limit uint64
	// Incident names the line in the server's log that holds the cause, with
	// ReasonInternal.
	Incident string

	permanent bool   // trying again cannot help, whatever the code says
	status    int    // the HTTP status that came in the place of the server's answer; 0: none
	behind    *Error // it was not looked at because of this failure before it
	cause     error
}

// Error returns the code, the reason if there is one, and the message.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Code.String())
	if e.Reason != ReasonUnspecified {
		b.WriteString(" (" + e.Reason.String() + ")")
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Incident != "" {
		b.WriteString(" (incident " + e.Incident + ")")
	}
	return b.String()
}

// Unwrap returns the cause, so that [context.Canceled], for one, is found.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of the [*Error] in err; CodeUnknown if there is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeUnknown
}

// ReasonOf returns the reason of the [*Error] in err; ReasonUnspecified if
// there is none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ReasonUnspecified
}

// outcome wraps the error of a write in the one of [ErrNothingAppended] and
// [ErrOutcomeUnknown] that is true.
func outcome(e *Error) error {
	if e.NothingAppended {
		return fmt.Errorf("%w: %w", ErrNothingAppended, e)
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, e)
}

// refused is an error that arises before anything is sent.
func refused(code Code, reason Reason, format string, args ...any) *Error {
	return &Error{
		Code: code, Reason: reason, Message: fmt.Sprintf(format, args...),
		NothingAppended: true, permanent: true,
	}
}

// Code is a status code; its numbers are those of Connect and gRPC.
type Code uint32

// The status codes.
const (
	CodeCanceled           Code = 1
	CodeUnknown            Code = 2
	CodeInvalidArgument    Code = 3
	CodeDeadlineExceeded   Code = 4
	CodeNotFound           Code = 5
	CodeAlreadyExists      Code = 6
	CodePermissionDenied   Code = 7
	CodeResourceExhausted  Code = 8
	CodeFailedPrecondition Code = 9
	CodeAborted            Code = 10
	CodeOutOfRange         Code = 11
	CodeUnimplemented      Code = 12
	CodeInternal           Code = 13
	CodeUnavailable        Code = 14
	CodeDataLoss           Code = 15
	CodeUnauthenticated    Code = 16
)

// String returns the code as Connect writes it, such as "out_of_range".
func (c Code) String() string { return connect.Code(c).String() }

// Reason says why the server refused or failed; its numbers are those of
// log.v1.Reason. A newer server may know reasons that are not listed here.
type Reason int32

// The reasons, each with the code it comes with.
const (
	ReasonUnspecified       Reason = 0  // none was told
	ReasonInternal          Reason = 1  // CodeInternal: Incident names the cause
	ReasonInvalidRequest    Reason = 2  // CodeInvalidArgument
	ReasonNoRecord          Reason = 3  // CodeInvalidArgument: an empty batch
	ReasonTooLarge          Reason = 4  // CodeInvalidArgument: over Limit
	ReasonInvalidLogName    Reason = 5  // CodeInvalidArgument
	ReasonLogNotFound       Reason = 6  // CodeNotFound
	ReasonLogChanged        Reason = 7  // CodeFailedPrecondition: another log has the name now
	ReasonLogSealed         Reason = 8  // CodeFailedPrecondition: the log takes no more records
	ReasonNotAllowedOnLog   Reason = 9  // CodeFailedPrecondition
	ReasonOffsetTrimmed     Reason = 10 // CodeOutOfRange: below FirstOffset
	ReasonOffsetUnwritten   Reason = 11 // CodeOutOfRange: NextOffset or beyond
	ReasonOffsetMismatch    Reason = 12 // CodeAborted: ExpectOffset was not met
	ReasonProducerFenced    Reason = 13 // CodeFailedPrecondition: Epoch is in force
	ReasonSequenceGap       Reason = 14 // CodeAborted: Sequence was expected
	ReasonSequenceForgotten Reason = 15 // CodeFailedPrecondition
	ReasonSequenceReused    Reason = 16 // CodeInvalidArgument
	ReasonOverloaded        Reason = 17 // CodeResourceExhausted: try later
	ReasonStorageFull       Reason = 18 // CodeResourceExhausted: the disk is full
	ReasonDraining          Reason = 19 // CodeUnavailable: the server is stopping
	ReasonStorageFailed     Reason = 20 // CodeUnavailable: the server needs a restart
	ReasonNoQuorum          Reason = 21 // CodeUnavailable: too few replicas answer
	ReasonDataDamaged       Reason = 22 // CodeDataLoss: FirstOffset up to NextOffset
	ReasonUnsupported       Reason = 23 // CodeUnimplemented
	ReasonUnauthenticated   Reason = 24 // CodeUnauthenticated
	ReasonPermissionDenied  Reason = 25 // CodePermissionDenied
	ReasonDeadline          Reason = 26 // CodeDeadlineExceeded
	ReasonCanceled          Reason = 27 // CodeCanceled
)

// String returns the reason as the contract writes it, such as
// "OFFSET_TRIMMED"; of one that is not known, its number.
func (r Reason) String() string {
	name, ok := logv1.Reason_name[int32(r)]
	if !ok {
		return strconv.Itoa(int(r))
	}
	return strings.TrimPrefix(name, "REASON_")
}

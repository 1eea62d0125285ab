package rpc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// A refusal is an error that this package itself raises: a request out of form,
// or a server that cannot take it. Its text goes to the client.
type refusal struct {
	code   connect.Code
	reason logv1.Reason
	text   string
	limit  *uint64 // that was exceeded; nil: none
}

func (r *refusal) Error() string { return r.text }

func invalid(reason logv1.Reason, format string, args ...any) error {
	return &refusal{code: connect.CodeInvalidArgument, reason: reason, text: fmt.Sprintf(format, args...)}
}

// outside refuses a time beyond a limit, which is told in milliseconds.
func outside(limit time.Duration, format string, args ...any) error {
	ms := uint64(limit.Milliseconds())
	return &refusal{connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_REQUEST, fmt.Sprintf(format, args...), &ms}
}

func unsupported(what string) error {
	return &refusal{code: connect.CodeUnimplemented, reason: logv1.Reason_REASON_UNSUPPORTED, text: "this server does not support " + what}
}

func draining() error {
	return &refusal{code: connect.CodeUnavailable, reason: logv1.Reason_REASON_DRAINING, text: "the server is stopping; reconnect"}
}

func logChanged() error {
	return &refusal{code: connect.CodeFailedPrecondition, reason: logv1.Reason_REASON_LOG_CHANGED, text: "another log has taken this name"}
}

// libraryError keeps the code of an error of the protocol library, and its text
// up to where that tells of the library's own parts.
func libraryError(e *connect.Error) error {
	text := e.Message()
	switch {
	case strings.HasPrefix(text, "get decompressor: "), strings.HasPrefix(text, "decompress: "):
		text = "the message is not compressed as its headers say"
	case strings.HasPrefix(text, "protocol error: incomplete envelope"):
		text = "protocol error: incomplete envelope"
	case strings.HasPrefix(text, "unmarshal message: "):
		text = strings.TrimPrefix(text, "unmarshal message: ")
		text = "the message cannot be decoded: " + strings.TrimLeft(strings.TrimPrefix(text, "proto:"), " \u00a0")
	}
	text, _, _ = strings.Cut(text, " - unable to determine")
	return connect.NewError(e.Code(), text).WithCause(e)
}

// A verdict is what an error is on the wire.
type verdict struct {
	code   connect.Code
	detail *logv1.ErrorDetail
	text   string

	undecided bool // a write that failed like this may have appended something
	unmapped  bool // nothing here knows the error: the server's log has to
}

// newVerdict makes the verdict that most errors need.
func newVerdict(code connect.Code, reason logv1.Reason, text string) verdict {
	return verdict{code: code, detail: &logv1.ErrorDetail{Reason: reason}, text: text}
}

// judge is the one place where errors of the engine, of the context and of this
// package get their code, reason, numbers and text. Every text is written for
// the client: it holds no path, address, Go type or other caller's data.
func judge(err error) verdict {
	if v, ok := judgeOutcome(err); ok {
		return v
	}
	if r, ok := errors.AsType[*refusal](err); ok {
		v := newVerdict(r.code, r.reason, r.text)
		v.detail.Limit = r.limit
		return v
	}
	if v, ok := judgeState(err); ok {
		return v
	}
	if v, ok := judgeRequest(err); ok {
		return v
	}
	if v, ok := judgeProducer(err); ok {
		return v
	}
	if v, ok := judgeLog(err); ok {
		return v
	}
	v := newVerdict(connect.CodeInternal, logv1.Reason_REASON_INTERNAL, "internal error")
	v.undecided, v.unmapped = true, true
	return v
}

// judgeOutcome maps what leaves a write undecided, or may do so.
func judgeOutcome(err error) (verdict, bool) {
	var v verdict
	switch {
	case errors.Is(err, context.Canceled):
		v = newVerdict(connect.CodeCanceled, logv1.Reason_REASON_CANCELED, "the call was cancelled")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		v = newVerdict(connect.CodeDeadlineExceeded, logv1.Reason_REASON_DEADLINE, "the deadline of the call passed")
	case errors.Is(err, commitlog.ErrOutcomeUnknown) && errors.Is(err, commitlog.ErrClosed):
		v = judge(draining())
	case errors.Is(err, commitlog.ErrOutcomeUnknown):
		v = newVerdict(connect.CodeUnavailable, logv1.Reason_REASON_STORAGE_FAILED,
			"the storage failed meanwhile; whether the call took effect is unknown")
	default:
		return v, false
	}
	v.undecided = true
	return v, true
}

// judgeState maps what is wrong with the server rather than with the request.
func judgeState(err error) (verdict, bool) {
	switch {
	case errors.Is(err, commitlog.ErrClosed):
		return judge(draining()), true
	case errors.Is(err, commitlog.ErrOverloaded):
		return newVerdict(connect.CodeResourceExhausted, logv1.Reason_REASON_OVERLOADED,
			"too much waits to be appended; try later"), true
	case errors.Is(err, commitlog.ErrStorageFull):
		return newVerdict(connect.CodeResourceExhausted, logv1.Reason_REASON_STORAGE_FULL,
			"the storage is full; reads go on, and appends when there is room"), true
	case errors.Is(err, commitlog.ErrStorageFailed):
		return newVerdict(connect.CodeUnavailable, logv1.Reason_REASON_STORAGE_FAILED,
			"the storage has failed; the server needs a restart"), true
	}
	if e, ok := errors.AsType[*commitlog.DamagedError](err); ok {
		v := newVerdict(connect.CodeDataLoss, logv1.Reason_REASON_DATA_DAMAGED,
			fmt.Sprintf("the records from offset %d up to %d are damaged", e.First, e.Next))
		v.detail.FirstOffset, v.detail.NextOffset = &e.First, &e.Next
		return v, true
	}
	return verdict{}, false
}

// judgeRequest maps what the log makes of a request.
func judgeRequest(err error) (verdict, bool) {
	if e, ok := errors.AsType[*commitlog.OffsetError](err); ok {
		reason := logv1.Reason_REASON_OFFSET_UNWRITTEN
		if e.Trimmed() {
			reason = logv1.Reason_REASON_OFFSET_TRIMMED
		}
		v := newVerdict(connect.CodeOutOfRange, reason, e.Error())
		v.detail.FirstOffset, v.detail.NextOffset = &e.Bounds.First, &e.Bounds.Next
		return v, true
	}
	if e, ok := errors.AsType[*commitlog.OffsetMismatchError](err); ok {
		v := newVerdict(connect.CodeAborted, logv1.Reason_REASON_OFFSET_MISMATCH, e.Error())
		v.detail.NextOffset = &e.Next
		return v, true
	}
	if e, ok := errors.AsType[*commitlog.TooLargeError](err); ok {
		v := newVerdict(connect.CodeInvalidArgument, logv1.Reason_REASON_TOO_LARGE, e.Error())
		v.detail.Limit = &e.Limit
		return v, true
	}
	if e, ok := errors.AsType[*commitlog.InvalidBatchError](err); ok {
		return newVerdict(connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_REQUEST, e.Error()), true
	}
	if e, ok := errors.AsType[*commitlog.UnsupportedError](err); ok {
		return newVerdict(connect.CodeUnimplemented, logv1.Reason_REASON_UNSUPPORTED, e.Error()), true
	}
	return verdict{}, false
}

// judgeProducer maps what the log makes of a producer's sequence.
func judgeProducer(err error) (verdict, bool) {
	if e, ok := errors.AsType[*commitlog.FencedError](err); ok {
		v := newVerdict(connect.CodeFailedPrecondition, logv1.Reason_REASON_PRODUCER_FENCED, e.Error())
		v.detail.Epoch = &e.Epoch
		return v, true
	}
	if e, ok := errors.AsType[*commitlog.SequenceGapError](err); ok {
		v := newVerdict(connect.CodeAborted, logv1.Reason_REASON_SEQUENCE_GAP, e.Error())
		v.detail.Epoch, v.detail.Sequence = &e.Epoch, &e.Expected
		return v, true
	}
	if e, ok := errors.AsType[*commitlog.SequenceForgottenError](err); ok {
		v := newVerdict(connect.CodeFailedPrecondition, logv1.Reason_REASON_SEQUENCE_FORGOTTEN, e.Error())
		v.detail.Sequence = &e.Expected
		v.undecided = true // this call appended nothing, but what it repeats may have: no client shall go on from here
		return v, true
	}
	if e, ok := errors.AsType[*commitlog.SequenceReusedError](err); ok {
		return newVerdict(connect.CodeInvalidArgument, logv1.Reason_REASON_SEQUENCE_REUSED, e.Error()), true
	}
	return verdict{}, false
}

// judgeLog maps what stands against a request in the log that it names.
func judgeLog(err error) (verdict, bool) {
	if e, ok := errors.AsType[*commitlog.LogSealedError](err); ok {
		v := newVerdict(connect.CodeFailedPrecondition, logv1.Reason_REASON_LOG_SEALED, e.Error())
		v.detail.NextOffset = &e.Next
		return v, true
	}
	if e, ok := errors.AsType[*commitlog.LogNotFoundError](err); ok {
		return newVerdict(connect.CodeNotFound, logv1.Reason_REASON_LOG_NOT_FOUND, e.Error()), true
	}
	if e, ok := errors.AsType[*commitlog.InvalidLogNameError](err); ok {
		return newVerdict(connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_LOG_NAME, e.Error()), true
	}
	for _, cause := range []error{commitlog.ErrUnseal, commitlog.ErrDeleteDefault} {
		if errors.Is(err, cause) {
			return newVerdict(connect.CodeFailedPrecondition, logv1.Reason_REASON_NOT_ALLOWED_ON_LOG, cause.Error()), true
		}
	}
	return verdict{}, false
}

// wire makes the error that the protocol library sends. A write that is not
// undecided appended nothing, and says so. The cause stays in this process.
func (v verdict) wire(write bool, cause error) error {
	v.detail.NothingAppended = write && !v.undecided
	err := connect.NewError(v.code, v.text).WithCause(cause)
	detail, marshalErr := connectproto.NewErrorDetail(v.detail)
	if marshalErr != nil {
		return err // a detail of our own always marshals; without it the code still tells
	}
	return err.WithDetail(detail)
}

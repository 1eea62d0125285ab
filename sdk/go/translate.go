package proglog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// translate makes the library's error ours: what the server said, what HTTP
// answered in its place, or how the connection failed. ctx is that of the call.
func translate(ctx context.Context, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Code: CodeUnknown, Message: err.Error(), cause: err}
	ce, ok := errors.AsType[*connect.Error](err)
	if ok {
		e.Code, e.Message = Code(ce.Code()), ce.Message()
	}
	switch status := httpStatus(ctx); {
	case ok && ce.IsRemote():
		e.FromServer = true
		e.readDetail(ce)
	case status != 0 && status != http.StatusOK:
		e.readStatus(status)
	default:
		e.readTransport(err, notUnderstood(ctx, err))
		// A response, however short, means that the request was looked at.
		e.NothingAppended = e.NothingAppended && (status == 0 || e.permanent) || status == 0 && neverSent(ctx)
	}
	// The library reports a context's end in several shapes, and not all of
	// them can be found by errors.Is.
	if ctxErr := ctx.Err(); ctxErr != nil {
		why := context.Cause(ctx) // the caller's own, or that the client was closed
		e.cause = errors.Join(err, ctxErr, why)
		if !e.FromServer {
			e.Code, e.permanent = CodeCanceled, true
			if errors.Is(ctxErr, context.DeadlineExceeded) {
				e.Code = CodeDeadlineExceeded
			} else if errors.Is(why, ErrClosed) {
				e.Message = clientClosed
			}
		}
	}
	return e
}

// notSent is the error of a write whose context ended before anything was sent.
func notSent(ctx context.Context) *Error {
	e := translate(ctx, ctx.Err())
	e.NothingAppended = true
	return e
}

// readDetail takes the typed detail of an error that the server raised.
func (e *Error) readDetail(ce *connect.Error) {
	for _, d := range ce.Details() {
		msg, err := connectproto.UnmarshalErrorDetail(d)
		if err != nil {
			continue // a type of another program's
		}
		detail, ok := msg.(*logv1.ErrorDetail)
		if !ok {
			continue
		}
		e.Reason = Reason(detail.GetReason())
		e.NothingAppended = detail.GetNothingAppended()
		e.FirstOffset, e.NextOffset = detail.GetFirstOffset(), detail.GetNextOffset()
		e.Epoch, e.Sequence = detail.GetEpoch(), detail.GetSequence()
		e.Limit, e.Incident = detail.GetLimit(), detail.GetIncident()
		return
	}
	// The protocol library raised it, before the request reached the log: a
	// message it could not read or found too large, a method it does not know.
	switch e.Code {
	case CodeInvalidArgument, CodeUnimplemented, CodeResourceExhausted,
		CodeUnauthenticated, CodePermissionDenied, CodeNotFound:
		e.NothingAppended = true
	}
}

// readStatus handles an answer of HTTP itself: of the server before it came to
// the call, of a proxy, or of something else that listens at that address.
func (e *Error) readStatus(status int) {
	e.status = status
	e.Message = fmt.Sprintf("the server answered HTTP %d %s", status, http.StatusText(status))
	switch status {
	case http.StatusHTTPVersionNotSupported:
		e.Code = CodeUnimplemented
		e.Message += ": " + needsHTTP2
		e.NothingAppended, e.permanent = true, true
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.Code = CodeUnavailable
	default:
		e.permanent = true
	}
	e.NothingAppended = e.NothingAppended || refusedByStatus(status)
}

// refusedByStatus says whether a unary call with this answer was answered in the
// place of being passed on, so that nothing was appended. Of the statuses that are
// not the server's own word these do, in every SDK: redirects, and those that refuse a
// caller, a path, a method, a protocol, the form of the header or a size before anything
// looks at the request; 505 too, which is judged before this.
//
// A stream is passed on while it lasts: what was sent over it before the status came
// may be in the log, whatever the status. Only a refusal of HTTP/1.1 itself (505)
// comes before that. See judgeStatus.
func refusedByStatus(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusProxyAuthRequired,
		http.StatusLengthRequired, http.StatusRequestEntityTooLarge,
		http.StatusRequestURITooLong, http.StatusUnsupportedMediaType,
		http.StatusMisdirectedRequest, http.StatusUpgradeRequired,
		http.StatusPreconditionRequired, http.StatusTooManyRequests, http.StatusRequestHeaderFieldsTooLarge:
		return true
	}
	return status >= 300 && status < 400
}

// readTransport judges a failure of the connection: did the request leave, and
// can another try help?
func (e *Error) readTransport(err error, preface *prefaceError) {
	if e.Code == CodeUnimplemented { // the library's word on a stream over HTTP/1.1
		e.readStatus(http.StatusHTTPVersionNotSupported)
		return
	}
	var (
		dial    *net.OpError
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		stream  streamError
		isReset = errors.As(err, &stream)
	)
	switch {
	case preface != nil:
		e.Code, e.Message = CodeUnavailable, preface.Error()
		e.NothingAppended, e.permanent = preface.other, preface.other && !preface.spoken
	case errors.As(err, &cert), errors.Is(err, http.ErrSchemeMismatch):
		e.NothingAppended, e.permanent = true, true
	case errors.As(err, &dial) && dial.Op == "dial", errors.As(err, &dns),
		isReset && stream.Code == refusedStream:
		e.Code, e.NothingAppended = CodeUnavailable, true
	case e.Code == CodeInvalidArgument, e.Code == CodeResourceExhausted && !isReset:
		e.permanent = true // a response that cannot be read, and would come again
	case e.Code == CodeCanceled, e.Code == CodeInternal, e.Code == CodeUnknown:
		e.Code = CodeUnavailable // what the library calls a connection that broke
	}
}

// streamError has the shape of net/http's own error for a reset stream, which
// fills any struct of that shape on errors.As.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "HTTP/2 stream reset" }

// refusedStream is the reset code by which a server promises that it did not
// look at the request (RFC 9113, section 8.7).
const refusedStream = 0x7

// httpStatus returns the status of the response to the call; 0 if none came.
func httpStatus(ctx context.Context) int {
	info, ok := connecthttp.ClientInfoForContext(ctx)
	if !ok {
		return 0
	}
	return info.ResponseStatus()
}

// fate says what another try of a failed call can bring.
type fate int

const (
	final    fate = iota // the same
	doubtful             // perhaps something else: a few tries are worth it
	passing              // success, in time
)

// fate judges an error of a read, or of a write that the server knows when it
// comes twice.
func (e *Error) fate() fate {
	if e.permanent {
		return final
	}
	switch e.Reason {
	case ReasonDraining, ReasonOverloaded, ReasonStorageFull, ReasonStorageFailed,
		ReasonNoQuorum, ReasonDeadline, ReasonCanceled:
		return passing
	case ReasonOffsetMismatch, ReasonSequenceGap:
		return final // the server's last word on this request, under a code that is doubtful elsewhere
	}
	switch e.Code {
	case CodeUnavailable, CodeResourceExhausted, CodeCanceled, CodeDeadlineExceeded:
		return passing
	case CodeInternal, CodeUnknown, CodeAborted:
		return doubtful
	}
	return final
}

// tooLong recognises a message over the transport's limit, RESOURCE_EXHAUSTED
// without a reason: it will be over it for ever.
func (e *Error) tooLong() bool {
	return e.FromServer && e.Code == CodeResourceExhausted && e.Reason == ReasonUnspecified
}

// mayRetryWrite says whether a failed write without an identity can be sent
// again: it provably did not happen, and what prevented it can pass.
func (e *Error) mayRetryWrite() bool {
	if !e.NothingAppended || e.permanent || e.FromServer && e.Reason == ReasonUnspecified {
		return false
	}
	return e.Code == CodeUnavailable || e.Code == CodeResourceExhausted
}

// brokenPromise is the error of an answer that the contract rules out.
func brokenPromise(format string, args ...any) *Error {
	return &Error{Code: CodeInternal, Message: "the server broke the contract: " + fmt.Sprintf(format, args...), permanent: true}
}

// isEOF recognises the end of a stream that the server ended without an error.
// Ends of connections are errors of the library that wrap [io.ErrUnexpectedEOF].
func isEOF(err error) bool { return errors.Is(err, io.EOF) }

package proglog_test

import (
	"fmt"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// Goal: a write that goes alone is sent again for exactly the reasons that pass,
// or may pass, and for none that would only be told once more. The table has
// every reason of the contract, so that a new one has to be judged.
func TestReasonsOfAnotherTry(t *testing.T) {
	again := map[logv1.Reason]connect.Code{
		logv1.Reason_REASON_INTERNAL:       connect.CodeInternal,
		logv1.Reason_REASON_OVERLOADED:     connect.CodeResourceExhausted,
		logv1.Reason_REASON_STORAGE_FULL:   connect.CodeResourceExhausted,
		logv1.Reason_REASON_DRAINING:       connect.CodeUnavailable,
		logv1.Reason_REASON_STORAGE_FAILED: connect.CodeUnavailable,
		logv1.Reason_REASON_NO_QUORUM:      connect.CodeUnavailable,
		logv1.Reason_REASON_DEADLINE:       connect.CodeDeadlineExceeded, // not the caller's, which is still there
		logv1.Reason_REASON_CANCELED:       connect.CodeCanceled,
	}
	once := map[logv1.Reason]connect.Code{
		logv1.Reason_REASON_UNSPECIFIED:        connect.CodeResourceExhausted, // too large for the transport
		logv1.Reason_REASON_INVALID_REQUEST:    connect.CodeInvalidArgument,
		logv1.Reason_REASON_NO_RECORD:          connect.CodeInvalidArgument,
		logv1.Reason_REASON_TOO_LARGE:          connect.CodeInvalidArgument,
		logv1.Reason_REASON_INVALID_LOG_NAME:   connect.CodeInvalidArgument,
		logv1.Reason_REASON_LOG_NOT_FOUND:      connect.CodeNotFound,
		logv1.Reason_REASON_LOG_CHANGED:        connect.CodeFailedPrecondition,
		logv1.Reason_REASON_LOG_SEALED:         connect.CodeFailedPrecondition,
		logv1.Reason_REASON_NOT_ALLOWED_ON_LOG: connect.CodeFailedPrecondition,
		logv1.Reason_REASON_OFFSET_TRIMMED:     connect.CodeOutOfRange,
		logv1.Reason_REASON_OFFSET_UNWRITTEN:   connect.CodeOutOfRange,
		logv1.Reason_REASON_OFFSET_MISMATCH:    connect.CodeAborted,
		logv1.Reason_REASON_PRODUCER_FENCED:    connect.CodeFailedPrecondition,
		logv1.Reason_REASON_SEQUENCE_GAP:       connect.CodeAborted,
		logv1.Reason_REASON_SEQUENCE_FORGOTTEN: connect.CodeFailedPrecondition,
		logv1.Reason_REASON_SEQUENCE_REUSED:    connect.CodeInvalidArgument,
		logv1.Reason_REASON_DATA_DAMAGED:       connect.CodeDataLoss,
		logv1.Reason_REASON_UNSUPPORTED:        connect.CodeUnimplemented,
		logv1.Reason_REASON_UNAUTHENTICATED:    connect.CodeUnauthenticated,
		logv1.Reason_REASON_PERMISSION_DENIED:  connect.CodePermissionDenied,
	}
	for number := range logv1.Reason_name {
		reason := logv1.Reason(number)
		code, passes := again[reason]
		if !passes {
			var ok bool
			code, ok = once[reason]
			require.Truef(t, ok, "%v is not judged", reason)
		}
		for name, opt := range map[string]proglog.ProduceOption{
			"expected offset": proglog.ExpectOffset(0), "sequence": proglog.Sequence("me", 1, 0),
		} {
			t.Run(fmt.Sprint(reason, ", ", name), func(t *testing.T) {
				f := startFake(t)
				var calls int
				f.set(func() {
					f.beforeUnary = func(*logv1.ProduceRequest) error {
						if calls++; calls > 1 {
							return nil
						}
						if reason == logv1.Reason_REASON_UNSPECIFIED {
							return connect.NewError(code, "the message is too large")
						}
						return fail(code, &logv1.ErrorDetail{Reason: reason, NothingAppended: true})
					}
				})
				_, err := connectTo(t, f.url).Produce(t.Context(), record("a"), opt)
				// A server without identities gets the request of a client that did not choose one.
				unnamed := reason == logv1.Reason_REASON_UNSUPPORTED && name == "expected offset"
				if passes || unnamed {
					require.NoError(t, err)
					assert.Equal(t, 2, calls)
					return
				}
				requireOutcome(t, err, proglog.ErrNothingAppended)
				assert.Equal(t, proglog.Reason(reason), proglog.ReasonOf(err))
				assert.Equal(t, 1, calls)
			})
		}
	}
}

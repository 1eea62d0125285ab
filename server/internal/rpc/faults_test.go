package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

// faulty decorates an engine: hooks that are set decide instead of it.
type faulty struct {
	commitlog.Engine
	append func(ctx context.Context, log commitlog.CommitLog, batches []commitlog.Batch) ([]commitlog.Ack, error)
	read   func(from uint64) error
	wait   func() error
	check  func() error
	admin  func() error // of everything that describes or changes a log
	open   func()       // before a log is looked up
}

func (f *faulty) asked() error {
	if f.admin != nil {
		return f.admin()
	}
	return nil
}

func (f *faulty) Put(ctx context.Context, name string, change commitlog.Change) (commitlog.CommitLog, bool, error) {
	if err := f.asked(); err != nil {
		return nil, false, err
	}
	log, created, err := f.Engine.Put(ctx, name, change)
	return &faultyLog{log, f}, created, err
}

func (f *faulty) Delete(ctx context.Context, name string) error {
	if err := f.asked(); err != nil {
		return err
	}
	return f.Engine.Delete(ctx, name)
}

func (f *faulty) List(ctx context.Context, prefix string, after *string, max int) ([]commitlog.Info, bool, error) {
	if err := f.asked(); err != nil {
		return nil, false, err
	}
	return f.Engine.List(ctx, prefix, after, max)
}

func (f *faulty) Log(ctx context.Context, name string) (commitlog.CommitLog, error) {
	if f.open != nil {
		f.open()
	}
	log, err := f.Engine.Log(ctx, name)
	if err != nil && f.admin != nil {
		log, err = f.Engine.Log(ctx, "") // whatever the name: the fault decides
	}
	if err != nil {
		return nil, err
	}
	return &faultyLog{log, f}, nil
}

func (f *faulty) Check() error {
	if f.check != nil {
		return f.check()
	}
	return f.Engine.Check()
}

type faultyLog struct {
	commitlog.CommitLog
	f *faulty
}

func (l *faultyLog) Append(ctx context.Context, batches ...commitlog.Batch) ([]commitlog.Ack, error) {
	if l.f.append != nil {
		return l.f.append(ctx, l.CommitLog, batches)
	}
	return l.CommitLog.Append(ctx, batches...)
}

func (l *faultyLog) Read(ctx context.Context, from uint64, max commitlog.ReadLimit, buf []byte) (commitlog.Run, error) {
	if l.f.read != nil {
		if err := l.f.read(from); err != nil {
			return commitlog.Run{}, err
		}
	}
	return l.CommitLog.Read(ctx, from, max, buf)
}

func (l *faultyLog) Wait(ctx context.Context, offset uint64) (commitlog.Bounds, error) {
	if l.f.wait != nil {
		if err := l.f.wait(); err != nil {
			return commitlog.Bounds{}, err
		}
	}
	return l.CommitLog.Wait(ctx, offset)
}

func (l *faultyLog) Info(ctx context.Context) (commitlog.Info, error) {
	if err := l.f.asked(); err != nil {
		return commitlog.Info{}, err
	}
	return l.CommitLog.Info(ctx)
}

func (l *faultyLog) Trim(ctx context.Context, first uint64) (uint64, error) {
	if err := l.f.asked(); err != nil {
		return 0, err
	}
	return l.CommitLog.Trim(ctx, first)
}

// serveFaulty starts a server on an engine with faults.
func serveFaulty(t *testing.T, f *faulty, opts rpc.Options) *testServer {
	t.Helper()
	return newServer(t, opts, func(e commitlog.Engine) commitlog.Engine {
		f.Engine = e
		return f
	})
}

// secret is what no client may see.
const secret = "/var/lib/secret/000.seg at 10.0.0.7:99 *os.PathError"

type fault struct {
	name    string
	err     error
	code    connect.Code
	reason  logv1.Reason
	nothing bool // nothing was appended, for a write
	numbers numbers
}

// faults are the errors of an engine and what they are on the wire.
func faults() []fault {
	cause := errors.New(secret)
	wrap := func(err error) error { return fmt.Errorf("segment %s: %w", secret, err) }
	u := func(v uint64) *uint64 { return &v }
	bounds := commitlog.Bounds{First: 5, Next: 9}
	return []fault{
		{"trimmed", wrap(&commitlog.OffsetError{Offset: 2, Bounds: bounds}), connect.CodeOutOfRange, logv1.Reason_REASON_OFFSET_TRIMMED, true, numbers{first: u(5), next: u(9)}},
		{"damaged", &commitlog.DamagedError{First: 3, Next: 7, Cause: cause}, connect.CodeDataLoss, logv1.Reason_REASON_DATA_DAMAGED, true, numbers{first: u(3), next: u(7)}},
		{"sealed", wrap(&commitlog.LogSealedError{Next: 9}), connect.CodeFailedPrecondition, logv1.Reason_REASON_LOG_SEALED, true, numbers{next: u(9)}},
		{"mismatch", wrap(&commitlog.OffsetMismatchError{Expected: 1, Next: 9}), connect.CodeAborted, logv1.Reason_REASON_OFFSET_MISMATCH, true, numbers{next: u(9)}},
		{"too large", wrap(&commitlog.TooLargeError{What: "value bytes", Size: 3, Limit: 2}), connect.CodeInvalidArgument, logv1.Reason_REASON_TOO_LARGE, true, numbers{limit: u(2)}},
		{"fenced", wrap(&commitlog.FencedError{Epoch: 4}), connect.CodeFailedPrecondition, logv1.Reason_REASON_PRODUCER_FENCED, true, numbers{epoch: u(4)}},
		{"gap", wrap(&commitlog.SequenceGapError{Epoch: 4, Expected: 2}), connect.CodeAborted, logv1.Reason_REASON_SEQUENCE_GAP, true, numbers{epoch: u(4), sequence: u(2)}},
		{"forgotten", wrap(&commitlog.SequenceForgottenError{Expected: 300}), connect.CodeFailedPrecondition, logv1.Reason_REASON_SEQUENCE_FORGOTTEN, false, numbers{sequence: u(300)}},
		{"reused", wrap(&commitlog.SequenceReusedError{Sequence: 2}), connect.CodeInvalidArgument, logv1.Reason_REASON_SEQUENCE_REUSED, true, numbers{}},
		{"not found", wrap(&commitlog.LogNotFoundError{Name: "gone"}), connect.CodeNotFound, logv1.Reason_REASON_LOG_NOT_FOUND, true, numbers{}},
		{"bad name", wrap(&commitlog.InvalidLogNameError{Why: "so"}), connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_LOG_NAME, true, numbers{}},
		{"bad batch", wrap(&commitlog.InvalidBatchError{Why: "so"}), connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_REQUEST, true, numbers{}},
		{"unseal", wrap(commitlog.ErrUnseal), connect.CodeFailedPrecondition, logv1.Reason_REASON_NOT_ALLOWED_ON_LOG, true, numbers{}},
		{"delete of the default log", wrap(commitlog.ErrDeleteDefault), connect.CodeFailedPrecondition, logv1.Reason_REASON_NOT_ALLOWED_ON_LOG, true, numbers{}},
		{"unsupported", wrap(&commitlog.UnsupportedError{Capability: "expected offsets"}), connect.CodeUnimplemented, logv1.Reason_REASON_UNSUPPORTED, true, numbers{}},
		{"overloaded", wrap(commitlog.ErrOverloaded), connect.CodeResourceExhausted, logv1.Reason_REASON_OVERLOADED, true, numbers{}},
		{"full", wrap(commitlog.ErrStorageFull), connect.CodeResourceExhausted, logv1.Reason_REASON_STORAGE_FULL, true, numbers{}},
		{"failed before", wrap(commitlog.ErrStorageFailed), connect.CodeUnavailable, logv1.Reason_REASON_STORAGE_FAILED, true, numbers{}},
		{"failed meanwhile", commitlog.OutcomeUnknown(wrap(commitlog.ErrStorageFailed)), connect.CodeUnavailable, logv1.Reason_REASON_STORAGE_FAILED, false, numbers{}},
		{"unknown without a cause", commitlog.OutcomeUnknown(cause), connect.CodeUnavailable, logv1.Reason_REASON_STORAGE_FAILED, false, numbers{}},
		{"closed", wrap(commitlog.ErrClosed), connect.CodeUnavailable, logv1.Reason_REASON_DRAINING, true, numbers{}},
		{"closed meanwhile", commitlog.OutcomeUnknown(commitlog.ErrClosed), connect.CodeUnavailable, logv1.Reason_REASON_DRAINING, false, numbers{}},
		{"cancelled", commitlog.OutcomeUnknown(context.Canceled), connect.CodeCanceled, logv1.Reason_REASON_CANCELED, false, numbers{}},
		{"deadline", commitlog.OutcomeUnknown(context.DeadlineExceeded), connect.CodeDeadlineExceeded, logv1.Reason_REASON_DEADLINE, false, numbers{}},
		{"unmapped", wrap(cause), connect.CodeInternal, logv1.Reason_REASON_INTERNAL, false, numbers{}},
	}
}

// Goal: every error of an engine has its code, reason and numbers on every path
// and in every dialect, says that nothing was appended only where that is
// certain, and tells the client nothing of the machine; what is unmapped has an
// incident that the log explains.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range faults() {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := serveFaulty(t, &faulty{
				append: func(context.Context, commitlog.CommitLog, []commitlog.Batch) ([]commitlog.Ack, error) {
					return nil, tc.err
				},
				read:  func(uint64) error { return tc.err },
				admin: func() error { return tc.err },
			}, rpc.Options{})
			eachDialect(t, false, func(t *testing.T, d dialect) { s.requireFault(t, d, tc) })
		})
	}
}

// requireFault sees the fault of the engine on every path of a dialect.
func (s *testServer) requireFault(t *testing.T, d dialect, tc fault) {
	c, ctx := s.client(t, d), ctxWithPatience(t)
	check := func(err error, nothing bool) {
		t.Helper()
		detail := requireError(t, err, tc.code, tc.reason)
		require.Equal(t, nothing, detail.GetNothingAppended())
		requireNumbers(t, tc.numbers, detail)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "10.0.0.7")
		require.Equal(t, tc.code == connect.CodeInternal, detail.GetIncident() != "")
		if detail.GetIncident() != "" {
			require.Contains(t, s.logs.String(), detail.GetIncident())
			require.Contains(t, s.logs.String(), "secret")
		}
	}
	_, err := c.Produce(ctx, one("a"))
	check(err, tc.nothing)
	_, err = c.Consume(ctx, &logv1.ConsumeRequest{})
	check(err, false)
	consume, err := c.ConsumeStream(ctx, &logv1.ConsumeRequest{})
	require.NoError(t, err)
	_, err = consume.Receive()
	check(err, false)
	if d.http2 {
		produce, err := c.ProduceStream(ctx)
		require.NoError(t, err)
		require.NoError(t, produce.Send(one("a")))
		_, err = produce.Receive()
		check(err, tc.nothing)
	}
	_, err = c.GetLog(ctx, &logv1.GetLogRequest{})
	check(err, false)
	for _, call := range adminCalls(ctx, s.admin(t, d), "orders") {
		check(call(), false)
	}
}

// adminCalls are one call of each method of Admin.
func adminCalls(ctx context.Context, admin logv1connect.AdminClient, name string) map[string]func() error {
	return map[string]func() error{
		"ListLogs": func() error {
			_, err := admin.ListLogs(ctx, &logv1.ListLogsRequest{})
			return err
		},
		"PutLog": func() error {
			_, err := admin.PutLog(ctx, &logv1.PutLogRequest{Log: name})
			return err
		},
		"TrimLog": func() error {
			_, err := admin.TrimLog(ctx, &logv1.TrimLogRequest{Log: name})
			return err
		},
		"DeleteLog": func() error {
			_, err := admin.DeleteLog(ctx, &logv1.DeleteLogRequest{Log: name})
			return err
		},
	}
}

// Goal: a batch that fails in the middle of what is appended together: those
// before it are acked, and those after it are never appended.
func TestProduceStreamFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	first := make(chan struct{})
	var calls atomic.Int32
	f := &faulty{append: func(ctx context.Context, log commitlog.CommitLog, batches []commitlog.Batch) ([]commitlog.Ack, error) {
		if calls.Add(1) == 1 {
			<-first // meanwhile the others queue up
		}
		return log.Append(ctx, batches...)
	}}
	s := serveFaulty(t, f, rpc.Options{})
	stream, err := s.grpc(t).ProduceStream(ctxWithPatience(t))
	require.NoError(t, err)
	bad := one("bad")
	bad.ExpectedOffset = ptr(uint64(77))
	for _, req := range []*logv1.ProduceRequest{one("a"), one("b"), one("c"), bad, one("d"), one("e")} {
		require.NoError(t, stream.Send(req))
	}
	close(first)
	next := uint64(0)
	for range 3 {
		requireAck(t, stream, &next, 1)
	}
	_, err = stream.Receive()
	detail := requireError(t, err, connect.CodeAborted, logv1.Reason_REASON_OFFSET_MISMATCH)
	require.True(t, detail.GetNothingAppended())
	require.Equal(t, uint64(3), detail.GetNextOffset())
	log, err := s.engine.Log(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, uint64(3), log.Bounds().Next)
}

// Goal: a sealed log ends a tail OK.
func TestTailOfASealedLogEnds(t *testing.T) {
	t.Parallel()
	s := serveFaulty(t, &faulty{wait: func() error { return &commitlog.LogSealedError{Next: 1} }}, rpc.Options{})
	s.fill(t, "last")
	stream, err := s.grpc(t).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{})
	require.NoError(t, err)
	requireNext(t, stream, 0, "last", true)
	requireEnd(t, stream)
}

// Goal: a log that gets its last record and is sealed while a tail is about to
// wait ends the tail behind that record.
func TestSealWithTheLastRecord(t *testing.T) {
	t.Parallel()
	var s *testServer
	sealed := false
	s = serveFaulty(t, &faulty{wait: func() error {
		if !sealed {
			sealed = true
			s.fill(t, "last")
		}
		return &commitlog.LogSealedError{Next: 2}
	}}, rpc.Options{})
	s.fill(t, "first")
	stream, err := s.grpc(t).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{})
	require.NoError(t, err)
	requireNext(t, stream, 0, "first", true)
	requireNext(t, stream, 1, "last", true)
	requireEnd(t, stream)
}

// Goal: damage in the middle of a log ends a stream with the damaged range, after
// all that is before it.
func TestStreamIntoDamage(t *testing.T) {
	t.Parallel()
	s := serveFaulty(t, &faulty{read: func(from uint64) error {
		if from == 1 {
			return &commitlog.DamagedError{First: 1, Next: 4}
		}
		return nil
	}}, rpc.Options{Limits: rpc.Limits{MaxRecords: 1}})
	s.fill(t, "a", "b")
	stream, err := s.grpc(t).ConsumeStream(ctxWithPatience(t), &logv1.ConsumeRequest{})
	require.NoError(t, err)
	requireNext(t, stream, 0, "a", false)
	_, err = stream.Receive()
	detail := requireError(t, err, connect.CodeDataLoss, logv1.Reason_REASON_DATA_DAMAGED)
	require.Equal(t, uint64(1), detail.GetFirstOffset())
	require.Equal(t, uint64(4), detail.GetNextOffset())
}

// Goal: the server's own bound on a unary call holds where the client has none:
// an append that never ends is given up, its outcome unknown.
func TestUnaryBound(t *testing.T) {
	t.Parallel()
	s := serveFaulty(t, &faulty{append: func(ctx context.Context, _ commitlog.CommitLog, _ []commitlog.Batch) ([]commitlog.Ack, error) {
		<-ctx.Done()
		return nil, commitlog.OutcomeUnknown(ctx.Err())
	}}, rpc.Options{Limits: rpc.Limits{Unary: 50 * time.Millisecond}})
	_, err := s.grpc(t).Produce(t.Context(), one("a"))
	detail := requireError(t, err, connect.CodeDeadlineExceeded, logv1.Reason_REASON_DEADLINE)
	require.False(t, detail.GetNothingAppended())
}

// Goal: a ProduceStream whose client goes away, in whatever state, ends and
// leaves nothing behind (TestMain looks). Method: leave while nothing was sent,
// while an append is stuck with a full queue behind it, and while acks are not
// read.
func TestProducersThatLeave(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{}, 1)
	f := &faulty{append: func(ctx context.Context, _ commitlog.CommitLog, _ []commitlog.Batch) ([]commitlog.Ack, error) {
		stuck <- struct{}{}
		<-ctx.Done()
		return nil, commitlog.OutcomeUnknown(ctx.Err())
	}}
	s := serveFaulty(t, f, rpc.Options{Limits: rpc.Limits{QueueBytes: 1000}})
	leave := func(send func(stream logv1connect.LogProduceStreamClientStream)) {
		ctx, cancel := context.WithCancel(ctxWithPatience(t))
		stream, err := s.grpc(t).ProduceStream(ctx)
		require.NoError(t, err)
		send(stream)
		cancel()
		_, err = stream.Receive()
		require.Error(t, err)
	}
	leave(func(stream logv1connect.LogProduceStreamClientStream) { require.NoError(t, stream.SendHeaders()) })
	leave(func(stream logv1connect.LogProduceStreamClientStream) {
		for range 50 {
			require.NoError(t, stream.Send(one("0123456789")))
		}
		<-stuck
	})
}

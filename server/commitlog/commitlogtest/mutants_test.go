package commitlogtest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// mutantVariable names the environment variable that tells a child process
// which fault to run the suite on.
const mutantVariable = "PROGLOG_MUTANT"

// Goal: the suite catches faults. Method: a table of engines with one fault
// each; this test's binary runs the suite on each in a process of its own,
// where the subtest that the table names has to fail.
func TestMutantsAreCaught(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for _, m := range mutants() {
		t.Run(m.fault, func(t *testing.T) {
			group, name, _ := strings.Cut(m.caughtBy, "/")
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestMutant$/^"+group+"$/^"+name+"$", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), mutantVariable+"="+m.fault, "GORACE=atexit_sleep_ms=0")
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.True(t, errors.As(err, &exit), "not caught: %v\n%s", err, out)
			require.Contains(t, string(out), "--- FAIL: TestMutant/"+m.caughtBy+" ")
		})
	}
}

// TestMutant runs the suite on the engine with the fault that the environment
// names. By itself it does nothing: it is the child of TestMutantsAreCaught.
func TestMutant(t *testing.T) {
	for _, m := range mutants() {
		switch {
		case m.fault != os.Getenv(mutantVariable):
		case m.open != nil:
			Run(t, func(*testing.T) commitlog.Engine { return m.open() })
		case m.reopen != nil:
			RunReopen(t, m.reopen)
		default:
			Run(t, func(*testing.T) commitlog.Engine { return &wrapped{NewMemory(Options{}), m.log} })
		}
	}
}

// A mutant is an engine with a fault: in the handling of a log (log), of logs
// (open) or of its next life (reopen).
type mutant struct {
	fault    string
	caughtBy string
	log      func(commitlog.CommitLog) commitlog.CommitLog
	open     func() commitlog.Engine
	reopen   Reopen
}

func mutants() []mutant {
	return slices.Concat(appendMutants(), readMutants(), waitMutants(), engineMutants(), reopenMutants(),
		producerMutants(), logStateMutants(), engineStateMutants(), reopenStateMutants())
}

func appendMutants() []mutant {
	type log = commitlog.CommitLog
	onRecords := func(change func(*commitlog.Record)) func(log) log {
		return onAppend(func(ctx context.Context, l log, batches []commitlog.Batch) ([]commitlog.Ack, error) {
			for i := range batches {
				batches[i].Records = slices.Clone(batches[i].Records)
				for k := range batches[i].Records {
					change(&batches[i].Records[k])
				}
			}
			return l.Append(ctx, batches...)
		})
	}
	return []mutant{
		{fault: "headers are sorted", caughtBy: "Append/HeadersKeepOrderAndDuplicates", log: onRecords(func(r *commitlog.Record) {
			r.Headers = slices.Clone(r.Headers)
			slices.SortStableFunc(r.Headers, func(a, b commitlog.Header) int { return strings.Compare(a.Name, b.Name) })
		})},
		{fault: "empty values get a byte", caughtBy: "Append/EmptyValueIsARecord", log: onRecords(func(r *commitlog.Record) {
			r.Value = append(r.Value, bytes.Repeat([]byte{0}, max(0, 1-len(r.Value)))...)
		})},
		{fault: "acks have a time of their own", caughtBy: "Append/TimeIsThatOfTheAckAndNeverDecreases",
			log: onAppend(func(ctx context.Context, l log, batches []commitlog.Batch) ([]commitlog.Ack, error) {
				acks, err := l.Append(ctx, batches...)
				for i := range acks {
					acks[i].Time = acks[i].Time.Truncate(time.Microsecond).Add(1)
				}
				return acks, err
			})},
		{fault: "a batch is appended record by record", caughtBy: "Append/FirstFailureEndsTheCall",
			log: onAppend(func(ctx context.Context, l log, batches []commitlog.Batch) (acks []commitlog.Ack, err error) {
				for _, b := range batches {
					var whole commitlog.Ack
					for i, r := range b.Records {
						one, err := l.Append(ctx, commitlog.Batch{Records: []commitlog.Record{r}})
						if err != nil {
							return acks, err
						}
						if i == 0 {
							whole = one[0]
						}
						whole.Next = one[0].Next
					}
					acks = append(acks, whole)
				}
				return acks, nil
			})},
		{fault: "a failure does not end the call", caughtBy: "Append/FirstFailureEndsTheCall",
			log: onAppend(func(ctx context.Context, l log, batches []commitlog.Batch) (acks []commitlog.Ack, first error) {
				for _, b := range batches {
					ack, err := l.Append(ctx, b)
					acks = append(acks, ack...)
					first = errors.Join(first, err)
				}
				return acks, first
			})},
		{fault: "a failure takes the acks with it", caughtBy: "Append/FirstFailureEndsTheCall",
			log: onAppend(func(ctx context.Context, l log, batches []commitlog.Batch) ([]commitlog.Ack, error) {
				acks, err := l.Append(ctx, batches...)
				if err != nil {
					return nil, err
				}
				return acks, nil
			})},
		{fault: "a cancelled append says that nothing was appended", caughtBy: "Append/CancelledBefore",
			log: onAppend(func(ctx context.Context, l log, batches []commitlog.Batch) ([]commitlog.Ack, error) {
				acks, err := l.Append(context.WithoutCancel(ctx), batches...)
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				return acks, err
			})},
		{fault: "every append happens twice", caughtBy: "Concurrent/ProducersGetTheirOwnOffsets",
			log: onAppend(func(ctx context.Context, l log, batches []commitlog.Batch) ([]commitlog.Ack, error) {
				if _, err := l.Append(ctx, batches...); err != nil {
					return nil, err
				}
				return l.Append(ctx, batches...)
			})},
		{fault: "the expected offset is ignored", caughtBy: "Expected/MetOrNot",
			log: onAppend(func(ctx context.Context, l log, batches []commitlog.Batch) ([]commitlog.Ack, error) {
				for i := range batches {
					batches[i].ExpectedOffset = nil
				}
				return l.Append(ctx, batches...)
			})},
		{fault: "the expected offset is that of the call's begin", caughtBy: "Expected/SeveralInOneCall",
			log: onAppend(func(ctx context.Context, l log, batches []commitlog.Batch) ([]commitlog.Ack, error) {
				next := l.Bounds().Next
				for i, b := range batches {
					if b.ExpectedOffset != nil && *b.ExpectedOffset != next {
						acks, _ := l.Append(ctx, batches[:i]...)
						return acks, &commitlog.OffsetMismatchError{Expected: *b.ExpectedOffset, Next: next}
					}
				}
				return l.Append(ctx, batches...)
			})},
	}
}

func readMutants() []mutant {
	type log = commitlog.CommitLog
	type limit = commitlog.ReadLimit
	first := commitlog.Run{}
	return []mutant{
		{fault: "one record more than the limit", caughtBy: "Read/LimitOfRecords",
			log: onRead(func(l log, from uint64, max limit, buf []byte) (commitlog.Run, error) {
				max.Records++
				return l.Read(context.Background(), from, max, buf)
			})},
		{fault: "one byte less than the limit", caughtBy: "Read/LimitOfBytes",
			log: onRead(func(l log, from uint64, max limit, buf []byte) (commitlog.Run, error) {
				if max.Bytes > 1 {
					max.Bytes--
				}
				return l.Read(context.Background(), from, max, buf)
			})},
		{fault: "a record over the limit of bytes is not returned", caughtBy: "Read/LargeRecords",
			log: onRead(func(l log, from uint64, max limit, buf []byte) (commitlog.Run, error) {
				run, err := l.Read(context.Background(), from, max, buf)
				if err == nil && max.Bytes > 0 && len(run.Envelopes) > max.Bytes {
					return commitlog.Run{}, commitlog.ErrOverloaded
				}
				return run, err
			})},
		{fault: "every run is at the tail", caughtBy: "Read/TailIsExact",
			log: onRead(func(l log, from uint64, max limit, buf []byte) (commitlog.Run, error) {
				run, err := l.Read(context.Background(), from, max, buf)
				run.Tail = true
				return run, err
			})},
		{fault: "no run is at the tail", caughtBy: "Read/TailIsExact",
			log: onRead(func(l log, from uint64, max limit, buf []byte) (commitlog.Run, error) {
				run, err := l.Read(context.Background(), from, max, buf)
				run.Tail = false
				return run, err
			})},
		{fault: "the buffer is not used", caughtBy: "Read/BufferIsReused",
			log: onRead(func(l log, from uint64, max limit, _ []byte) (commitlog.Run, error) {
				return l.Read(context.Background(), from, max, nil)
			})},
		{fault: "runs are shared", caughtBy: "Read/RunIsTheCallers",
			log: onRead(func(l log, from uint64, max limit, buf []byte) (run commitlog.Run, err error) {
				if from > 0 || max != (limit{}) {
					return l.Read(context.Background(), from, max, buf)
				}
				if first.Next == 0 {
					first, err = l.Read(context.Background(), from, max, buf)
				}
				return first, err
			})},
		{fault: "the next offset reads as nothing", caughtBy: "Read/OutsideTheBounds",
			log: onRead(func(l log, from uint64, max limit, buf []byte) (commitlog.Run, error) {
				if from == l.Bounds().Next {
					return commitlog.Run{First: from, Next: from, Tail: true}, nil
				}
				return l.Read(context.Background(), from, max, buf)
			})},
		{fault: "a read does not cross batches of 250", caughtBy: "Read/LongLog",
			log: onRead(func(l log, from uint64, max limit, buf []byte) (commitlog.Run, error) {
				if left := 250 - int(from%250); from < l.Bounds().Next && (max.Records == 0 || max.Records > left) {
					max.Records = left
				}
				return l.Read(context.Background(), from, max, buf)
			})},
	}
}

func waitMutants() []mutant {
	type log = commitlog.CommitLog
	return []mutant{
		{fault: "a wait returns for any record", caughtBy: "Wait/BeyondTheEnd",
			log: onWait(func(ctx context.Context, l log, offset uint64) (commitlog.Bounds, error) {
				return l.Wait(ctx, min(offset, l.Bounds().Next))
			})},
		{fault: "a cancelled wait is a success", caughtBy: "Wait/EndsWithTheContext",
			log: onWait(func(ctx context.Context, l log, offset uint64) (commitlog.Bounds, error) {
				b, _ := l.Wait(ctx, offset)
				return b, nil
			})},
		{fault: "a wait returns the bounds it began with", caughtBy: "Wait/WakesForAnAppend",
			log: onWait(func(ctx context.Context, l log, offset uint64) (commitlog.Bounds, error) {
				b := l.Bounds()
				_, err := l.Wait(ctx, offset)
				return b, err
			})},
	}
}

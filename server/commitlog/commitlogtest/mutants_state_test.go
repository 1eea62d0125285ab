package commitlogtest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/proglog/proglog/server/commitlog"
)

// each makes a fault of what happens to one batch after another.
func each(f func(ctx context.Context, l *memoryLog, b commitlog.Batch) ([]commitlog.Ack, error)) func(commitlog.CommitLog) commitlog.CommitLog {
	return onAppend(func(ctx context.Context, l commitlog.CommitLog, batches []commitlog.Batch) (acks []commitlog.Ack, err error) {
		for _, b := range batches {
			ack, err := f(ctx, l.(*memoryLog), b)
			if err != nil {
				return acks, err
			}
			acks = append(acks, ack...)
		}
		return acks, nil
	})
}

// ignoring makes a fault of an error that is not raised: the batch is appended
// as if it had no producer.
func ignoring[E error](when func(E, commitlog.Batch) bool) func(commitlog.CommitLog) commitlog.CommitLog {
	return each(func(ctx context.Context, l *memoryLog, b commitlog.Batch) ([]commitlog.Ack, error) {
		acks, err := l.Append(ctx, b)
		var refusal E
		if errors.As(err, &refusal) && when(refusal, b) {
			b.Producer = nil
			return l.Append(ctx, b)
		}
		return acks, err
	})
}

// claiming is an engine in memory that tells of a window that is not its own.
type claiming struct{ *Memory }

func (c claiming) Capabilities() commitlog.Capabilities {
	can := c.Memory.Capabilities()
	can.Dedup = commitlog.DefaultDedupWindow()
	return can
}

func remembering(change func(*commitlog.DedupWindow)) func() commitlog.Engine {
	return func() commitlog.Engine {
		w := commitlog.DefaultDedupWindow()
		change(&w)
		return claiming{NewMemory(Options{Dedup: w})}
	}
}

func producerMutants() []mutant {
	ackMutant := func(change func(*commitlog.Ack)) func(commitlog.CommitLog) commitlog.CommitLog {
		return each(func(ctx context.Context, l *memoryLog, b commitlog.Batch) ([]commitlog.Ack, error) {
			acks, err := l.Append(ctx, b)
			if err == nil && acks[0].Duplicate {
				change(&acks[0])
			}
			return acks, err
		})
	}
	return []mutant{
		{fault: "a replay is not marked", caughtBy: "Producers/ReplayIsTheFirstAck",
			log: ackMutant(func(a *commitlog.Ack) { a.Duplicate = false })},
		{fault: "a replay has the time of now", caughtBy: "Producers/ReplayIsTheFirstAck",
			log: ackMutant(func(a *commitlog.Ack) { a.Time = time.Now() })},
		{fault: "a retry is appended again", caughtBy: "Producers/ReplayIsTheFirstAck",
			log: each(func(ctx context.Context, l *memoryLog, b commitlog.Batch) ([]commitlog.Ack, error) {
				b.Producer = nil
				return l.Append(ctx, b)
			})},
		{fault: "one ack fewer is remembered", caughtBy: "Producers/ReplayIsTheFirstAck",
			open: remembering(func(w *commitlog.DedupWindow) { w.Acks-- })},
		{fault: "one ack more is remembered", caughtBy: "Producers/ReplayIsTheFirstAck",
			open: remembering(func(w *commitlog.DedupWindow) { w.Acks++ })},
		{fault: "one producer fewer is remembered", caughtBy: "Producers/WindowOfProducers",
			open: remembering(func(w *commitlog.DedupWindow) { w.Producers-- })},
		{fault: "one producer more is remembered", caughtBy: "Producers/WindowOfProducers",
			open: remembering(func(w *commitlog.DedupWindow) { w.Producers++ })},
		{fault: "a gap is appended", caughtBy: "Producers/GapIsRefused",
			log: ignoring(func(*commitlog.SequenceGapError, commitlog.Batch) bool { return true })},
		{fault: "a higher epoch begins anywhere", caughtBy: "Producers/EpochsFence",
			log: ignoring(func(e *commitlog.SequenceGapError, b commitlog.Batch) bool { return b.Producer.Epoch > e.Epoch })},
		{fault: "a lower epoch is not fenced", caughtBy: "Producers/EpochsFence",
			log: ignoring(func(*commitlog.FencedError, commitlog.Batch) bool { return true })},
		{fault: "an unknown producer begins anywhere", caughtBy: "Producers/UnknownIsForgotten",
			log: ignoring(func(e *commitlog.SequenceForgottenError, _ commitlog.Batch) bool { return e.Expected == 0 })},
		{fault: "a reused sequence is appended", caughtBy: "Producers/ReusedWithOtherRecords",
			log: ignoring(func(*commitlog.SequenceReusedError, commitlog.Batch) bool { return true })},
		{fault: "a refused batch uses up its sequence", caughtBy: "Producers/RefusedUsesUpNothing",
			log: each(func(ctx context.Context, l *memoryLog, b commitlog.Batch) ([]commitlog.Ack, error) {
				acks, err := l.Append(ctx, b)
				if p := b.Producer; p != nil && err != nil && l.producers[p.ID] != nil {
					l.producers[p.ID].next++
				}
				return acks, err
			})},
		{fault: "ids ignore case", caughtBy: "Producers/IDs",
			log: each(func(ctx context.Context, l *memoryLog, b commitlog.Batch) ([]commitlog.Ack, error) {
				if p := b.Producer; p != nil {
					b.Producer = &commitlog.Producer{ID: strings.ToLower(p.ID), Epoch: p.Epoch, Sequence: p.Sequence}
				}
				return l.Append(ctx, b)
			})},
		{fault: "known sequences are looked up too early", caughtBy: "Producers/RetriedAtOnceAppendsOnce", log: lateLookup()},
		{fault: "a seal comes before replays", caughtBy: "Producers/OrderOfJudgement",
			log: each(func(ctx context.Context, l *memoryLog, b commitlog.Batch) ([]commitlog.Ack, error) {
				if l.settings.Sealed && commitlog.DefaultLimits().Check(b) == nil {
					return nil, &commitlog.LogSealedError{Next: l.Bounds().Next}
				}
				return l.Append(ctx, b)
			})},
		{fault: "the expected offset comes before replays", caughtBy: "Producers/OrderOfJudgement",
			log: each(func(ctx context.Context, l *memoryLog, b commitlog.Batch) ([]commitlog.Ack, error) {
				if next := l.Bounds().Next; b.ExpectedOffset != nil && *b.ExpectedOffset != next && commitlog.DefaultLimits().Check(b) == nil {
					return nil, &commitlog.OffsetMismatchError{Expected: *b.ExpectedOffset, Next: next}
				}
				return l.Append(ctx, b)
			})},
		{fault: "a trim forgets the producers", caughtBy: "Producers/SurviveATrim",
			log: func(l commitlog.CommitLog) commitlog.CommitLog {
				return trimming{l, func(ctx context.Context, first uint64) (uint64, error) {
					clear(l.(*memoryLog).producers)
					return l.Trim(ctx, first)
				}}
			}},
	}
}

// lateLookup is the fault of an engine that knows a sequence only some time
// after it looked for it.
func lateLookup() func(commitlog.CommitLog) commitlog.CommitLog {
	var mu sync.Mutex
	known := map[commitlog.Producer]commitlog.Ack{}
	return each(func(ctx context.Context, l *memoryLog, b commitlog.Batch) ([]commitlog.Ack, error) {
		mu.Lock()
		ack, ok := known[*b.Producer]
		mu.Unlock()
		if ok {
			ack.Duplicate = true
			return []commitlog.Ack{ack}, nil
		}
		runtime.Gosched()
		acks, err := l.Append(ctx, commitlog.Batch{Records: b.Records})
		if err == nil {
			mu.Lock()
			known[*b.Producer] = acks[0]
			mu.Unlock()
		}
		return acks, err
	})
}

// trimming, describing and finding are logs with another Trim, Info and FindTime.
type (
	trimming struct {
		commitlog.CommitLog
		f func(context.Context, uint64) (uint64, error)
	}
	describing struct {
		commitlog.CommitLog
		f func(*commitlog.Info)
	}
	finding struct {
		commitlog.CommitLog
		f func(context.Context, time.Time) (uint64, error)
	}
)

func (l trimming) Trim(ctx context.Context, first uint64) (uint64, error) { return l.f(ctx, first) }

func (l describing) Info(ctx context.Context) (commitlog.Info, error) {
	info, err := l.CommitLog.Info(ctx)
	l.f(&info)
	return info, err
}

func (l finding) FindTime(ctx context.Context, t time.Time) (uint64, error) { return l.f(ctx, t) }

func onTrimCall(change func(first uint64) uint64) func(commitlog.CommitLog) commitlog.CommitLog {
	return func(l commitlog.CommitLog) commitlog.CommitLog {
		return trimming{l, func(ctx context.Context, first uint64) (uint64, error) { return l.Trim(ctx, change(first)) }}
	}
}

func onInfo(change func(*commitlog.Info)) func(commitlog.CommitLog) commitlog.CommitLog {
	return func(l commitlog.CommitLog) commitlog.CommitLog { return describing{l, change} }
}

func onFind(f func(ctx context.Context, l commitlog.CommitLog, t time.Time) (uint64, error)) func(commitlog.CommitLog) commitlog.CommitLog {
	return func(l commitlog.CommitLog) commitlog.CommitLog {
		return finding{l, func(ctx context.Context, t time.Time) (uint64, error) { return f(ctx, l, t) }}
	}
}

func logStateMutants() []mutant {
	type log = commitlog.CommitLog
	return []mutant{
		{fault: "a trim keeps one more", caughtBy: "Trim/Exact", log: onTrimCall(func(first uint64) uint64 { return max(first, 1) - 1 })},
		{fault: "a trim removes one more", caughtBy: "Trim/Exact", log: onTrimCall(func(first uint64) uint64 { return first + min(first, 1) })},
		{fault: "a trim beyond the end does nothing", caughtBy: "Trim/NeverBackAndNeverBeyond",
			log: onTrimCall(func(first uint64) uint64 {
				if first > 4 {
					return 0
				}
				return first
			})},
		{fault: "reads below the first begin there", caughtBy: "Trim/Exact",
			log: onRead(func(l log, from uint64, max commitlog.ReadLimit, buf []byte) (commitlog.Run, error) {
				if first := l.Bounds().First; from < first {
					from = first
				}
				return l.Read(context.Background(), from, max, buf)
			})},
		{fault: "a trim is not told", caughtBy: "Trim/Exact",
			log: onRead(func(l log, from uint64, max commitlog.ReadLimit, buf []byte) (commitlog.Run, error) {
				run, err := l.Read(context.Background(), from, max, buf)
				var outside *commitlog.OffsetError
				if errors.As(err, &outside) {
					err = &commitlog.OffsetError{Offset: from, Bounds: commitlog.Bounds{Next: outside.Bounds.Next}}
				}
				return run, err
			})},
		{fault: "retention removes all", caughtBy: "Trim/RetentionByBytes",
			log: each(func(ctx context.Context, l *memoryLog, b commitlog.Batch) ([]commitlog.Ack, error) {
				acks, err := l.Append(ctx, b)
				if keep := l.settings.Retention.MaxBytes; keep > 0 && l.bytes > keep/2 {
					_, err = l.Trim(ctx, l.Bounds().Next)
				}
				return acks, err
			})},
		{fault: "an empty log has no last time", caughtBy: "Trim/EmptyLogGoesOn", log: onInfo(func(i *commitlog.Info) {
			if i.First == i.Next {
				i.LastTime = time.Time{}
			}
		})},
		{fault: "the first time stays", caughtBy: "Trim/EmptyLogGoesOn", log: onInfo(func(i *commitlog.Info) { i.FirstTime = i.LastTime })},
		{fault: "a seal ends no wait", caughtBy: "Settings/SealEndsWaits",
			log: onWait(func(ctx context.Context, l log, offset uint64) (commitlog.Bounds, error) {
				b, err := l.Wait(ctx, offset)
				if end := (*commitlog.LogSealedError)(nil); errors.As(err, &end) {
					err = nil
				}
				return b, err
			})},
		{fault: "bytes are not counted", caughtBy: "Info/FollowsTheLog", log: onInfo(func(i *commitlog.Info) { i.Bytes = 0 })},
		{fault: "info has no identity", caughtBy: "Info/DescribesTheLog", log: onInfo(func(i *commitlog.Info) { i.ID = "" })},
		{fault: "a time finds what is later only", caughtBy: "Time/FindTime",
			log: onFind(func(ctx context.Context, l log, t time.Time) (uint64, error) { return l.FindTime(ctx, t.Add(1)) })},
		{fault: "a time finds the record before", caughtBy: "Time/FindTime",
			log: onFind(func(ctx context.Context, l log, t time.Time) (uint64, error) {
				offset, err := l.FindTime(ctx, t)
				return max(offset, l.Bounds().First+1) - 1, err
			})},
		{fault: "a time finds what was trimmed", caughtBy: "Time/FindTimeAfterATrim",
			log: onFind(func(ctx context.Context, l log, t time.Time) (uint64, error) {
				offset, err := l.FindTime(ctx, t)
				if offset == l.Bounds().First && t.Before(someTime) {
					return 0, err
				}
				return offset, err
			})},
		{fault: "times are held in nanoseconds", caughtBy: "Time/FindTime",
			log: onFind(func(ctx context.Context, l log, t time.Time) (uint64, error) {
				return l.FindTime(ctx, time.Unix(0, t.UnixNano()))
			})},
	}
}

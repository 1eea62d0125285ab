package log

import (
	"context"
	"errors"
	"math"
	"sort"
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// FindTime implements [commitlog.CommitLog]. All records of a frame have one
// time, and a segment was created at the time of its first.
func (l *Log) FindTime(ctx context.Context, t time.Time) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	next := l.next.Load()
	v := l.view.Load()
	if v.isDeleted() {
		return 0, l.notFound()
	}
	// Nanoseconds since 1970 end in 2262; no record is from beyond.
	ns := int64(math.MaxInt64)
	switch {
	case t.Before(time.Unix(0, 0)):
		ns = 0
	case t.Before(time.Unix(0, math.MaxInt64)):
		ns = t.UnixNano()
	}
	// The records before the first segment that begins at t or later: only the
	// last of them may be that late.
	after := sort.Search(len(v.segments), func(i int) bool { return v.segments[i].Created >= ns })
	offset := next
	if after < len(v.segments) {
		offset = min(next, v.segments[after].Base)
	}
	if after > 0 {
		g := v.segments[after-1]
		found, err := g.FindTime(ns, offset)
		if err != nil {
			return 0, l.judge(&commitlog.DamagedError{First: g.Base, Next: offset, Cause: err})
		}
		offset = found
	}
	return max(v.first, offset), nil
}

// keepRetention applies retention until the engine closes.
func (e *Engine) keepRetention() {
	ticker := time.NewTicker(e.options.RetentionEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-e.closing:
			return
		case <-e.failed:
			return
		}
		if err := e.applyRetention(); err != nil && !errors.Is(err, commitlog.ErrClosed) {
			e.options.Logger.Warn("retention", "error", err)
		}
	}
}

// applyRetention trims every log to what its retention keeps at this moment.
func (e *Engine) applyRetention() error {
	ctx := context.Background()
	var errs []error
	for _, name := range e.sortedNames() {
		l := e.named(name)
		if l == nil {
			continue
		}
		first, err := l.expired(ctx, e.options.Now())
		if first > l.Bounds().First {
			_, trimErr := l.Trim(ctx, first)
			err = errors.Join(err, trimErr)
		}
		if gone := (*commitlog.LogNotFoundError)(nil); err != nil && !errors.As(err, &gone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// expired returns the offset below which retention keeps nothing. If damage
// keeps one of its bounds from being found, the other still holds.
func (l *Log) expired(ctx context.Context, now time.Time) (uint64, error) {
	size := l.size.Load()
	v := l.view.Load()
	first := v.first
	var failed error
	if v.maxAge > 0 && len(v.segments) > 0 {
		// Cheap for the many logs that have nothing to give up yet.
		if limit := now.UnixNano() - v.maxAge; v.segments[0].Created < limit {
			offset, err := l.FindTime(ctx, time.Unix(0, limit))
			failed = err
			first = max(first, offset)
		}
	}
	if v.maxBytes > 0 {
		offset, err := v.keepBytes(int64(v.maxBytes), size)
		failed = errors.Join(failed, err)
		first = max(first, offset)
	}
	return first, failed
}

// keepBytes returns the first offset of the latest frames that together have at
// most so many bytes; as exact as the index, to a few KiB on the side of less.
func (v *view) keepBytes(most, size int64) (uint64, error) {
	kept := int64(0)
	for i := len(v.segments) - 1; i >= 0; i-- {
		end := v.segments[i].end
		if i == len(v.segments)-1 {
			end = size
		}
		if more := end - segment.HeaderSize; kept+more <= most {
			kept += more
			continue
		}
		offset, found, err := v.segments[i].OffsetAt(end - (most - kept))
		if err != nil {
			return 0, err
		}
		if !found && i+1 < len(v.segments) {
			return v.segments[i+1].Base, nil
		}
		return offset, nil
	}
	return 0, nil
}

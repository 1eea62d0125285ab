package log

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/log/internal/bug"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// Log is one log of an [Engine]. It implements [commitlog.CommitLog].
type Log struct {
	engine *Engine
	number uint64
	name   string
	id     [16]byte

	// What readers see: the view is stored before the end that needs it.
	next atomic.Uint64 // one past the last durable record
	view atomic.Pointer[view]
	size atomic.Int64 // position in the last segment
	last atomic.Int64 // timestamp of the last record

	saved atomic.Uint64 // one past the last record that segments have for good

	wakeMu sync.Mutex
	wake   chan struct{} // closed when next moves; nil while nobody waits

	// The rest belongs to whoever holds committer.commitMu.
	meta      meta
	end       uint64 // offset of the next record
	time      int64  // timestamp of the last record
	chain     uint32
	position  int64 // in the last segment
	segments  []sealable
	producers producers
	dropped   []*segment.Segment // by a change that is not yet durable
	newView   bool               // meta or segments changed
	touched   bool               // since the last cut
	lost      bool               // the last segment's file is gone: go on in a new one
	waiting   []*pending
}

// A sealable is a segment, and where its frames end once it is sealed.
type sealable struct {
	*segment.Segment
	end int64
}

// view is what a log consists of. It never changes; a change makes another.
type view struct {
	meta
	segments []sealable // by base offset
}

// Append implements [commitlog.CommitLog].
func (l *Log) Append(ctx context.Context, batches ...commitlog.Batch) ([]commitlog.Ack, error) {
	return l.engine.committer.append(ctx, l, batches)
}

// Bounds implements [commitlog.CommitLog].
func (l *Log) Bounds() commitlog.Bounds {
	next := l.next.Load()
	return commitlog.Bounds{First: l.view.Load().first, Next: next}
}

// ID implements [commitlog.CommitLog].
func (l *Log) ID() string { return hex.EncodeToString(l.id[:]) }

// Read implements [commitlog.CommitLog].
func (l *Log) Read(ctx context.Context, from uint64, max commitlog.ReadLimit, buf []byte) (commitlog.Run, error) {
	if err := ctx.Err(); err != nil {
		return commitlog.Run{}, err
	}
	if l.engine.closed() {
		return commitlog.Run{}, commitlog.ErrClosed
	}
	next := l.next.Load()
	v := l.view.Load()
	if err := l.readable(v, from, next); err != nil {
		return commitlog.Run{}, err
	}
	run, err := l.read(v, from, next, max, buf)
	if err != nil {
		// Damage, or what was read was trimmed meanwhile.
		if gone := l.readable(l.view.Load(), from, next); gone != nil {
			return commitlog.Run{}, gone
		}
		return commitlog.Run{}, l.judge(err)
	}
	return run, nil
}

// judge says what damage means. What no checkpoint has saved is not lost: the
// journal has it. And once storage has failed nothing that cannot be read is known
// to be lost: the page cache may show other bytes than the disk has, and a file
// system that has shut down gives no bytes at all. A restart reads what is there,
// and brings the rest from the journal.
func (l *Log) judge(err error) error {
	damage, ok := errors.AsType[*commitlog.DamagedError](err)
	if !ok {
		return err
	}
	if failed := l.engine.committer.stoppedBy(); failed != nil {
		return fmt.Errorf("%w: the records from %d on cannot be read, and a restart tells whether they are damaged: %w", commitlog.ErrStorageFailed, damage.First, damage.Cause)
	}
	saved := l.saved.Load()
	if damage.Next <= saved {
		return err
	}
	if damage.First < saved {
		return &commitlog.DamagedError{First: damage.First, Next: saved, Cause: damage.Cause}
	}
	return fmt.Errorf("%w: the journal has the records from %d on, and a restart brings them back: %w", commitlog.ErrStorageFailed, damage.First, damage.Cause)
}

// readable says why the offset cannot be read; nil if it can.
func (l *Log) readable(v *view, from, next uint64) error {
	if v.flags&metaDeleted != 0 {
		return l.notFound()
	}
	if from < v.first || from >= next {
		return &commitlog.OffsetError{Offset: from, Bounds: commitlog.Bounds{First: v.first, Next: next}}
	}
	return nil
}

// read reads from one view, up to next.
func (l *Log) read(v *view, from, next uint64, max commitlog.ReadLimit, buf []byte) (commitlog.Run, error) {
	out, at := buf[:0], from
	for i := v.find(from); i < len(v.segments) && at < next; i++ {
		limit := next
		if i+1 < len(v.segments) {
			limit = min(limit, v.segments[i+1].Base)
		}
		rest := max
		if at > from {
			if max.Records > 0 {
				rest.Records = max.Records - int(at-from)
			}
			if max.Bytes > 0 {
				rest.Bytes = max.Bytes - len(out)
			}
			if rest.Records <= 0 && max.Records > 0 || rest.Bytes <= 0 && max.Bytes > 0 {
				break
			}
		}
		had := len(out)
		var stop uint64
		var err error
		out, stop, err = v.segments[i].Read(out, at, limit, rest)
		if at > from && (err != nil || max.Bytes > 0 && len(out) > max.Bytes) {
			out = out[:had] // the first of a further segment did not fit, or is damaged
			break
		}
		if err != nil {
			return commitlog.Run{}, err
		}
		at = stop
		if at < limit {
			break
		}
	}
	return commitlog.Run{First: from, Next: at, Envelopes: out, Tail: at == next}, nil
}

// find returns the segment that an offset is in.
func (v *view) find(offset uint64) int {
	lo, hi := 0, len(v.segments)
	for lo+1 < hi {
		if mid := (lo + hi) / 2; v.segments[mid].Base <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// Wait implements [commitlog.CommitLog].
func (l *Log) Wait(ctx context.Context, offset uint64) (commitlog.Bounds, error) {
	for {
		// The order matters: what is published after this wakes the wait below, and
		// a log that is seen to be sealed has all its records in the bounds then.
		wake := l.waker()
		v := l.view.Load()
		if v.isDeleted() {
			return commitlog.Bounds{}, l.notFound()
		}
		next := l.next.Load()
		if next > offset {
			return commitlog.Bounds{First: v.first, Next: next}, nil
		}
		if v.flags&metaSealed != 0 {
			return commitlog.Bounds{}, &commitlog.LogSealedError{Next: next}
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return commitlog.Bounds{}, ctx.Err()
		case <-l.engine.closing:
			return commitlog.Bounds{}, commitlog.ErrClosed
		}
	}
}

// waker returns the channel that the next publication closes.
func (l *Log) waker() <-chan struct{} {
	l.wakeMu.Lock()
	defer l.wakeMu.Unlock()
	if l.wake == nil {
		l.wake = make(chan struct{})
	}
	return l.wake
}

// publish lets readers see what is now durable. The caller holds commitMu.
func (l *Log) publish() {
	if l.newView || l.view.Load() == nil {
		l.newView = false
		if old := l.view.Load(); old != nil && l.meta.flags&^old.flags&metaSealed != 0 {
			// A view that says sealed comes behind the end that it seals: first
			// the segments, then the end, then the seal.
			open := l.meta
			open.flags &^= metaSealed
			l.view.Store(&view{meta: open, segments: l.segments})
			l.next.Store(l.end)
		}
		l.view.Store(&view{meta: l.meta, segments: l.segments})
		l.engine.dirty.forget(l.dropped)
		l.engine.garbage = append(l.engine.garbage, l.dropped...)
		l.dropped = nil
	}
	l.size.Store(l.position)
	l.last.Store(l.time)
	l.next.Store(l.end)
	l.wakeMu.Lock()
	wake := l.wake
	l.wake = nil
	l.wakeMu.Unlock()
	if wake != nil {
		close(wake)
	}
}

// active is the segment that the next frame goes to, nil before the first.
func (l *Log) active() *segment.Segment {
	if n := len(l.segments); n > 0 {
		return l.segments[n-1].Segment
	}
	return nil
}

// addSegment begins a new segment. The slice that readers have is not changed.
func (l *Log) addSegment(g *segment.Segment) {
	next := make([]sealable, len(l.segments), len(l.segments)+1)
	copy(next, l.segments)
	if n := len(next); n > 0 {
		next[n-1].end = l.position
	}
	l.segments = append(next, sealable{Segment: g})
	l.position = segment.HeaderSize
	l.newView = true
}

// drop takes out the segments that hold nothing from the log's first offset on.
// Their files are removed once that is durable.
func (l *Log) drop() {
	n := 0
	for n < len(l.segments) {
		next := l.end
		if n+1 < len(l.segments) {
			next = l.segments[n+1].Base
		}
		if next > l.meta.first && (next > l.meta.first+1 || !bug.On(bug.EdgeDropped)) {
			break
		}
		l.dropped = append(l.dropped, l.segments[n].Segment)
		n++
	}
	l.segments = l.segments[n:]
	if len(l.segments) == 0 {
		l.position, l.lost = 0, false
	}
	l.newView = true
}

func (l *Log) deleted() bool { return l.meta.flags&metaDeleted != 0 }

func (l *Log) notFound() error { return &commitlog.LogNotFoundError{Name: l.name} }

// row is how the log stands. The caller holds commitMu.
func (l *Log) row() row {
	w := row{meta: l.meta, next: l.end, time: l.time, chain: l.chain, position: l.position}
	w.producers = l.producers.append(nil, l.time, l.engine.options.Dedup)
	if bug.On(bug.ProducersForgotten) {
		w.producers = new(producers).append(nil, l.time, l.engine.options.Dedup)
	}
	w.segments = make([]segmentRow, len(l.segments))
	for i, s := range l.segments {
		w.segments[i] = segmentRow{spec: s.Spec, end: s.end}
	}
	return w
}

package commitlogtest

import (
	"context"
	"slices"
	"sort"
	"time"

	"github.com/proglog/proglog/server/commitlog"
)

// memoryLog is a log of a [Memory], whose mutex guards all of it but its name
// and id.
type memoryLog struct {
	engine *Memory
	name   string
	id     string

	deleted   bool
	settings  commitlog.Settings
	first     uint64
	records   []memoryRecord // the record at offset i is records[i-first]
	bytes     uint64         // of their envelopes
	last      time.Time      // the timestamp of the last record ever
	producers map[string]*memoryProducer
	changed   chan struct{} // closed and replaced whenever a wait may have ended
}

// memoryRecord is a record as it is read. None of it ever changes.
type memoryRecord struct {
	envelope []byte
	time     time.Time
}

var _ commitlog.CommitLog = (*memoryLog)(nil)

// enter returns why the log cannot be used, and removes what its retention no
// longer keeps.
func (l *memoryLog) enter() error {
	if err := l.engine.check(); err != nil {
		return err
	}
	if l.deleted {
		return &commitlog.LogNotFoundError{Name: l.name}
	}
	l.expire()
	return nil
}

// expire removes the records that the retention no longer keeps.
func (l *memoryLog) expire() {
	keep, now := l.settings.Retention, l.engine.now()
	for len(l.records) > 0 &&
		(keep.MaxAge > 0 && now.Sub(l.records[0].time) > keep.MaxAge || keep.MaxBytes > 0 && l.bytes > keep.MaxBytes) {
		l.remove(1)
	}
}

// remove forgets the n oldest records.
func (l *memoryLog) remove(n int) {
	for _, r := range l.records[:n] {
		l.bytes -= uint64(len(r.envelope))
	}
	clear(l.records[:n])
	l.records = l.records[n:]
	l.first += uint64(n)
}

// wake ends the waits that have something to tell now.
func (l *memoryLog) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// end makes a deleted log of it.
func (l *memoryLog) end() {
	l.remove(len(l.records))
	l.deleted = true
	l.wake()
}

// set changes the settings, all or none.
func (l *memoryLog) set(change commitlog.Change) error {
	if change.Sealed != nil {
		if l.settings.Sealed && !*change.Sealed {
			return commitlog.ErrUnseal
		}
		l.settings.Sealed = *change.Sealed
		l.wake()
	}
	if change.Retention != nil {
		l.settings.Retention = *change.Retention
	}
	return nil
}

// ID implements [commitlog.CommitLog].
func (l *memoryLog) ID() string { return l.id }

// Bounds implements [commitlog.CommitLog].
func (l *memoryLog) Bounds() commitlog.Bounds {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	l.expire()
	return l.bounds()
}

func (l *memoryLog) bounds() commitlog.Bounds {
	return commitlog.Bounds{First: l.first, Next: l.first + uint64(len(l.records))}
}

// Info implements [commitlog.CommitLog].
func (l *memoryLog) Info(context.Context) (commitlog.Info, error) {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	if err := l.enter(); err != nil {
		return commitlog.Info{}, err
	}
	return l.info(), nil
}

func (l *memoryLog) info() commitlog.Info {
	info := commitlog.Info{
		Name: l.name, ID: l.id, Bounds: l.bounds(), Bytes: l.bytes, LastTime: l.last, Settings: l.settings,
	}
	if len(l.records) > 0 {
		info.FirstTime = l.records[0].time
	}
	return info
}

// FindTime implements [commitlog.CommitLog].
func (l *memoryLog) FindTime(_ context.Context, t time.Time) (uint64, error) {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	if err := l.enter(); err != nil {
		return 0, err
	}
	n := sort.Search(len(l.records), func(i int) bool { return !l.records[i].time.Before(t) })
	return l.first + uint64(n), nil
}

// Trim implements [commitlog.CommitLog].
func (l *memoryLog) Trim(_ context.Context, first uint64) (uint64, error) {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	if err := l.enter(); err != nil {
		return 0, err
	}
	if first = min(first, l.bounds().Next); first > l.first {
		l.remove(int(first - l.first))
	}
	return l.first, nil
}

// Read implements [commitlog.CommitLog].
func (l *memoryLog) Read(_ context.Context, from uint64, limit commitlog.ReadLimit, buf []byte) (commitlog.Run, error) {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	if err := l.enter(); err != nil {
		return commitlog.Run{}, err
	}
	bounds := l.bounds()
	if from < bounds.First || from >= bounds.Next {
		return commitlog.Run{}, &commitlog.OffsetError{Offset: from, Bounds: bounds}
	}
	records := l.records[from-l.first:]
	if limit.Records > 0 {
		records = records[:min(limit.Records, len(records))]
	}
	size := len(records[0].envelope) // one record is returned whatever its size
	n := 1
	for n < len(records) && (limit.Bytes == 0 || size+len(records[n].envelope) <= limit.Bytes) {
		size += len(records[n].envelope)
		n++
	}
	run := commitlog.Run{First: from, Next: from + uint64(n), Envelopes: slices.Grow(buf[:0], size)}
	for _, r := range records[:n] {
		run.Envelopes = append(run.Envelopes, r.envelope...)
	}
	run.Tail = run.Next == bounds.Next
	return run, nil
}

// Wait implements [commitlog.CommitLog].
func (l *memoryLog) Wait(ctx context.Context, offset uint64) (commitlog.Bounds, error) {
	for {
		bounds, changed, err := l.await(offset)
		if err != nil || bounds.Next > offset {
			return bounds, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return bounds, ctx.Err()
		case <-l.engine.closed:
			return bounds, commitlog.ErrClosed
		}
	}
}

// await returns the bounds, why nothing is to be waited for at offset, and the
// channel that is closed when either changes.
func (l *memoryLog) await(offset uint64) (commitlog.Bounds, <-chan struct{}, error) {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	if l.deleted {
		return commitlog.Bounds{}, nil, &commitlog.LogNotFoundError{Name: l.name}
	}
	l.expire()
	bounds := l.bounds()
	if l.settings.Sealed && bounds.Next <= offset {
		return bounds, nil, &commitlog.LogSealedError{Next: bounds.Next}
	}
	return bounds, l.changed, nil
}

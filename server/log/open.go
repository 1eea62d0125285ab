package log

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/log/internal/journal"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// Open opens the data directory, makes it if it is not there or empty, and
// recovers it after a crash: what the journal holds beyond the last checkpoint
// goes to the segments, and a new checkpoint is made, before Open returns.
//
// A directory that is a copy, as after a restore from a backup, is another one to
// those who read it: its logs get new ids. See [Adopt].
//
// It refuses, changing nothing, a directory that another process has
// (*vfs.LockedError), one that is not proglog's ([ErrNotDataDir]), one of an
// unknown format, and one whose journal or table is damaged in a way that no
// crash can cause ([CorruptError]). Damage in a segment does not keep it from
// opening; it is told when it is read.
func Open(dir string, options Options) (*Engine, error) {
	o, err := options.withDefaults(dir)
	if err != nil {
		return nil, fmt.Errorf("engine options: %w", err)
	}
	e := &Engine{
		options: o, fs: o.FS,
		names: map[string]*Log{}, graves: map[string]*Log{}, renamed: map[string]*Log{}, wanted: make(chan struct{}, 1),
		closing: make(chan struct{}), failed: make(chan struct{}),
		checkpointAt: o.JournalFileBytes * int64(o.JournalFiles) / 2,
	}
	c := &e.committer
	c.engine, c.options = e, &e.options
	c.idle.L = &c.mu
	c.seen, c.waits = map[*Log]bool{}, map[*Log]int64{}
	e.tails.engine, e.tails.work = e, make(chan struct{}, 1)
	e.tails.changed.L = &e.tails.mu
	c.work = make(chan struct{}, 1)
	c.builder = builder{group: &c.group, segSize: o.SegmentBytes}
	c.started = time.Now()
	c.sealTimer = time.NewTimer(time.Hour)
	c.sealTimer.Stop()
	if err := e.openDir(); err != nil {
		return nil, fmt.Errorf("open data directory %s: %w", dir, err)
	}
	return e, nil
}

func (e *Engine) openDir() (err error) {
	if err := e.fs.MkdirAll("."); err != nil {
		return err
	}
	if _, err := readIdentity(e.fs); errors.Is(err, ErrNotDataDir) {
		return err // before anything is written into somebody else's directory
	}
	if e.lock, err = e.fs.Lock(lockName, lockHolder()); err != nil {
		return err
	}
	if e.watch, err = e.fs.Watch(); errors.Is(err, errors.ErrUnsupported) {
		e.watch, err = nil, nil
	}
	defer func() {
		if err == nil {
			return
		}
		if e.watch != nil {
			err = errors.Join(err, e.watch.Close())
		}
		if e.segments != nil {
			err = errors.Join(err, e.segments.Close())
		}
		err = errors.Join(err, e.lock.Close())
	}()
	if err != nil {
		return err
	}
	e.unlockEarly()
	// A process that was killed may have left a table that is in place but not
	// durably so. Nothing may be built on it before it is.
	if err := e.fs.SyncDir("."); err != nil {
		return &syncError{err}
	}
	e.id, err = readIdentity(e.fs)
	if errors.Is(err, fs.ErrNotExist) {
		e.id, err = writeIdentity(e.fs, e.options.random)
	}
	if errors.Is(err, errIdentity) {
		return &CorruptError{What: identityName, File: identityName, Cause: err}
	}
	if err != nil {
		return err
	}
	t, err := readTable(e.fs, e.id)
	if err != nil {
		return &CorruptError{What: checkpointName, File: checkpointName, Cause: err}
	}
	for _, dir := range []string{journalDir, segmentsDir} {
		if err := e.fs.MkdirAll(dir); err != nil {
			return err
		}
	}
	if t == nil {
		t = &table{}
	} else if err := e.recognise(t); err != nil {
		return err
	}
	e.segments = segment.NewSet(e.fs, segmentsDir, e.id, e.options.OpenFiles, e.options.IndexCacheBytes)
	if err := e.recover(t); err != nil {
		return err
	}
	e.tellLife()
	e.tasks.Go(e.committer.run)
	if !e.options.inline {
		e.tasks.Go(e.tails.run)
		e.tasks.Go(e.checkpointer)
	}
	if e.options.RetentionEvery > 0 && !e.options.inline {
		e.tasks.Go(e.keepRetention)
	}
	if e.named("") == nil {
		if _, _, err := e.Put(context.Background(), "", commitlog.Change{}); err != nil {
			return errors.Join(err, e.Close())
		}
	}
	return nil
}

// recover brings the logs from the table, and the journal behind it, to where
// they stood, makes that durable, and starts the journal anew.
func (e *Engine) recover(t *table) error {
	started := time.Now()
	// Nothing is changed before the whole journal was seen to fit its logs.
	look, r := newRecovery(e, t), newRecovery(e, t)
	look.dry = true
	j, found, err := journal.Open(e.journalConfig(), t.cut, look.replay, r.replay)
	if err != nil {
		if damage := (*journal.DamageError)(nil); errors.As(err, &damage) {
			return &CorruptError{What: "the journal", File: damage.File, Position: damage.Position, Stakes: look.stakes(), Cause: err}
		} else if place := (*journal.ApplyError)(nil); errors.As(err, &place) && errors.Is(err, errMismatch) {
			return &CorruptError{What: "the journal", File: place.File, Position: place.Position, Stakes: look.stakes(), Cause: err}
		}
		return err
	}
	e.committer.journal = j
	e.tableSeq = t.seq
	r.finish()
	k := e.cutNow()
	err = e.complete(k)
	if isFull(err) {
		e.options.Logger.Warn("the disk is full: reads are served from the journal, and writes wait for room", "error", err)
		e.putBack(k)
		e.wantCheckpoint()
		err = nil
	}
	if err == nil {
		err = e.sweep()
	}
	if err != nil {
		return errors.Join(err, j.Close())
	}
	if found.Groups > 0 || found.Torn {
		e.options.Logger.Warn("recovered after an unclean stop",
			"groups", found.Groups, "bytes", found.Bytes, "unfinished_group_dropped", found.Torn,
			"logs", len(e.logs), "took", time.Since(started).Round(time.Millisecond))
	}
	return nil
}

// CorruptError reports damage that keeps a data directory from opening. Nothing
// was changed. Its text is for the operator.
type CorruptError struct {
	What     string
	File     string // below the data directory
	Position int64  // in it
	// Stakes are the logs of which acknowledged records may be behind the place; none
	// if that cannot be told, because all that tells of logs is damaged.
	Stakes []Stake
	Cause  error
}

func (e *CorruptError) Error() string {
	stakes := StakeText(e.Stakes)
	if stakes != "" {
		stakes += " may be in what follows there"
	} else {
		stakes = "without it, it cannot be told which records each log has, so those of all logs are at stake, from their first offsets on"
	}
	return fmt.Sprintf("%s is not as it was written, which no crash causes: %v; %s; nothing was changed; "+
		"copy the directory before anything else, then run: proglog verify", e.What, e.Cause, stakes)
}

func (e *CorruptError) Unwrap() error { return e.Cause }

var _ commitlog.CommitLog = (*Log)(nil)

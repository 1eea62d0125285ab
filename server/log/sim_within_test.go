package log

import (
	"errors"
	"path"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// within is what happens between the steps of a checkpoint.
type within struct {
	allowed bool  // a checkpoint is under way, and may be interrupted
	inside  bool  // that is being done
	done    int   // steps of work
	err     error // of them
}

// checkpoint makes a checkpoint as the engine's own goroutine does, with the lock
// let go after the cut; and at the calls that it makes others go on: groups, new
// segments, changes of logs, writes of what has grown large.
func (s *sim) checkpoint() error {
	s.within.allowed, s.within.err = true, nil
	err := s.engine.checkpoint()
	s.within.allowed = false
	return errors.Join(err, s.within.err, s.flushLarge())
}

// setHook sets what is asked before each call of the file system; nil is nothing.
func (s *sim) setHook(hook func(vfstest.Op) error) {
	s.fs.SetHook(func(op vfstest.Op) error {
		s.interrupt(op)
		if hook == nil {
			return nil
		}
		return hook(op)
	})
}

// interrupt does other work at a call of a checkpoint, now and then. At a call for
// a segment that one is locked, so nothing may wait for it: no log is deleted.
func (s *sim) interrupt(op vfstest.Op) {
	if !s.within.allowed || s.within.inside || op.Phase != vfstest.Before || !op.Kind.Changes() {
		return
	}
	switch {
	case path.Dir(op.Name) == segmentsDir:
		s.meanwhile(false)
	case op.Name == journalDir: // the journal is locked
	case path.Dir(op.Name) == ".":
		s.meanwhile(true)
	}
}

// meanwhile does a piece of work; unlocked says that no segment is locked.
func (s *sim) meanwhile(unlocked bool) {
	if s.crasher.State() != nil || s.rng.IntN(3) == 0 {
		return
	}
	e := s.engine
	inline, eager := e.options.inline, e.options.eager
	// What asks for a checkpoint does not make it, and what is large is written later.
	e.options.inline, e.options.eager = false, false
	s.within.inside = true
	defer func() {
		s.within.inside = false
		e.options.inline, e.options.eager = inline, eager
	}()
	if err := e.committer.stoppedBy(); err != nil || e.tails.over() || !e.committer.journal.Room(48<<10) {
		return // it would wait for the checkpoint
	}
	e.giveUpWaits(commitlog.ErrStorageFull) // what waits all the same fails
	s.within.done++
	var err error
	name := s.names[s.rng.IntN(len(s.names))]
	switch n := s.rng.IntN(12); {
	case n < 6:
		err = s.appendSizes(name, s.rng.IntN(2) == 0, s.rng.IntN(1500), s.rng.IntN(200))
	case !unlocked:
		err = s.append("")
	case n < 8:
		err = s.flushLarge()
	case n < 10 && len(s.names) <= 8: // retention writes a group for each log
		err = s.change(name)
	default:
		err = s.smallGroup()
	}
	s.within.err = errors.Join(s.within.err, err)
}

// smallGroup is a group for which there is room.
func (s *sim) smallGroup() error {
	var calls []*simCall
	others := map[string]uint64{}
	for range 2 + s.rng.IntN(5) {
		name := s.names[s.rng.IntN(len(s.names))]
		if s.engine.named(name) != nil {
			calls = append(calls, s.appendAfter(name, others[name], s.batch(true, s.rng.IntN(300))))
			others[name]++
		}
	}
	return s.together(calls...)
}

// flushLarge does what the engine's own goroutine does with tails that have grown
// large.
func (s *sim) flushLarge() error {
	t := &s.engine.tails
	for _, g := range t.large {
		if err := s.engine.flush(g); err != nil {
			return err
		}
	}
	t.large = nil
	return nil
}

// A simWatch is a watch with work done behind each sync, before the checkpoint
// goes on.
type simWatch struct {
	vfs.Watch
	s *sim
}

func (w simWatch) Sync() error {
	err := w.Watch.Sync()
	if s := w.s; err == nil && s.within.allowed && !s.within.inside {
		s.meanwhile(true)
		if s.within.err == nil && s.crasher.State() == nil {
			s.within.err = s.flushLarge()
		}
	}
	return err
}

package log

import (
	"errors"
	"fmt"

	"github.com/proglog/proglog/server/internal/vfs"
)

// A log's id, as callers see it, is the one that it was made with and the life
// of its directory, added bit by bit. A life begins when the directory is found
// to be a copy: its offsets may then stand for other records than those that were
// read before, and whoever goes on reading has to know. The table tells a copy by
// the stamp of its own file, which no copying program can give to another.

// logID returns the id of a log as callers see it.
func (e *Engine) logID(id [16]byte) [16]byte {
	for i := range id {
		id[i] ^= e.life[i]
	}
	return id
}

// recognise takes over the life that a table tells, or begins another one if the
// table is a copy.
func (e *Engine) recognise(t *table) error {
	e.life = t.life
	stamp, err := e.fs.Stamp(checkpointName)
	if err != nil {
		return err
	}
	e.unstamped = stamp == (vfs.Stamp{})
	if e.copied = t.stamp.Differs(stamp); e.copied {
		e.options.random(e.life[:])
	}
	return nil
}

// tellLife warns of what recognise found, once the directory is open: of one that
// is refused, nothing is said to have changed.
func (e *Engine) tellLife() {
	if e.unstamped {
		e.options.Logger.Warn("this file system does not tell a copy of the data directory from the original; after a restore run: proglog repair --restored")
	}
	if e.copied {
		e.options.Logger.Warn("the data directory is a copy, or was restored from one: its logs have new ids, and readers that go on are told LOG_CHANGED")
	}
}

// Adopt settles what a directory that was copied or restored is: another one,
// whose logs get new ids, or with same the very one that it is a copy of, which
// was moved. The former is for what Open cannot recognise: a snapshot of a whole
// volume. No server may have the directory open.
func Adopt(dir string, same bool, options Options) error {
	o, err := options.withDefaults(dir)
	if err != nil {
		return fmt.Errorf("engine options: %w", err)
	}
	err = adopt(o, same)
	if err != nil {
		return fmt.Errorf("adopt data directory %s: %w", dir, err)
	}
	return nil
}

func adopt(o Options, same bool) (err error) {
	id, err := readIdentity(o.FS)
	if err != nil {
		return err
	}
	lock, err := o.FS.Lock(lockName, lockHolder())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	t, err := readTable(o.FS, id)
	if err != nil {
		return &CorruptError{What: checkpointName, File: checkpointName, Cause: err}
	}
	if t == nil {
		return errors.New("it was never opened to its end, and has no logs")
	}
	if !same {
		o.random(t.life[:])
	}
	t.seq++
	return replaceFile(o.FS, checkpointName, func(stamp vfs.Stamp) []byte {
		t.stamp = stamp
		return t.encode(id)
	})
}

package log

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/journal"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// The file RESERVE is space that is given up when the disk is full to the last
// block, by whoever filled it: for a checkpoint, without which the journal would
// have no room for the very trim that makes some, and for a start.

const reserveName = "RESERVE"

// isFull says whether a call failed for lack of space. A sync that did has lost
// what it was to write, which no space makes good.
func isFull(err error) bool {
	unsure, unsureToo := (*syncError)(nil), (*segment.SyncError)(nil)
	if errors.As(err, &unsure) || errors.As(err, &unsureToo) || journal.IsSync(err) || errors.Is(err, commitlog.ErrStorageFailed) {
		return false
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// spendReserve gives the reserve up, and says whether there was one.
func spendReserve(fsys vfs.FS) bool {
	return fsys.Remove(reserveName) == nil && fsys.SyncDir(".") == nil
}

// keepReserve makes the reserve again after it was spent, and larger when the
// table has grown; on a full disk as large as still fits. The caller holds
// checkpointMu.
func (e *Engine) keepReserve() {
	want := e.options.ReserveBytes
	for want < 2*e.tableSize {
		want *= 2
	}
	if e.reserve >= want {
		return
	}
	if err := e.growReserve(want); err != nil {
		e.options.Logger.Warn("cannot keep all the space in reserve", "bytes", e.reserve, "wanted", want, "error", err)
	}
}

// growReserve fills the file with what no file system can compress. Nothing
// relies on its content, so a failed sync means no more than no reserve: the file
// goes, and the next one is another, which was not synced yet.
func (e *Engine) growReserve(want int64) error {
	f, err := e.fs.Open(reserveName, vfs.Buffered)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = e.fs.Create(reserveName, vfs.Buffered)
	}
	if err != nil {
		return err
	}
	if e.reserve, err = f.Size(); err != nil {
		return errors.Join(err, f.Close())
	}
	b := make([]byte, vfs.BlockSize)
	grown := e.reserve < want
	for e.reserve < want && err == nil {
		e.options.random(b)
		if _, err = f.WriteAt(b, e.reserve); err == nil {
			e.reserve += vfs.BlockSize
		}
	}
	var unsynced error
	if grown {
		unsynced = f.Sync()
	}
	err = errors.Join(err, unsynced, f.Close())
	if unsynced != nil {
		e.reserve = 0
		err = errors.Join(err, e.fs.Remove(reserveName))
	}
	return err
}

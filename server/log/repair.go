package log

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/proglog/proglog/server/internal/vfs"
)

// A RepairReport says what Repair copied, and what it could not.
type RepairReport struct {
	Logs []RepairedLog `json:"logs"`
	// Files are damaged or missing files, and parts of the journal, of which it
	// cannot be told which records they held.
	Files []DamagedFile `json:"files"`
	Notes []string      `json:"notes"` // what is odd, but costs nothing
	// MayBeLost are the logs of which acknowledged records may be lost behind their
	// ends, because a part of the journal is damaged or gone.
	MayBeLost []Stake `json:"may_be_lost"`
	Bytes     int64   `json:"bytes"` // written
}

// A RepairedLog is one log of the new directory.
type RepairedLog struct {
	Log     string      `json:"log"`
	First   uint64      `json:"first"`
	Next    uint64      `json:"next"`
	Records uint64      `json:"records"` // copied
	Lost    []LostRange `json:"lost"`
	// Before are ranges that an earlier repair had recorded as lost.
	Before []LostRange `json:"lost_before"`
	Notes  []string    `json:"notes"`
}

// A LostRange is records that are lost: from First up to but not including Next.
// In the new directory, reading them is DATA_LOSS of this range.
type LostRange struct {
	First    uint64 `json:"first"`
	Next     uint64 `json:"next"`
	File     string `json:"file"` // where they were
	Position int64  `json:"position"`
	Cause    string `json:"cause"`
}

// A DamagedFile is a file, or a place in one, that does not hold what it held.
type DamagedFile struct {
	File     string `json:"file"`
	Position int64  `json:"position"`
	Cause    string `json:"cause"`
}

// Whole says whether everything was copied.
func (r *RepairReport) Whole() bool {
	return len(r.Files) == 0 && !slices.ContainsFunc(r.Logs, func(l RepairedLog) bool { return len(l.Lost) > 0 })
}

// RepairOptions tune Repair. All may be zero.
type RepairOptions struct {
	From, To vfs.FS                  // by default the operating system's
	Progress func(done, total int64) // told of bytes, now and then
	random   func([]byte)
}

// repairReserve is what has to be free beyond what is copied: the new
// directory's table and indexes, and what its first start writes.
const repairReserve = 96 << 20

// RoomError reports that there is not enough space for what a repair writes.
// Nothing was written.
type RoomError struct{ Need, Free uint64 }

func (e *RoomError) Error() string {
	return fmt.Sprintf("it needs %d MiB, and %d MiB are free: nothing was written; make room, or give a directory on another disk", (e.Need+1<<20-1)>>20, e.Free>>20)
}

// Repair copies all that is good of a data directory that no server has open to
// a new one, which must be empty or not be there. The source is never changed.
//
// Offsets, times, settings, seals and what is remembered of producers are kept;
// the directory and every log get a new id, so that a reader that goes on by an
// old one is told. What cannot be copied keeps its place, and reading it is
// DATA_LOSS of exactly that range. The error says why there is no copy; damage is
// in the report.
func Repair(ctx context.Context, from, to string, options RepairOptions) (*RepairReport, error) {
	if options.From == nil {
		options.From = vfs.OS(from)
	}
	if options.To == nil {
		options.To = vfs.OS(to)
	}
	if options.Progress == nil {
		options.Progress = func(int64, int64) {}
	}
	if options.random == nil {
		options.random = func(b []byte) { _, _ = rand.Read(b) } // never fails: it ends the program instead
	}
	s, err := openSource(options.From)
	if err != nil {
		return nil, fmt.Errorf("repair %s: %w", from, err)
	}
	defer s.close()
	r := &repair{ctx: ctx, source: s, to: options.To, random: options.random, progress: options.Progress}
	if err := r.run(); err != nil {
		return nil, fmt.Errorf("repair %s to %s: %w", from, to, err)
	}
	return &s.report, nil
}

// A repair is one copy under way.
type repair struct {
	ctx         context.Context
	source      *source
	to          vfs.FS
	random      func([]byte)
	progress    func(done, total int64)
	done, total int64
}

func (r *repair) run() (err error) {
	if err := r.checkTarget(); err != nil {
		return err
	}
	if err := r.source.survey(r.ctx); err != nil {
		return err
	}
	if err := r.checkRoom(); err != nil {
		return err
	}
	lock, err := r.to.Lock(lockName, lockHolder())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	// The identity first, the table last: a copy that was cut off is proglog's,
	// and no server opens it.
	id, err := writeIdentity(r.to, r.random)
	if err != nil {
		return err
	}
	for _, dir := range []string{journalDir, segmentsDir} {
		if err := r.to.MkdirAll(dir); err != nil {
			return err
		}
	}
	t := &table{seq: 1, logs: r.source.numbers}
	for _, l := range r.source.sorted() {
		w, err := r.copyLog(l, id)
		if err != nil {
			return err
		}
		t.rows = append(t.rows, w)
		t.logs = max(t.logs, l.number)
	}
	if err := r.to.SyncDir(segmentsDir); err != nil {
		return err
	}
	err = replaceFile(r.to, checkpointName, func(stamp vfs.Stamp) []byte {
		t.stamp = stamp
		return t.encode(id)
	})
	if err != nil {
		return err
	}
	r.source.report.MayBeLost = r.source.stakes()
	r.progress(r.total, r.total)
	return nil
}

// checkTarget makes the new directory, or sees that it is empty.
func (r *repair) checkTarget() error {
	names, err := r.to.ReadDir(".")
	if errors.Is(err, fs.ErrNotExist) {
		return r.to.MkdirAll(".")
	}
	for _, name := range names {
		if name != "lost+found" {
			return fmt.Errorf("the new directory is not empty: it holds %q; give one that is empty or not there yet", name)
		}
	}
	return err
}

// checkRoom sees that what is to be copied fits.
func (r *repair) checkRoom() error {
	r.total = r.source.bytes()
	free, err := r.to.Free()
	if err != nil {
		return fmt.Errorf("ask for the free space: %w", err)
	}
	if need := uint64(r.total) + repairReserve; free < need {
		return &RoomError{Need: need, Free: free}
	}
	return nil
}

// read counts progress in the source's bytes.
func (r *repair) read(n int64) {
	r.done = min(r.done+n, r.total)
	r.progress(r.done, r.total)
}

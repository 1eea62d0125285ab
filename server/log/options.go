package log

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// Defaults of Options.
const (
	DefaultSegmentBytes     = 64 << 20
	DefaultJournalFileBytes = 16 << 20
	DefaultJournalFiles     = 16
	DefaultQueueBytes       = 64 << 20
	DefaultQueueBatches     = 1 << 16
	DefaultGroupBytes       = 256 << 10
	DefaultFreeBytes        = 64 << 20
	DefaultIndexCacheBytes  = 64 << 20
	DefaultReserveBytes     = 1 << 20
	DefaultTailBytes        = 192 << 20
	DefaultSealAfter        = 100 * time.Millisecond
	DefaultRetentionEvery   = time.Second
)

// Options tune an [Engine]. The zero value of each field is its default.
type Options struct {
	// Limits of a batch; by default [commitlog.DefaultLimits].
	Limits commitlog.Limits

	// SegmentBytes is the size at which a segment is sealed and the next one
	// begun: 64 MiB by default.
	SegmentBytes int64

	// JournalFileBytes is the size of one journal file: 16 MiB by default, more
	// if the limits allow a batch that needs it.
	JournalFileBytes int64

	// JournalFiles is how many journal files there may be: 16 by default, at
	// least 2. Two are made when the data directory is, the others when they are
	// needed.
	JournalFiles int

	// QueueBytes and QueueBatches bound what waits to be appended; beyond them
	// an append fails with [commitlog.ErrOverloaded]. 64 MiB and 65,536 by
	// default.
	QueueBytes   int64
	QueueBatches int

	// GroupBytes is how much is written to the journal with one sync, unless a
	// single batch is larger: 256 KiB by default. More gains little, and a small
	// append beside large ones waits longer.
	GroupBytes int64

	// FreeBytes is how much space has to stay free beyond what the journal
	// still has to move into segments; below it an append fails with
	// [commitlog.ErrStorageFull]. 64 MiB by default.
	FreeBytes int64

	// TailBytes bounds the memory for what was appended and is not yet written to
	// segments; at that, appends wait for a checkpoint. 192 MiB by default, of which
	// only very many logs that are written to at the same time take much.
	TailBytes int64

	// ReserveBytes is how much space is set aside for the checkpoints and the start
	// on a disk that is full to the last block: 1 MiB by default, more if there are
	// so many logs that a checkpoint needs it.
	ReserveBytes int64

	// IndexCacheBytes bounds the memory for indexes: 64 MiB by default. Half of it is
	// for those of segments that are written to, which take 4 KiB each in any case.
	IndexCacheBytes int64

	// OpenFiles bounds the segment files that are open at a time. By default it
	// is a quarter of what the process may open, at most 16,384. Those that were
	// written to stay open until a checkpoint has synced them; when they are as
	// many, others wait for it in memory.
	OpenFiles int

	// SealAfter is how long the journal is idle before a mark is written that
	// proves the last group durable: 100 ms by default.
	SealAfter time.Duration

	// Dedup bounds what is remembered of producers; by default
	// [commitlog.DefaultDedupWindow].
	Dedup commitlog.DedupWindow

	// RetentionEvery is how often retention looks at every log: each second by
	// default; below zero, never.
	RetentionEvery time.Duration

	// Logger gets what an operator should know; by default nothing is logged.
	Logger *slog.Logger

	// FS is the file system below the data directory; by default the operating
	// system's.
	FS vfs.FS

	// Now tells the time; by default time.Now.
	Now func() time.Time

	// inline does all work in the goroutine of the caller that needs it, so that
	// the order of file-system calls depends on nothing but the calls.
	inline bool

	// queued is called, in tests, when a call waits for its group to be taken.
	queued func()

	// eager writes every group to the segments before it is acknowledged: the simple
	// order, to compare with.
	eager bool

	// flushBytes is how much of a log's end is written by itself; 128 KiB, but for
	// tests.
	flushBytes int

	// syncAllFrom is syncAllFrom, but for tests.
	syncAllFrom int

	// random fills b with random bytes; by default crypto/rand.
	random func(b []byte)
}

// Validate reports an option outside its range.
func (o Options) Validate() error {
	_, err := o.withDefaults("")
	return err
}

// withDefaults fills what is zero and reports what cannot be.
func (o Options) withDefaults(dir string) (Options, error) {
	if o.Limits == (commitlog.Limits{}) {
		o.Limits = commitlog.DefaultLimits()
	}
	if err := o.Limits.Validate(); err != nil {
		return o, err
	}
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.SegmentBytes, DefaultSegmentBytes)
	def(&o.QueueBytes, DefaultQueueBytes)
	def(&o.GroupBytes, DefaultGroupBytes)
	def(&o.FreeBytes, DefaultFreeBytes)
	def(&o.IndexCacheBytes, DefaultIndexCacheBytes)
	def(&o.ReserveBytes, DefaultReserveBytes)
	def(&o.TailBytes, DefaultTailBytes)
	largest := o.largestGroup()
	def(&o.JournalFileBytes, max(DefaultJournalFileBytes, largest))
	defInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	defInt(&o.flushBytes, segment.FlushSize)
	defInt(&o.syncAllFrom, syncAllFrom)
	defInt(&o.JournalFiles, DefaultJournalFiles)
	defInt(&o.QueueBatches, DefaultQueueBatches)
	defInt(&o.OpenFiles, defaultOpenFiles())
	if o.SealAfter == 0 {
		o.SealAfter = DefaultSealAfter
	}
	if o.Dedup == (commitlog.DedupWindow{}) {
		o.Dedup = commitlog.DefaultDedupWindow()
	}
	if o.RetentionEvery == 0 {
		o.RetentionEvery = DefaultRetentionEvery
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.OS(dir)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.random == nil {
		o.random = func(b []byte) { _, _ = rand.Read(b) } // never fails: it ends the program instead
	}
	switch {
	case o.JournalFileBytes < largest || o.JournalFileBytes%vfs.BlockSize != 0:
		return o, fmt.Errorf("a journal file of %d bytes: it must be a multiple of %d and at least %d, for the largest batch", o.JournalFileBytes, vfs.BlockSize, largest)
	case o.JournalFiles < 2:
		return o, fmt.Errorf("%d journal files: at least 2 are needed", o.JournalFiles)
	case o.SegmentBytes < 4096 || o.SegmentBytes > maxSegmentBytes:
		return o, fmt.Errorf("segments of %d bytes: outside %d to %d", o.SegmentBytes, 4096, maxSegmentBytes)
	case o.Dedup.Acks < 1 || o.Dedup.Producers < 1 || o.Dedup.MaxAge <= 0:
		return o, errors.New("the window in which retries are recognised is empty")
	case o.QueueBytes < 1 || o.QueueBatches < 1 || o.GroupBytes < 1 || o.OpenFiles < 1 || o.FreeBytes < 0 || o.IndexCacheBytes < 0 || o.ReserveBytes < 1 || o.TailBytes < 1:
		return o, errors.New("a size or a count is negative")
	}
	return o, nil
}

// defaultOpenFiles leaves room for connections.
func defaultOpenFiles() int {
	const most = 16384
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 256
	}
	return int(min(limit.Cur/4, most))
}

// maxSegmentBytes keeps positions, with a batch beyond it, in the index's 32 bits.
const maxSegmentBytes = 1 << 30

// largestGroup bounds the size of a group in the journal, with its file's
// header: the largest batch, or GroupBytes, and what frames add.
func (o *Options) largestGroup() int64 {
	batch := int64(max(o.Limits.BatchBytes, o.Limits.ValueBytes+o.Limits.HeaderBytes))
	records := int64(o.Limits.BatchRecords)
	n := max(o.GroupBytes, batch+records*(recordOverhead+16*int64(min(o.Limits.Headers, 1+o.Limits.HeaderBytes))))
	return vfs.AlignUp(n+n/16) + 4*vfs.BlockSize
}

// nonce is a random number.
func (o *Options) nonce() uint64 {
	var b [8]byte
	o.random(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

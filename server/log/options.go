package log

import (
	"log/slog"
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
)

// Options tune an [Engine]. The zero value of each field is its default.
type Options struct {
	// Limits of a batch; by default [commitlog.DefaultLimits].
	Limits commitlog.Limits

	// SegmentBytes is the size at which a segment is sealed and the next one
	// begun: 64 MiB by default.
	SegmentBytes int64

	// JournalFileBytes is the size of one journal file: 32 MiB by default. It
	// must hold the largest batch that the limits allow.
	JournalFileBytes int64

	// JournalFiles is how many journal files there may be: 8 by default. The
	// first is made when the data directory is, the others when they are needed.
	JournalFiles int

	// QueueBytes and QueueBatches bound what waits to be appended; beyond them
	// an append fails with [commitlog.ErrOverloaded]. 64 MiB and 65,536 by
	// default.
	QueueBytes   int64
	QueueBatches int

	// GroupBytes is how much is written to the journal with one sync, unless a
	// single batch is larger: 1 MiB by default.
	GroupBytes int64

	// FreeBytes is how much space has to stay free beyond what the journal
	// still has to move into segments; below it an append fails with
	// [commitlog.ErrStorageFull]. 64 MiB by default.
	FreeBytes int64

	// IndexCacheBytes bounds the memory for indexes of sealed segments: 64 MiB
	// by default.
	IndexCacheBytes int64

	// OpenFiles bounds the segment files that are open at a time: 1,024 by
	// default.
	OpenFiles int

	// SealAfter is how long the journal is idle before a mark is written that
	// proves the last group durable: 100 ms by default.
	SealAfter time.Duration

	// Logger gets what an operator should know; by default nothing is logged.
	Logger *slog.Logger

	// FS is the file system below the data directory; by default the operating
	// system's.
	FS vfs.FS

	// Now tells the time; by default time.Now.
	Now func() time.Time
}

// Package bug plants known bugs, so that the tests can prove that they would
// catch such ones. A bug is only in a build with the tag seededbugs, and there
// only if the environment variable PROGLOG_BUG has its name. In every other
// build On is a constant false, and the compiler leaves nothing of the places
// that ask it. BUGS.md, two directories up, says which test catches which.
package bug

// A Bug is one mistake that a log engine could make.
type Bug string

// Bugs in what is synced, and when.
const (
	// AckBeforeSync writes groups to the journal without a sync.
	AckBeforeSync Bug = "ack-before-sync"
	// SyncSkipped leaves out the sync of one segment in 32.
	SyncSkipped Bug = "sync-skipped"
	// SegmentNotInDir makes segments without a sync of their directory.
	SegmentNotInDir Bug = "segment-dir-not-synced"
	// JournalNotInDir makes journal files without a sync of their directory.
	JournalNotInDir Bug = "journal-dir-not-synced"
	// RenameNotSynced renames a table without a sync of the directory.
	RenameNotSynced Bug = "rename-not-synced"
	// JournalFreedEarly gives journal files back before segments and table are
	// synced.
	JournalFreedEarly Bug = "journal-freed-early"
	// TableBeforeSegments writes the table before the segments are synced.
	TableBeforeSegments Bug = "table-before-segments"
	// SharedBlock goes on, after a checkpoint, in the block that it synced.
	SharedBlock Bug = "block-shared-after-checkpoint"
	// CutTakenLate notes in a table where the journal is when it is written, not
	// where it was at the cut.
	CutTakenLate Bug = "cut-taken-late"
	// ListedForLong leaves out of the next checkpoint what is written to a segment
	// while one is made of it.
	ListedForLong Bug = "listed-for-long"
	// SavedTooFar takes what came while a checkpoint was made for saved by it.
	SavedTooFar Bug = "saved-too-far"
	// LetGo takes what was written to a segment behind the sync of all files for
	// synced with them.
	LetGo Bug = "written-behind-sync-of-all"
	// GapWritten writes, after a checkpoint, zeros behind what it synced, when an
	// append came while the segment was being written.
	GapWritten Bug = "gap-written-after-checkpoint"
)

// Bugs in what readers and callers are told.
const (
	// ReadersAhead publishes records before their group is durable.
	ReadersAhead Bug = "readers-ahead-of-durable"
	// OffsetReused begins a log that is made anew at 0.
	OffsetReused Bug = "offset-reused"
	// PayloadNotChecked believes a payload without its checksum.
	PayloadNotChecked Bug = "payload-not-checked"
	// ChecksumWithoutPlace leaves offset and position out of a frame's checksum.
	ChecksumWithoutPlace Bug = "checksum-without-place"
	// NonceLeftOut leaves the segment's nonce out of a frame's checksum.
	NonceLeftOut Bug = "nonce-left-out"
	// IndexTrusted believes an index that leads to no frame.
	IndexTrusted Bug = "index-trusted"
	// IndexCacheUnbounded keeps every index in memory.
	IndexCacheUnbounded Bug = "index-cache-unbounded"
	// EdgeDropped drops a segment whose last record is still to be kept.
	EdgeDropped Bug = "record-dropped-at-edge"
	// ProducersForgotten leaves the producers out of the table.
	ProducersForgotten Bug = "producers-not-in-table"
)

// Bugs after a failed call.
const (
	// SyncRetried tries a failed sync once more, and believes it.
	SyncRetried Bug = "sync-retried"
	// AppendsGoOn takes appends after a failed write.
	AppendsGoOn Bug = "appends-go-on"
	// FullIgnored takes a write to a segment that failed for done.
	FullIgnored Bug = "full-ignored"
	// JournalNotCounted takes appends on a full disk that has no space to move
	// the journal into segments.
	JournalNotCounted Bug = "journal-not-counted"
)

// Bugs in recovery.
const (
	// NoLock opens a directory that another process has.
	NoLock Bug = "directory-not-locked"
	// CutAtFirstBadGroup takes the first group that is not whole for the end.
	CutAtFirstBadGroup Bug = "cut-at-first-bad-group"
	// GroupProofIgnored does not ask later groups whether one was synced.
	GroupProofIgnored Bug = "group-proof-ignored"
	// HeaderProofIgnored does not ask the headers of files, either.
	HeaderProofIgnored Bug = "header-proof-ignored"
	// TornGroupApplied applies groups without a look at their frames.
	TornGroupApplied Bug = "torn-group-applied"
	// ChainIgnored applies a group that does not follow from the one before.
	ChainIgnored Bug = "chain-ignored"
	// SameRange goes on behind the last whole group, where a write has failed.
	SameRange Bug = "append-in-failed-range"
	// RewrittenInPlace writes to a segment again without cutting it first.
	RewrittenInPlace Bug = "rewritten-in-place"
	// ThirdLogDropped passes over the records of all logs of a group but two.
	ThirdLogDropped Bug = "third-log-dropped"
	// SecondBatchForgotten learns of a producer only the first batch in a group.
	SecondBatchForgotten Bug = "second-batch-forgotten"
	// NotIdempotent uses journal files again before recovery is done.
	NotIdempotent Bug = "recovery-not-idempotent"
)

// Package log is the engine that keeps logs on this machine's disk.
//
// An [Engine] is one data directory: one journal that makes the records of all
// logs durable, and segments that serve them. A [Log] is a sequence of segments,
// of which the last is active; a segment is a store of frames and a sparse index
// of it. FORMAT.md draws the bytes and gives the rules of recovery.
//
// The way of a batch: callers queue; one of them, or the committer's goroutine
// when many wait, takes what waits for all logs, gives it offsets, encodes it
// into one group and writes the group to the journal with one durable write.
// Then it writes the same frames to the segments, not synced, publishes the new
// ends and answers. Behind that, a checkpoint syncs the segments, writes the
// table of all logs and frees the journal.
//
// So three places hold a record in turn, and each may forget it only when the
// next one has it durably: the group in memory, the journal, the segment.
package log

package log

import (
	"github.com/proglog/proglog/server/log/internal/bug"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// What planted bugs do that are more than a condition. In a build without them
// these functions do nothing else than what their names say without "early".

// completeEarly does the last steps of a checkpoint before the first.
func (e *Engine) completeEarly(k *cut) {
	if bug.On(bug.TableBeforeSegments) {
		_ = e.writeTable(&k.table)
	}
	if bug.On(bug.JournalFreedEarly) {
		e.committer.journal.Free(k.table.cut)
	}
}

// completeLate does what belongs to the cut of a checkpoint before its last steps.
func (e *Engine) completeLate(k *cut) {
	if bug.On(bug.CutTakenLate) {
		k.table.cut = e.committer.journal.Cut()
	}
	unlistLate(k.dirty)
}

// saveLate takes more for saved than the table says.
func saveLate(logs []*Log) {
	if !bug.On(bug.SavedTooFar) {
		return
	}
	for _, l := range logs {
		l.saved.Store(l.next.Load())
	}
}

// unlistLate lets segments be listed again that take has left as they were.
func unlistLate(list []*segment.Segment) {
	if !bug.On(bug.ListedForLong) {
		return
	}
	for _, g := range list {
		g.Listed = false
	}
}

// inGroup is what recovery has met in a group.
type inGroup struct {
	logs      map[uint64]bool
	producers map[string]bool
}

// drops says whether recovery passes over a frame of records.
func (g *inGroup) drops(h *frame.Header) bool {
	if !bug.On(bug.ThirdLogDropped) {
		return false
	}
	if g.logs == nil {
		g.logs = map[uint64]bool{}
	}
	if len(g.logs) == 2 && !g.logs[h.Log] {
		return true
	}
	g.logs[h.Log] = true
	return false
}

// forgets says whether recovery does not learn a producer's batch.
func (g *inGroup) forgets(id string) bool {
	if !bug.On(bug.SecondBatchForgotten) {
		return false
	}
	if g.producers == nil {
		g.producers = map[string]bool{}
	}
	known := g.producers[id]
	g.producers[id] = true
	return known
}

// publishEarly lets readers see a group that is not yet written.
func (c *committer) publishEarly() {
	if !bug.On(bug.ReadersAhead) {
		return
	}
	for _, l := range c.touched {
		l.publish()
	}
}

// unlockEarly lets go of the directory.
func (e *Engine) unlockEarly() {
	if bug.On(bug.NoLock) {
		_ = e.lock.Close()
	}
}

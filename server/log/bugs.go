package log

import "github.com/proglog/proglog/server/log/internal/bug"

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

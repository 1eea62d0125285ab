package log

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// When more waits than fits a group, every log has its turn, and the calls of
// one log keep their order.
func TestTakeGivesEachLogItsTurn(t *testing.T) {
	bulk, small, other := &Log{}, &Log{}, &Log{}
	call := func(l *Log, size int64) *pending { return &pending{log: l, size: size} }
	b1, b2, b3 := call(bulk, 60), call(bulk, 60), call(bulk, 10)
	s1, s2 := call(small, 1), call(small, 1)
	o1 := call(other, 1)
	gone := call(other, 1)
	gone.withdrawn = true
	c := committer{options: &Options{GroupBytes: 100}, seen: map[*Log]bool{}, waits: map[*Log]int64{}, queue: []*pending{b1, b2, b3, gone, s1, s2, o1}}
	for _, p := range c.queue {
		c.bytes += p.size
	}
	assert.Equal(t, []*pending{b1, s1, s2, o1}, c.take(), "b2 does not fit, and b3 does not overtake it")
	assert.Equal(t, []*pending{b2, b3}, c.take())
	assert.Empty(t, c.take())
	assert.Zero(t, c.bytes)

	huge := call(bulk, 1000)
	c.queue, c.bytes = []*pending{huge, s1}, 1001
	assert.Equal(t, []*pending{huge}, c.take(), "a call that is larger than a group has one of its own")
	assert.Equal(t, []*pending{s1}, c.take())
}

// A log of which little waits has a group to itself before one of which much waits,
// and every second group at most, so that neither holds the other up.
func TestTakeLetsLightLogsGoFirst(t *testing.T) {
	bulk, small, other := &Log{}, &Log{}, &Log{}
	const group = 4 * heavyBytes
	c := committer{options: &Options{GroupBytes: group}, seen: map[*Log]bool{}, waits: map[*Log]int64{}}
	wait := func(l *Log, size int64) *pending {
		p := &pending{log: l, size: size}
		c.queue, c.bytes = append(c.queue, p), c.bytes+size
		return p
	}
	b1, b2, b3 := wait(bulk, heavyBytes), wait(bulk, heavyBytes), wait(bulk, heavyBytes)
	s1, o1, s2 := wait(small, 100), wait(other, lightBytes), wait(small, 100)
	assert.Equal(t, []*pending{s1, o1, s2}, c.take(), "the light ones first")
	s3 := wait(small, 100)
	assert.Equal(t, []*pending{b1}, c.take(), "then little of the bulk")
	assert.Equal(t, []*pending{s3}, c.take(), "and light ones again")
	assert.Equal(t, []*pending{b2}, c.take())
	b4, b5 := wait(bulk, heavyBytes), wait(bulk, heavyBytes)
	assert.Equal(t, []*pending{b3, b4, b5}, c.take(), "with no light ones a group is for all")
	assert.Empty(t, c.take())
	assert.Zero(t, c.bytes)

	// Many light logs are no reason to hold any of them back.
	var all []*pending
	for range 20 {
		all = append(all, wait(&Log{}, lightBytes))
	}
	assert.Len(t, c.take(), group/lightBytes)
	assert.Len(t, c.take(), len(all)-group/lightBytes)
}

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Goal: memory is given back once when work ends, never while there is work, and
// again after more work; what little a server at rest allocates adds up and counts.
func TestRestBeginsWhenWorkEnds(t *testing.T) {
	t.Parallel()
	var r rest
	var total uint64
	ask := func(more uint64) bool {
		total += more
		begins := r.begins(total)
		if begins {
			r.given = total
		}
		return begins
	}
	assert.False(t, ask(4<<20), "a start leaves little")
	assert.False(t, ask(100<<20), "it works")
	assert.False(t, ask(restBytes), "it works still")
	assert.True(t, ask(restBytes-1), "the work has ended")
	assert.False(t, ask(1<<20), "it was given back")
	assert.False(t, ask(500<<20))
	assert.True(t, ask(0))
	times := 0
	for range 100 {
		if ask(1 << 20) {
			times++
		}
	}
	assert.Equal(t, 100<<20/garbageBytes, times, "a little at a time is garbage too")
}

// Goal: what the rest is told by is the bytes that the process has allocated.
func TestAllocatedGrows(t *testing.T) {
	t.Parallel()
	before := allocated()
	kept := make([][]byte, 64)
	for i := range kept {
		kept[i] = make([]byte, 1<<20)
	}
	assert.GreaterOrEqual(t, allocated()-before, uint64(len(kept)<<20))
}

package segment

import (
	"slices"
	"sync"

	"github.com/proglog/proglog/server/log/internal/bug"
)

// indexes bounds the memory of loaded indexes. Beyond it one is thinned: three of four
// entries go, and a read of it takes longer strides. What is thinned twice, to an entry
// for each 16 KiB or so, is dropped in its turn. Those that were thinned least come
// first, and of them the one that was loaded first, so that none is dropped while
// another is still whole: reads all over a log of 8 GiB, 32 GiB and 128 GiB find its
// indexes in 64 MiB, where each of them would otherwise load half a MiB for one record.
//
// The indexes of segments that are written to come first, up to half of the limit; then
// they are thinned too, as they grow.
type indexes struct {
	limit int64

	mu      sync.Mutex
	bytes   int64                          // of loaded ones
	growing int64                          // bytes of those of segments that are written to
	order   [mostThinned + 1][]loadedIndex // by how often they were thinned
}

type loadedIndex struct {
	g       *Segment
	entries *[]entry
}

// thinTo is one of how many entries stay, and mostThinned how often that is done.
const (
	thinTo      = 4
	mostThinned = 2
)

func (l *loadedIndex) bytes() int64 { return entryBytes(*l.entries) }

// entryBytes is what entries take in memory, which is more than they fill.
func entryBytes(entries []entry) int64 { return int64(cap(entries)) * 8 }

// replace gives the segment other entries. It may have another index by now, which
// stays as it is; done says whether it had this one.
func (l *loadedIndex) replace(entries *[]entry) (done bool) {
	done = l.g.index.low.CompareAndSwap(l.entries, entries)
	l.entries = entries
	return done
}

// thinned is some of the entries.
func (l *loadedIndex) thinned() *[]entry {
	few := slices.Grow([]entry(nil), (len(*l.entries)+thinTo-1)/thinTo)
	for i := 0; i < len(*l.entries); i += thinTo {
		few = append(few, (*l.entries)[i])
	}
	return &few
}

func (c *indexes) loaded(g *Segment, entries *[]entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(0, loadedIndex{g: g, entries: entries})
	c.trim()
}

// mayGrow says whether the index of a segment that is written to may take so many
// bytes; if so, they count from now on.
func (c *indexes) mayGrow(x *growing, bytes int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes > leastGrowing && c.growing-x.counted+bytes > c.limit/2 && !bug.On(bug.IndexCacheUnbounded) {
		return false
	}
	if !x.done {
		c.growing += bytes - x.counted
		x.counted = bytes
		c.trim()
	}
	return true
}

// grown counts an index no more: its segment is sealed or removed.
func (c *indexes) grown(x *growing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.growing -= x.counted
	x.counted, x.done = 0, true
}

// trim makes loaded indexes smaller until they fit beside those that grow.
func (c *indexes) trim() {
	room := max(c.limit-c.growing, c.limit/2)
	for c.bytes > room && !bug.On(bug.IndexCacheUnbounded) {
		level, oldest, found := c.take()
		if !found {
			return
		}
		if level == mostThinned {
			oldest.replace(nil)
		} else if oldest.replace(oldest.thinned()) {
			c.add(level+1, oldest)
		}
	}
}

func (c *indexes) add(level int, l loadedIndex) {
	c.order[level] = append(c.order[level], l)
	c.bytes += l.bytes()
}

// take takes out the index that is next to become smaller. It is never the one that
// was just loaded.
func (c *indexes) take() (level int, l loadedIndex, found bool) {
	for level := range c.order {
		order := c.order[level]
		if len(order) == 0 || level == 0 && len(order) == 1 {
			continue
		}
		l := order[0]
		order[0] = loadedIndex{} // the array lives on, and would keep its entries
		c.order[level] = order[1:]
		c.bytes -= l.bytes()
		return level, l, true
	}
	return 0, loadedIndex{}, false
}

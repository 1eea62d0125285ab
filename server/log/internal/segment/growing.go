package segment

import "sync/atomic"

// growing is the part of an index that grows as frames are written. One goroutine adds
// to it, any number read it meanwhile.
type growing struct {
	array  atomic.Pointer[array]
	stride int64 // of the entries, once they were thinned; else IndexStride

	// Of indexes, under its lock.
	counted int64 // bytes
	done    bool  // it is not counted any more
}

// array is entries, of which the first so many are there.
type array struct {
	memory []entry
	filled atomic.Int64
}

func (a *array) entries() []entry { return a.memory[:a.filled.Load()] }

const (
	firstGrowing = 8       // entries
	leastGrowing = 4 << 10 // bytes that an index may take whatever others do
)

func (x *growing) entries() []entry {
	if a := x.array.Load(); a != nil {
		return a.entries()
	}
	return nil
}

func (x *growing) clear() { x.array.Store(nil) }

// add adds an entry, unless it is too near to the last one. Where the memory for
// indexes is used up, every second entry goes, and so will every second that comes; c
// nil: there is no limit. For the writer alone.
func (x *growing) add(e entry, c *indexes) {
	a := x.array.Load()
	for {
		n := 0
		if a != nil {
			n = int(a.filled.Load())
		}
		if n > 0 && e.position() < a.memory[n-1].position()+max(x.stride, IndexStride) {
			return
		}
		if a != nil && n < len(a.memory) {
			a.memory[n] = e
			a.filled.Store(int64(n + 1))
			return
		}
		a = x.more(a, c)
		x.array.Store(a)
	}
}

// more returns what has room for more entries than a.
func (x *growing) more(a *array, c *indexes) *array {
	if a == nil {
		a = &array{}
	}
	size := max(firstGrowing, 2*len(a.memory))
	if c == nil || c.mayGrow(x, int64(size)*8) {
		return filled(size, a.memory, 1)
	}
	x.stride = 2 * max(x.stride, IndexStride)
	return filled(len(a.memory), a.memory, 2)
}

// filled returns an array of a size with every step-th of the entries.
func filled(size int, entries []entry, step int) *array {
	a := &array{memory: make([]entry, size)}
	n := 0
	for i := 0; i < len(entries); i += step {
		a.memory[n] = entries[i]
		n++
	}
	a.filled.Store(int64(n))
	return a
}

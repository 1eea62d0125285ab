package segment

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/proglog/proglog/server/log/internal/bug"
)

// A tail is the end of a segment that is not yet in its file: frames that the
// journal holds, and readers see, in memory until they are written.
//
// What lies below from is in the file and stays there; what lies above is in chunks.
// Readers of what the file has take no lock.
type tail struct {
	written atomic.Int64 // from; nothingHeld without anything in memory

	mu     sync.RWMutex
	from   int64
	size   int // bytes that are held
	chunks [][]byte
	skip   int  // of the first chunk is in the file already
	memory int  // that the chunks take
	gone   bool // the segment is to be removed: its memory counts no more

	flushing bool // the file is being written from the chunks
	taken    int  // with flushing: how many bytes of them that is
	gap      int  // zeros that are held right behind that
	busy     bool // it filled up before a checkpoint came, and will again
}

// nothingHeld is the position from which on a tail with nothing in it has all.
const nothingHeld = math.MaxInt64

// chunkSize is the size of every chunk but the last, which begins smaller while the
// tail is short: most of many logs have a few KiB to a checkpoint. So a tail takes
// hardly more memory than it holds, and what is held never moves.
const (
	chunkSize  = 64 << 10
	firstChunk = 512
)

// chunks that are used again.
var freeChunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// add appends bytes that belong at a position, behind what is there, with zeros
// between. It returns how many bytes are held now, and how much memory that took.
func (t *tail) add(b []byte, pos int64) (size, took int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.size == 0 {
		t.from = pos
		t.written.Store(pos)
	}
	had := t.memory
	gap := int(pos - t.from - int64(t.size))
	if t.flushing && t.size == t.taken {
		t.gap = gap
	}
	t.size += gap + len(b)
	for gap > 0 {
		room := t.room(gap + len(b))
		room = room[:min(gap, len(room))]
		clear(room)
		t.fill(len(room))
		gap -= len(room)
	}
	for len(b) > 0 {
		n := copy(t.room(len(b)), b)
		t.fill(n)
		b = b[n:]
	}
	if t.gone {
		return t.size, 0
	}
	return t.size, t.memory - had
}

// room returns memory behind what the last chunk has, of one byte at least, better n.
func (t *tail) room(n int) []byte {
	var last []byte
	if k := len(t.chunks); k > 0 {
		last = t.chunks[k-1]
	}
	if free := cap(last) - len(last); free >= n || free > 0 && cap(last) == chunkSize {
		return last[len(last):cap(last)]
	}
	if len(last) == chunkSize {
		last = nil
	} else if len(t.chunks) > 0 {
		t.chunks = t.chunks[:len(t.chunks)-1] // a small one: it moves to a larger
		t.memory -= cap(last)
	}
	var next []byte
	if need := len(last) + n; t.busy || len(t.chunks) > 0 || 2*need > chunkSize {
		next = freeChunks.Get().(*[chunkSize]byte)[:0]
	} else {
		next = make([]byte, 0, max(need, 2*cap(last), firstChunk))
	}
	t.chunks = append(t.chunks, append(next, last...))
	t.memory += cap(next)
	return next[len(last):cap(next)]
}

// fill says that so many bytes of the room were filled.
func (t *tail) fill(n int) {
	last := &t.chunks[len(t.chunks)-1]
	*last = (*last)[:len(*last)+n]
}

// each calls f with the memory of n bytes from the i-th on that is held, in order.
func (t *tail) each(i, n int, f func([]byte)) {
	i += t.skip
	for n > 0 {
		b := t.chunks[i/chunkSize][i%chunkSize:]
		b = b[:min(n, len(b))]
		f(b)
		i, n = i+len(b), n-len(b)
	}
}

// read copies what is in memory of the bytes at a position. It returns how many
// of them, from the first on, are below that, and how many there are in all; held
// says whether there is anything in memory.
func (t *tail) read(b []byte, pos int64) (below, all int, held bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.size == 0 {
		return len(b), len(b), false
	}
	below = int(min(max(t.from-pos, 0), int64(len(b))))
	first := int(min(max(pos-t.from, 0), int64(t.size)))
	all = below
	t.each(first, min(len(b)-below, t.size-first), func(part []byte) { all += copy(b[all:], part) })
	return below, all, true
}

// begin returns what is to be written, of n bytes, and where. It stays as it is
// until end.
func (t *tail) begin() (parts [][]byte, pos int64, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flushing, t.taken, t.gap = t.size > 0, t.size, 0
	t.each(0, t.size, func(part []byte) { parts = append(parts, part) })
	return parts, t.from, t.size
}

// end says that the first n bytes, what begin returned or none, are in the file
// now. It returns how much memory that gave back. Zeros behind them, up to where
// a checkpoint made its cut meanwhile, are left out: their first block is that of
// the last frames which the checkpoint calls durable, and is not written again.
func (t *tail) end(n int) (gave int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flushing = false
	if n == 0 {
		return 0
	}
	t.busy = n >= FlushSize
	if !bug.On(bug.GapWritten) {
		n += t.gap
	}
	t.from += int64(n)
	t.size -= n
	t.skip += n
	had := t.memory
	done := min(t.skip/chunkSize, len(t.chunks))
	t.skip -= done * chunkSize
	if t.size == 0 {
		done, t.skip = len(t.chunks), 0
		t.written.Store(nothingHeld)
	} else {
		t.written.Store(t.from)
	}
	for _, c := range t.chunks[:done] {
		t.memory -= cap(c)
		if cap(c) == chunkSize {
			freeChunks.Put((*[chunkSize]byte)(c[:chunkSize]))
		}
	}
	t.chunks = slices.Delete(t.chunks, 0, done)
	if t.gone {
		return 0
	}
	return had - t.memory
}

// uncount returns how much memory there is, which the caller counts no more.
func (t *tail) uncount() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return 0
	}
	t.gone = true
	return t.memory
}

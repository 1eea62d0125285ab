package vfstest

import (
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// Crash returns a file system as it may be found after a power cut at this
// moment; m itself goes on unharmed. Everything in the result is durable.
//
// Of each file, every unsynced 512-byte sector is by itself kept (in one of the
// versions written since the last sync), dropped (as it was at that sync) or,
// if it was written to, garbage; its size is any between those it had since.
// Of each directory, every unsynced change is there or not, and of a rename
// perhaps only the new name; but a name only ever stands for something that it
// stood for before or after a change, and a file whose name was durable is
// never without one because of a rename. Locks are gone. What a failed sync
// lost stays lost.
//
// The same calls on m and the same seed give the same bytes. How much is kept
// is drawn first, for each file and directory, from all to nothing.
func (m *Mem) Crash(rng *rand.Rand) *Mem {
	return m.crash(rng)
}

// CrashKeepNone is the power cut that takes everything that was not synced. It
// is also what a new mount shows after a failed sync.
func (m *Mem) CrashKeepNone() *Mem { return m.crash(nil) }

// CrashKeepAll is the end of the process: locks are gone, the page cache stays,
// and with it what a power cut can still take, or a failed sync has lost.
func (m *Mem) CrashKeepAll() *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := cloner{files: map[*inode]*inode{}, dirs: map[*dir]*dir{}}
	return m.successor(c.dir(m.root))
}

func (m *Mem) crash(rng *rand.Rand) *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := crasher{rng: rng, files: map[*inode]*inode{}}
	return m.successor(c.dir(m.root))
}

func (m *Mem) successor(root *dir) *Mem {
	next := NewMem()
	next.root = root
	next.capacity, next.inodes = m.capacity, m.inodes
	return next
}

// crasher builds what a crash leaves. A file may be found under two names.
type crasher struct {
	rng   *rand.Rand
	files map[*inode]*inode
}

func (c *crasher) dir(d *dir) *dir {
	entries := d.afterCrash(c.rng)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		e := entries[name]
		if e.dir != nil {
			entries[name] = entry{dir: c.dir(e.dir)}
			continue
		}
		if c.files[e.file] == nil {
			c.files[e.file] = e.file.afterCrash(c.rng)
		}
		entries[name] = entry{file: c.files[e.file]}
	}
	return &dir{entries: entries, durable: maps.Clone(entries)}
}

// mood draws how likely it is that something is kept: often one of the
// extremes, since faults hide where all but one thing was kept, or but one lost.
func mood(rng *rand.Rand) float64 {
	return []float64{0, 0.1, 0.5, 0.9, 1}[rng.IntN(5)]
}

func (n *inode) afterCrash(rng *rand.Rand) *inode {
	size, disk := n.diskSize, n.disk.clone()
	if rng != nil {
		size = n.sizeAfterCrash(rng)
		keep, garbage := mood(rng), []float64{0, 0, 0.1, 0.3}[rng.IntN(4)]
		for at, u := range n.unsynced {
			if u != nil && u.set != 0 {
				disk.setChunk(int64(at), u.afterCrash(rng, disk.chunk(int64(at)), keep, garbage))
			}
		}
	}
	disk.cut(size)
	return &inode{
		number: n.number, size: size, cache: disk.clone(),
		diskSize: size, disk: disk,
		lowest: size, highest: size,
	}
}

func (n *inode) sizeAfterCrash(rng *rand.Rand) int64 {
	between := n.lowest
	if n.highest > n.lowest {
		between += rng.Int64N(n.highest - n.lowest + 1)
		if rng.Uint32()&1 == 0 { // file systems write whole pages
			between = max(n.lowest, between&^4095)
		}
	}
	return []int64{n.diskSize, n.size, between}[rng.IntN(3)]
}

func (u *unsyncedChunk) afterCrash(rng *rand.Rand, durable *chunk, keep, garbage float64) *chunk {
	var next chunk
	if durable != nil {
		next = *durable
	}
	for rest := u.set; rest != 0; rest &= rest - 1 {
		at := bits.TrailingZeros64(rest)
		versions := u.versions[at]
		latest := versions[len(versions)-1]
		roll := rng.Float64()
		switch {
		case roll < garbage && u.written>>at&1 == 1:
			next[at] = garbageSector(rng, next[at], latest)
		case rng.Float64() >= keep: // dropped
		case rng.Uint32()%4 == 0:
			next[at] = versions[rng.IntN(len(versions))]
		default:
			next[at] = latest
		}
	}
	return &next
}

// garbageSector is what a device leaves that loses power while it writes a
// sector: anything, or the beginning of the new bytes before the old ones.
func garbageSector(rng *rand.Rand, before, after *sector) *sector {
	var s sector
	if rng.Uint32()&1 == 0 {
		if before != nil {
			s = *before
		}
		torn := s[:rng.IntN(sectorSize)]
		clear(torn)
		if after != nil {
			copy(torn, after[:])
		}
		return nonZero(&s)
	}
	for i := 0; i < sectorSize; i += 8 {
		word := rng.Uint64()
		for b := range 8 {
			s[i+b] = byte(word >> (8 * b))
		}
	}
	return nonZero(&s)
}

// cloner copies a tree with all that is unsynced in it.
type cloner struct {
	files map[*inode]*inode
	dirs  map[*dir]*dir
}

func (c *cloner) dir(d *dir) *dir {
	if c.dirs[d] == nil {
		next := &dir{unsynced: slices.Clone(d.unsynced)}
		c.dirs[d] = next
		next.entries, next.durable = c.entries(d.entries), c.entries(d.durable)
		for i := range next.unsynced {
			next.unsynced[i].what = c.entry(next.unsynced[i].what)
		}
	}
	return c.dirs[d]
}

func (c *cloner) entries(entries map[string]entry) map[string]entry {
	next := make(map[string]entry, len(entries))
	for name, e := range entries {
		next[name] = c.entry(e)
	}
	return next
}

func (c *cloner) entry(e entry) entry {
	if e.dir != nil {
		return entry{dir: c.dir(e.dir)}
	}
	if c.files[e.file] == nil {
		c.files[e.file] = e.file.clone()
	}
	return entry{file: c.files[e.file]}
}

package vfstest

import (
	"math/bits"
	"math/rand/v2"
	"slices"
)

// inode is a file: what programs see, what a power cut cannot take away, and
// what lies between the two.
//
// A sector is in one of three states. Clean: cache and disk agree. Unsynced: a
// crash leaves any of its versions, or what the disk had. Lost: its sync
// failed, the cache still shows it, and no later sync will write it.
type inode struct {
	number   uint64
	size     int64
	cache    content
	diskSize int64
	disk     content
	// Sizes since the last sync: a crash may leave any from lowest to highest.
	lowest, highest int64
	unsynced        []*unsyncedChunk

	syncFailed bool
	lock       *heldLock
}

// unsyncedChunk says which sectors of a chunk are not clean.
type unsyncedChunk struct {
	set      uint64 // sectors that are unsynced
	written  uint64 // those of them that were written, not just truncated away
	lost     uint64 // sectors that are lost
	versions [chunkSectors][]*sector
}

func (n *inode) unsyncedChunk(at int64) *unsyncedChunk {
	if at >= int64(len(n.unsynced)) {
		return nil
	}
	return n.unsynced[at]
}

// readAt copies what is there, from the cache or as the device would have it.
func (n *inode) readAt(p []byte, position int64, fromDevice bool) int {
	if position >= n.size {
		return 0
	}
	total := int(min(int64(len(p)), n.size-position))
	for done := 0; done < total; {
		i, in := position/sectorSize, position%sectorSize
		part := p[done:min(total, done+int(sectorSize-in))]
		if s := n.visible(i, fromDevice); s == nil {
			clear(part)
		} else {
			copy(part, s[in:])
		}
		done += len(part)
		position += int64(len(part))
	}
	return total
}

// visible returns the sector that a read gets. The kernel writes out what is
// unsynced before it reads from the device, so the two differ in lost sectors
// alone.
func (n *inode) visible(i int64, fromDevice bool) *sector {
	if fromDevice {
		if u := n.unsyncedChunk(i / chunkSectors); u != nil && u.lost>>(i%chunkSectors)&1 == 1 {
			return n.disk.sector(i)
		}
	}
	return n.cache.sector(i)
}

// write puts p into the cache and leaves it unsynced. A direct write reaches
// the device itself, so to it lost sectors are like any other; what is written
// to them through the cache stays lost.
func (n *inode) write(p []byte, position int64, direct bool) (first int64, sectors []*sector) {
	if len(p) == 0 {
		return 0, nil
	}
	first, sectors = n.cache.overlay(p, position)
	n.cache.set(first, sectors)
	for i, s := range sectors {
		u, bit := n.markable(first + int64(i))
		if u.lost&bit != 0 && !direct {
			continue
		}
		u.lost &^= bit
		u.add(bit, s)
		u.written |= bit
	}
	if end := position + int64(len(p)); end > n.size {
		n.setSize(end)
	}
	return first, sectors
}

// settle makes what a direct write wrote durable, its size included. A version
// that is gone was synced by someone else in the meantime, or overwritten after.
func (n *inode) settle(first int64, sectors []*sector, end int64) {
	for i, s := range sectors {
		u, bit := n.markable(first + int64(i))
		versions := &u.versions[bits.TrailingZeros64(bit)]
		for v := len(*versions) - 1; v >= 0; v-- {
			if (*versions)[v] == s {
				*versions = (*versions)[v+1:]
				n.disk.set(first+int64(i), sectors[i:i+1])
				break
			}
		}
		if len(*versions) == 0 {
			u.forget(bit)
		}
	}
	if end <= n.size {
		n.diskSize = max(n.diskSize, end)
		n.lowest = max(n.lowest, end)
		n.highest = max(n.highest, end)
	}
}

func (n *inode) truncate(size int64) {
	if size < n.size {
		for i := size / sectorSize; i*sectorSize < n.size; i++ {
			if i%chunkSectors == 0 && n.emptyChunk(i/chunkSectors) {
				i += chunkSectors - 1
				continue
			}
			n.zeroTail(i, max(0, size-i*sectorSize))
		}
	}
	if size != n.size {
		n.setSize(size)
	}
}

func (n *inode) emptyChunk(at int64) bool {
	return n.cache.chunk(at) == nil && n.disk.chunk(at) == nil && n.unsyncedChunk(at) == nil
}

// zeroTail leaves the first keep bytes of a sector. Being truncated is also
// what brings a lost sector back to life.
func (n *inode) zeroTail(i, keep int64) {
	if n.emptyChunk(i / chunkSectors) {
		return
	}
	s := cutSector(n.cache.sector(i), keep)
	n.cache.set(i, []*sector{s})
	u, bit := n.markable(i)
	u.lost &^= bit
	if u.set&bit != 0 || s != nil || n.disk.sector(i) != nil {
		u.add(bit, s)
	}
}

func (n *inode) setSize(size int64) {
	n.size = size
	n.lowest = min(n.lowest, size)
	n.highest = max(n.highest, size)
}

// sync makes everything durable but what is lost.
func (n *inode) sync() {
	for at, u := range n.unsynced {
		if u == nil || u.set == 0 {
			continue
		}
		if u.lost == 0 {
			n.disk.setChunk(int64(at), n.cache.chunk(int64(at)))
			n.unsynced[at] = nil
			continue
		}
		for rest := u.set; rest != 0; rest &= rest - 1 {
			i := int64(at)*chunkSectors + int64(bits.TrailingZeros64(rest))
			n.disk.set(i, []*sector{n.cache.sector(i)})
		}
		u.forget(u.set)
	}
	n.diskSize, n.lowest, n.highest = n.size, n.size, n.size
}

// failSync is a sync that fails: what was unsynced is lost. With rng, some of
// it reached the device before.
func (n *inode) failSync(rng *rand.Rand) {
	n.syncFailed = true
	for at, u := range n.unsynced {
		if u == nil {
			continue
		}
		for rest := u.set; rest != 0; rest &= rest - 1 {
			i := int64(at)*chunkSectors + int64(bits.TrailingZeros64(rest))
			if rng != nil && rng.Uint32()&1 == 0 {
				n.disk.set(i, []*sector{n.cache.sector(i)})
			} else {
				u.lost |= rest & -rest
			}
		}
		u.forget(u.set)
	}
}

// markable returns where the state of a sector is kept, and its bit there.
func (n *inode) markable(i int64) (*unsyncedChunk, uint64) {
	at := i / chunkSectors
	if missing := at + 1 - int64(len(n.unsynced)); missing > 0 {
		n.unsynced = append(n.unsynced, make([]*unsyncedChunk, missing)...)
	}
	if n.unsynced[at] == nil {
		n.unsynced[at] = &unsyncedChunk{}
	}
	return n.unsynced[at], 1 << (i % chunkSectors)
}

func (u *unsyncedChunk) add(bit uint64, s *sector) {
	at := bits.TrailingZeros64(bit)
	u.versions[at] = append(u.versions[at], s)
	u.set |= bit
}

// forget makes sectors clean, unless they are lost.
func (u *unsyncedChunk) forget(set uint64) {
	for rest := set; rest != 0; rest &= rest - 1 {
		u.versions[bits.TrailingZeros64(rest)] = nil
	}
	u.set &^= set
	u.written &^= set
}

// clone copies everything but what belongs to processes.
func (n *inode) clone() *inode {
	c := *n
	c.cache, c.disk = n.cache.clone(), n.disk.clone()
	c.syncFailed, c.lock = false, nil
	c.unsynced = slices.Clone(n.unsynced)
	for i, u := range c.unsynced {
		if u == nil {
			continue
		}
		copied := *u
		for v := range copied.versions {
			copied.versions[v] = slices.Clone(u.versions[v])
		}
		c.unsynced[i] = &copied
	}
	return &c
}

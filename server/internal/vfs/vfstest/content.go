package vfstest

import "slices"

const (
	// sectorSize is what a device writes whole or not at all.
	sectorSize = 512
	// chunkSectors is how many sectors share a chunk: as many as a uint64 has bits.
	chunkSectors = 64
	chunkSize    = chunkSectors * sectorSize
)

// sector holds bytes that never change; nil is 512 zeros.
type sector [sectorSize]byte

// chunk is a run of sectors. One that is in a content never changes either, so
// that contents share what they have in common and a copy costs little.
type chunk [chunkSectors]*sector

// content is the bytes of a file, zeros where nothing was set. Its size is kept
// beside it.
type content struct{ chunks []*chunk }

func (c *content) clone() content { return content{chunks: slices.Clone(c.chunks)} }

func (c *content) sector(i int64) *sector {
	at := i / chunkSectors
	if at >= int64(len(c.chunks)) || c.chunks[at] == nil {
		return nil
	}
	return c.chunks[at][i%chunkSectors]
}

func (c *content) chunk(at int64) *chunk {
	if at >= int64(len(c.chunks)) {
		return nil
	}
	return c.chunks[at]
}

func (c *content) setChunk(at int64, ch *chunk) {
	if missing := at + 1 - int64(len(c.chunks)); missing > 0 {
		c.chunks = append(c.chunks, make([]*chunk, missing)...)
	}
	c.chunks[at] = ch
}

// set replaces the sectors from first on.
func (c *content) set(first int64, sectors []*sector) {
	for len(sectors) > 0 {
		at, in := first/chunkSectors, first%chunkSectors
		var next chunk
		if old := c.chunk(at); old != nil {
			next = *old
		}
		n := copy(next[in:], sectors)
		c.setChunk(at, &next)
		first += int64(n)
		sectors = sectors[n:]
	}
}

// cut makes zeros of everything from size on.
func (c *content) cut(size int64) {
	if keep := (size + chunkSize - 1) / chunkSize; keep < int64(len(c.chunks)) {
		c.chunks = c.chunks[:keep]
	}
	end := int64(len(c.chunks)) * chunkSectors
	first := size / sectorSize
	if first >= end {
		return
	}
	zeros := make([]*sector, end-first)
	zeros[0] = cutSector(c.sector(first), size%sectorSize)
	c.set(first, zeros)
}

// cutSector returns a sector with only its first n bytes left.
func cutSector(s *sector, n int64) *sector {
	if s == nil || n == 0 {
		return nil
	}
	var kept sector
	copy(kept[:n], s[:])
	return nonZero(&kept)
}

// overlay returns the sectors that hold p at a position, and what c has around
// it in the first and the last of them.
func (c *content) overlay(p []byte, position int64) (first int64, sectors []*sector) {
	first = position / sectorSize
	n := (position+int64(len(p))-1)/sectorSize - first + 1
	slab := make([]byte, n*sectorSize)
	for _, edge := range []int64{0, n - 1} {
		if s := c.sector(first + edge); s != nil {
			copy(slab[edge*sectorSize:], s[:])
		}
	}
	copy(slab[position%sectorSize:], p)
	sectors = make([]*sector, n)
	for i := range sectors {
		sectors[i] = nonZero((*sector)(slab[i*sectorSize:]))
	}
	return first, sectors
}

// nonZero returns nil for a sector of zeros.
func nonZero(s *sector) *sector {
	if *s == (sector{}) {
		return nil
	}
	return s
}

package vfstest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"maps"
	"path"
	"slices"
)

// Digest is a checksum over every name and byte of m: what programs see, what
// the device would give, and what a power cut would leave at the least. Two
// runs that are to be the same end with the same digest. Files to be left out are
// told by their names.
func (m *Mem) Digest(except ...string) string {
	h := sha256.New()
	for _, state := range []*Mem{m, m.CrashKeepNone()} {
		state.mu.RLock()
		state.root.digest(h, ".", except)
		state.mu.RUnlock()
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (d *dir) digest(h hash.Hash, name string, except []string) {
	put(h, name, 0)
	for _, base := range slices.Sorted(maps.Keys(d.entries)) {
		e := d.entries[base]
		if e.dir != nil {
			e.dir.digest(h, path.Join(name, base), except)
			continue
		}
		if slices.Contains(except, path.Join(name, base)) {
			continue
		}
		put(h, path.Join(name, base), int(e.file.size))
		for i := int64(0); i*sectorSize < e.file.size; i++ {
			for _, s := range []*sector{e.file.visible(i, false), e.file.visible(i, true)} {
				if s != nil {
					put(h, "", int(i))
					h.Write(s[:])
				}
			}
		}
	}
}

func put(h hash.Hash, name string, n int) {
	b := binary.LittleEndian.AppendUint64(nil, uint64(n))
	h.Write(append(b, name...))
}

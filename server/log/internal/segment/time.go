package segment

import (
	"fmt"
	"sort"
	"strconv"

	"github.com/proglog/proglog/server/log/internal/frame"
)

// FindTime returns the offset of the first record at a time, in nanoseconds since
// 1970, or later, of those below limit; else limit.
func (g *Segment) FindTime(ns int64, limit uint64) (uint64, error) {
	low, err := g.lowIndex()
	if err != nil {
		return 0, err
	}
	high := g.index.high.entries()
	at := func(i int) entry {
		if i < len(low) {
			return low[i]
		}
		return high[i-len(low)]
	}
	var failed error
	later := sort.Search(len(low)+len(high), func(i int) bool {
		if failed != nil || at(i).offset(g.Base) >= limit {
			return true
		}
		h, err := g.headerAt(at(i).position())
		if err != nil {
			failed = err
		}
		return h.Time >= ns
	})
	if failed != nil {
		return 0, failed
	}
	w := walker{g: g, end: maxPosition}
	if later > 0 {
		w.pos = at(later - 1).position()
	}
	for {
		h, _, err := w.next()
		if err != nil {
			return 0, err
		}
		if h == nil || h.Base >= limit {
			return limit, nil
		}
		if h.Time >= ns {
			return h.Base, nil
		}
	}
}

func (g *Segment) headerAt(pos int64) (frame.Header, error) {
	b, err := g.readAt(make([]byte, frame.HeaderSize), pos)
	if err != nil {
		return frame.Header{}, err
	}
	h, err := g.parse(b, pos)
	if err != nil {
		return h, fmt.Errorf("%s at position %d: %w", g.Name(), pos, err)
	}
	return h, nil
}

// OffsetAt returns the offset of the first indexed frame at a position or behind
// it; if there is none, found is false and the offset that of the last one.
func (g *Segment) OffsetAt(pos int64) (offset uint64, found bool, err error) {
	low, err := g.lowIndex()
	if err != nil {
		return 0, false, err
	}
	offset = g.Base
	for _, list := range [][]entry{low, g.index.high.entries()} {
		i := sort.Search(len(list), func(i int) bool { return list[i].position() >= pos })
		if i < len(list) {
			return list[i].offset(g.Base), true, nil
		}
		if i > 0 {
			offset = list[i-1].offset(g.Base)
		}
	}
	return offset, false, nil
}

// ParseName tells the log and the base offset from the name of a store or of its
// index.
func ParseName(name string) (log, base uint64, ok bool) {
	spec, kind, ok := parseName(name)
	return spec.Log, spec.Base, ok && (kind == "seg" || kind == "idx")
}

// ParseStoreName tells all that the name of a store says.
func ParseStoreName(name string) (spec Spec, ok bool) {
	spec, kind, ok := parseName(name)
	return spec, ok && kind == "seg"
}

func parseName(name string) (spec Spec, kind string, ok bool) {
	if len(name) < nameSize || name[16] != '-' || name[37] != '-' || name[46] != '.' {
		return spec, "", false
	}
	var err [3]error
	var number uint64
	spec.Log, err[0] = strconv.ParseUint(name[:16], 16, 64)
	spec.Base, err[1] = strconv.ParseUint(name[17:37], 10, 64)
	number, err[2] = strconv.ParseUint(name[38:46], 16, 32)
	spec.Number = uint32(number)
	stem := spec.Name()
	return spec, name[47:], err == [3]error{} && stem[:nameSize] == name[:nameSize]
}

// nameSize is the length of a name without its kind.
const nameSize = 47

package vfstest

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// entry is what a name stands for: one of the two.
type entry struct {
	file *inode
	dir  *dir
}

// dir is a directory: what programs see, what is durable, and the changes that
// lead from the latter to the former.
type dir struct {
	entries  map[string]entry
	durable  map[string]entry
	unsynced []change

	syncFailed bool
}

// change is one change of a directory: to a set name with what it then stands
// for, to a removed one with what it stood for.
type change struct {
	kind changeKind
	name string
	from string // in a rename, the name that goes away
	what entry
}

type changeKind int

const (
	changeSet changeKind = iota
	changeRemove
	changeRename
)

func newDir() *dir {
	return &dir{entries: map[string]entry{}, durable: map[string]entry{}}
}

func (d *dir) apply(c change) {
	d.unsynced = append(d.unsynced, c)
	c.apply(d.entries)
}

func (c change) apply(entries map[string]entry) {
	switch c.kind {
	case changeSet:
		entries[c.name] = c.what
	case changeRemove:
		c.drop(entries, c.name)
	case changeRename:
		entries[c.name] = c.what
		c.drop(entries, c.from)
	}
}

// drop removes a name if it still stands for what it stood for then: when
// changes are left out, it may stand for something that must stay.
func (c change) drop(entries map[string]entry, name string) {
	if entries[name] == c.what {
		delete(entries, name)
	}
}

func (d *dir) sync() {
	d.durable = maps.Clone(d.entries)
	d.unsynced = nil
}

// settle makes one new entry durable, leaving the other changes as they are.
func (d *dir) settle(name string) {
	d.durable[name] = d.entries[name]
	d.unsynced = slices.DeleteFunc(d.unsynced, func(c change) bool {
		return c.kind == changeSet && c.name == name
	})
}

// afterCrash returns what the names stand for after a power cut: each unsynced
// change is there or not. Without rng none is.
func (d *dir) afterCrash(rng *rand.Rand) map[string]entry {
	entries := maps.Clone(d.durable)
	if rng == nil {
		return entries
	}
	for i, f := range d.fates(rng) {
		c := d.unsynced[i]
		switch {
		case f == fateKept:
			c.apply(entries)
		case f == fateHalf:
			entries[c.name] = c.what
		}
	}
	return entries
}

// fate is what a crash does to a change.
type fate int

const (
	fateDropped fate = iota
	fateKept
	// fateHalf is a rename whose new name is there, and the old one still, too.
	fateHalf
)

// fates decides about each unsynced change. A change that gives a name to
// something else brings along the earlier renames that freed the name:
// otherwise what was renamed would be found under neither name.
func (d *dir) fates(rng *rand.Rand) []fate {
	fates := make([]fate, len(d.unsynced))
	taken := map[string]bool{}
	keep := mood(rng)
	for i := len(d.unsynced) - 1; i >= 0; i-- {
		c := d.unsynced[i]
		kept := rng.Float64() < keep
		half := c.kind == changeRename && rng.Uint32()%4 == 0
		switch {
		case c.kind == changeRename && taken[c.from]:
			fates[i] = fateKept
		case kept && half:
			fates[i] = fateHalf
		case kept:
			fates[i] = fateKept
		default:
			continue
		}
		if c.kind != changeRemove {
			taken[c.name] = true
		}
	}
	return fates
}

// Package fuzztest is what the fuzz targets of files share: scripts of changes,
// so that an input is some tens of bytes where the file is many thousands, and a
// file system that costs next to nothing to fill.
package fuzztest

import (
	"encoding/binary"
	"slices"
)

// What a change does, and how many bytes of a script its arguments take.
const (
	set      = iota // from, n, then n bytes: put there
	flip            // from, bit
	zero            // from, n: n units of 8 bytes
	move            // from, to, n: n units of 8 bytes are put there too
	truncate        // from: the end
	grow            // from, n: n units of 8 zeros are put before it
	kinds
)

// most is how many changes of a script are made: more find nothing else.
const most = 16

// Apply returns a copy of a file with the changes that a script asks for. Any
// bytes are a script. A change begins with its kind; then a place takes three
// bytes: one chooses of the places, two say how far behind it. So what matters
// has short names, and everything up to 64 KiB behind it can be reached.
func Apply(script, file []byte, places []int) []byte {
	file = slices.Clone(file)
	r := reader(script)
	for n := 0; len(r) > 0 && n < most; n++ {
		kind := r.next() % kinds
		from := r.place(places, len(file))
		switch kind {
		case set:
			n := min(int(r.next())%32+1, len(r))
			copy(file[from:], r[:n])
			r = r[n:]
		case flip:
			if bit := r.next(); from < len(file) {
				file[from] ^= 1 << (bit % 8)
			}
		case zero:
			clear(file[from:min(len(file), from+8*int(r.next()))])
		case move:
			to := r.place(places, len(file))
			copy(file[to:], slices.Clone(file[from:min(len(file), from+8*int(r.next()))]))
		case truncate:
			file = file[:from]
		case grow:
			file = slices.Insert(file, from, make([]byte, 8*int(r.next()))...)
		}
	}
	return file
}

// Set is the script that puts bytes, at most 32, at a distance from a place.
func Set(place byte, distance uint16, b ...byte) []byte {
	script := binary.LittleEndian.AppendUint16([]byte{set, place}, distance)
	return append(append(script, byte(len(b)-1)), b...)
}

// Truncate is the script that cuts the file at a distance from a place.
func Truncate(place byte, distance uint16) []byte {
	return binary.LittleEndian.AppendUint16([]byte{truncate, place}, distance)
}

// Move is the script that copies units of 8 bytes from one place to another.
func Move(from, to, units byte) []byte {
	return []byte{move, from, 0, 0, to, 0, 0, units}
}

// A reader takes bytes off a script; behind its end there are zeros.
type reader []byte

func (r *reader) next() byte {
	if len(*r) == 0 {
		return 0
	}
	b := (*r)[0]
	*r = (*r)[1:]
	return b
}

// place returns a position from 0 to the size.
func (r *reader) place(places []int, size int) int {
	which, distance := int(r.next()), int(r.next())|int(r.next())<<8
	return min(places[which%len(places)]+distance, size)
}

package frame

import "encoding/binary"

// unstep undoes one byte of the checksum's register.
func unstep(register uint32, b byte) uint32 {
	for i := range table {
		if table[i]>>24 == register>>24 {
			return (register^table[i])<<8 | uint32(byte(i)^b)
		}
	}
	return 0 // cannot be: the table has every top byte once
}

// SeedOf returns the seed with which the header at the start of b matches its
// checksum: there is always one. Whoever uses it has to know by other means that
// the header is whole.
func SeedOf(b []byte) uint32 {
	register := ^binary.LittleEndian.Uint32(b[4:])
	for i := HeaderSize - 1; i >= 8; i-- {
		register = unstep(register, b[i])
	}
	return ^register
}

// NonceOf returns a nonce that has a seed: not the one it was made from, but one
// that is as good.
func NonceOf(seed uint32) uint64 {
	register := ^seed
	for range 4 {
		register = unstep(register, 0)
	}
	var zeros [4]byte
	return uint64(register^^Update(0, zeros[:])) << 32
}

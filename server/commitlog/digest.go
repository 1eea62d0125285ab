package commitlog

import (
	"encoding/binary"
	"hash/crc32"
)

// Digest tells the records of one batch from those of another: a checksum over
// values and headers, with their lengths. An engine keeps it with the ack of a
// producer's sequence, to refuse the same sequence with other records.
func Digest(records []Record) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	crc := uint32(0)
	var size [8]byte
	add := func(b []byte) {
		binary.LittleEndian.PutUint64(size[:], uint64(len(b)))
		crc = crc32.Update(crc32.Update(crc, table, size[:]), table, b)
	}
	for i := range records {
		add(records[i].Value)
		binary.LittleEndian.PutUint64(size[:], uint64(len(records[i].Headers)))
		crc = crc32.Update(crc, table, size[:])
		for _, h := range records[i].Headers {
			add([]byte(h.Name))
			add(h.Value)
		}
	}
	return crc
}

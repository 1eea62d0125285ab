package peer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// StampBytes is how much of each value tells who wrote it, and as which of the
// writer's records. No value is smaller.
const StampBytes = 16

// A Batch is what a writer appends, again and again: values of random bytes, in
// one piece of memory, of which only the stamps change.
type Batch struct {
	Writer int
	Raw    []byte   // all values
	Values [][]byte // parts of Raw
}

// NewBatch makes the batch of a writer. The bytes depend on nothing else.
func NewBatch(writer, records, valueBytes int) *Batch {
	b := &Batch{Writer: writer, Raw: make([]byte, records*valueBytes), Values: make([][]byte, records)}
	body := make([]byte, valueBytes)
	random := rand.NewChaCha8([32]byte{0: byte(writer), 1: byte(writer >> 8), 2: byte(writer >> 16)})
	_, _ = random.Read(body) // never fails
	for i := range b.Values {
		b.Values[i] = b.Raw[i*valueBytes : (i+1)*valueBytes : (i+1)*valueBytes]
		copy(b.Values[i], body)
	}
	return b
}

// Stamp makes the values the writer's records from a sequence number on.
func (b *Batch) Stamp(seq uint64) {
	for i, v := range b.Values {
		binary.LittleEndian.PutUint64(v, uint64(b.Writer))
		binary.LittleEndian.PutUint64(v[8:], seq+uint64(i))
	}
}

// Check reports a value that is not the writer's record of that number.
func (b *Batch) Check(value []byte, seq uint64) error {
	if len(value) != len(b.Values[0]) {
		return fmt.Errorf("a value of %d bytes came back with %d", len(b.Values[0]), len(value))
	}
	if writer, got := StampOf(value); writer != uint64(b.Writer) || got != seq {
		return fmt.Errorf("record %d of writer %d came back as record %d of writer %d", seq, b.Writer, got, writer)
	}
	if string(value[StampBytes:]) != string(b.Values[0][StampBytes:]) {
		return fmt.Errorf("record %d of writer %d came back with other bytes", seq, b.Writer)
	}
	return nil
}

// StampOf reads a value's stamp.
func StampOf(value []byte) (writer, seq uint64) {
	if len(value) < StampBytes {
		return 0, 0
	}
	return binary.LittleEndian.Uint64(value), binary.LittleEndian.Uint64(value[8:])
}

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
// one piece of memory, with a stamp and a body that depend on the writer and the
// record's number alone.
type Batch struct {
	Writer int
	Raw    []byte   // all values
	Values [][]byte // parts of Raw
}

// NewBatch makes the batch of a writer, with its first records.
func NewBatch(writer, records, valueBytes int) *Batch {
	b := &Batch{Writer: writer, Raw: make([]byte, records*valueBytes), Values: make([][]byte, records)}
	for i := range b.Values {
		b.Values[i] = b.Raw[i*valueBytes : (i+1)*valueBytes : (i+1)*valueBytes]
	}
	b.Stamp(0)
	return b
}

// Stamp makes the values the writer's records from a sequence number on.
func (b *Batch) Stamp(seq uint64) { b.stamp(b.Values, seq) }

func (b *Batch) stamp(values [][]byte, seq uint64) {
	for i, v := range values {
		n := seq + uint64(i)
		binary.LittleEndian.PutUint64(v, uint64(b.Writer))
		binary.LittleEndian.PutUint64(v[8:], n)
		body := v[StampBytes:]
		for rest := b.body(len(v), n); len(body) > 0; rest = noise {
			body = body[copy(body, rest):]
		}
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
	body := value[StampBytes:]
	for rest := b.body(len(value), seq); len(body) > 0; rest = noise {
		n := min(len(body), len(rest))
		if string(body[:n]) != string(rest[:n]) {
			return fmt.Errorf("record %d of writer %d came back with other bytes", seq, b.Writer)
		}
		body = body[n:]
	}
	return nil
}

// noise is what bodies are cut from, one behind the other and around. It comes back
// only after more than a compressor looks back, so that a peer whose client
// compresses moves as many bytes as the others, and fits into a processor's cache.
var noise = func() []byte {
	b := make([]byte, 256<<10)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
}()

// body is where the noise of a record begins.
func (b *Batch) body(valueBytes int, seq uint64) []byte {
	const apart = 162_017 // the golden section of all noise: however many writers there are, none follows close on another
	return noise[(uint64(b.Writer)*apart+seq*uint64(valueBytes))%uint64(len(noise)):]
}

// StampOf reads a value's stamp.
func StampOf(value []byte) (writer, seq uint64) {
	if len(value) < StampBytes {
		return 0, 0
	}
	return binary.LittleEndian.Uint64(value), binary.LittleEndian.Uint64(value[8:])
}

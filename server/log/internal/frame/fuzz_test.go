package frame

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Goal: whatever the bytes, Parse and Payload take only what has its checksums,
// claim no more than there is, and the seed that SeedOf finds makes every header
// match, also by way of a nonce.
func FuzzParse(f *testing.F) {
	whole := make([]byte, Size(5))
	h := Header{Length: 5, PayloadCRC: Checksum([]byte("hello")), Kind: Records, Count: 1, Log: 2, Base: 3, Position: 128, Segment: 1}
	copy(whole[HeaderSize:], "hello")
	h.Put(whole, Seed(7), 9)
	f.Add(whole, Seed(7))
	f.Add(whole[:HeaderSize], Seed(7))
	f.Add([]byte{}, uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, seed uint32) {
		require.Equal(t, seed, Seed(NonceOf(seed)))
		h, err := Peek(b)
		if err != nil {
			_, err = Parse(b, seed)
			require.Error(t, err)
			return
		}
		require.LessOrEqual(t, h.Size(), HeaderSize+MaxPayload+Align)
		again, err := Parse(b, SeedOf(b))
		require.NoError(t, err)
		require.Equal(t, h, again)
		if p, err := h.Payload(b); err == nil {
			require.Len(t, p, int(h.Length))
			require.Equal(t, h.PayloadCRC, Checksum(p))
		}
	})
}

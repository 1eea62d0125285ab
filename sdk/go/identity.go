package proglog

import (
	"crypto/rand"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// dedupAcks is how many of a producer's acknowledgements every server
	// remembers. More than that in flight could not be sent again.
	dedupAcks = 256
	// maxProducerID is the most bytes of a producer's id.
	maxProducerID = 64
)

// identity numbers the requests of one writer in one log, so that the server
// knows one that comes twice.
type identity struct {
	none     bool // requests carry nothing, and are not sent again
	chosen   bool // by the caller, who wants this one and no other
	id       string
	epoch    uint64
	sequence uint64 // of the next request
}

// newIdentity makes an identity that nobody else has.
func newIdentity() identity { return identity{id: rand.Text()} }

// appendTo appends the identity, with the given sequence, to a request.
func (i *identity) appendTo(b []byte, sequence uint64) []byte {
	if i.none {
		return b
	}
	number := func(n uint64) int {
		if n == 0 {
			return 0
		}
		return 1 + protowire.SizeVarint(n)
	}
	size := bytesSize(fieldProducerID, len(i.id)) + number(i.epoch) + number(sequence)
	b = protowire.AppendTag(b, fieldRequestProducer, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendTag(b, fieldProducerID, protowire.BytesType)
	b = protowire.AppendString(b, i.id)
	if i.epoch > 0 {
		b = protowire.AppendTag(b, fieldProducerEpoch, protowire.VarintType)
		b = protowire.AppendVarint(b, i.epoch)
	}
	if sequence > 0 {
		b = protowire.AppendTag(b, fieldProducerSequence, protowire.VarintType)
		b = protowire.AppendVarint(b, sequence)
	}
	return b
}

// renewed returns the identity to go on with after an error that says that the
// server does not, or no longer, know this one. Only requests that were never
// sent, or provably never appended, may go on under another identity.
func (i *identity) renewed(err *Error) (identity, bool) {
	switch {
	case i.none || i.chosen:
	case err.Reason == ReasonSequenceForgotten:
		return newIdentity(), true
	case err.Reason == ReasonUnsupported:
		return identity{none: true}, true
	}
	return *i, false
}

package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	proglog "github.com/proglog/proglog/sdk/go"
)

// A Key names a record of a run: its writer (24 bits), the number of the request
// (32 bits) and its place in the request's batch (8 bits). The bytes of a record
// follow from the run and the key, so nothing else has to be kept to know them.
type Key uint64

func makeKey(writer, op uint32, place int) Key {
	return Key(uint64(writer)<<40 | uint64(op)<<8 | uint64(place))
}

func (k Key) writer() uint32 { return uint32(k >> 40) }
func (k Key) op() uint32     { return uint32(k >> 8) }
func (k Key) place() int     { return int(k & 0xff) }

// KeyOf returns the key that a value of a run has.
func KeyOf(value []byte) Key { return Key(binary.LittleEndian.Uint64(value[8:valueHead])) }

// String returns the key for people.
func (k Key) String() string {
	return fmt.Sprintf("record %d of request %d of writer %d", k.place(), k.op(), k.writer())
}

// valueHead is the run and the key, with which a value begins.
const valueHead = 16

// Largest is the size of the largest value of a run, in bytes.
const Largest = valueHead + 64<<10

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// size returns how many bytes follow the head: mostly few, so that a log gets many
// records, at times more than a frame or a page, at times many pages.
func size(run uint64, k Key) int {
	random := mix(run ^ mix(uint64(k)))
	switch roll := random >> 56; {
	case roll == 0:
		return int(random % (64<<10 + 1))
	case roll < 16:
		return int(random % (8<<10 + 1))
	default:
		return int(random % 161)
	}
}

// appendValue appends the value of a record.
func appendValue(b []byte, run uint64, k Key) []byte {
	b = binary.LittleEndian.AppendUint64(b, run)
	b = binary.LittleEndian.AppendUint64(b, uint64(k))
	n := size(run, k)
	end := len(b) + n
	for state := run + uint64(k)*0x9e3779b97f4a7c15; len(b) < end; {
		state += 0x9e3779b97f4a7c15
		b = binary.LittleEndian.AppendUint64(b, mix(state))
	}
	return b[:end]
}

// record returns the record of a key. One in eight has headers.
func record(run uint64, k Key) proglog.Record {
	r := proglog.Record{Value: appendValue(nil, run, k)}
	if hasHeaders(run, k) {
		r.Headers = []proglog.Header{{Name: "key", Value: r.Value[8:valueHead]}, {Name: "empty"}}
	}
	return r
}

func hasHeaders(run uint64, k Key) bool { return mix(run+uint64(k))%8 == 0 }

// errForeign is the error of a record that no run of this directory has made.
var errForeign = errors.New("no writer made it")

// identify returns the key of a record, or an error if its bytes are not those
// that a writer of the run has given it. scratch saves an allocation.
func identify(run uint64, r *proglog.Record, scratch []byte) (Key, []byte, error) {
	if len(r.Value) < valueHead || binary.LittleEndian.Uint64(r.Value) != run {
		return 0, scratch, errForeign
	}
	k := Key(binary.LittleEndian.Uint64(r.Value[8:]))
	scratch = appendValue(scratch[:0], run, k)
	if !bytes.Equal(scratch, r.Value) {
		return k, scratch, fmt.Errorf("its bytes are not those of %v", k)
	}
	if !hasHeaders(run, k) {
		if len(r.Headers) != 0 {
			return k, scratch, fmt.Errorf("it has headers, but %v has none", k)
		}
		return k, scratch, nil
	}
	if len(r.Headers) != 2 || r.Headers[0].Name != "key" || !bytes.Equal(r.Headers[0].Value, r.Value[8:valueHead]) ||
		r.Headers[1].Name != "empty" || len(r.Headers[1].Value) != 0 {
		return k, scratch, fmt.Errorf("its headers are not those of %v", k)
	}
	return k, scratch, nil
}

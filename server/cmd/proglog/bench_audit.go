package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	proglog "github.com/proglog/proglog/sdk/go"
)

// audit reads everything that was appended since the run began, and fails unless
// every ack names an offset at which the record is, with its bytes, and every
// record of the run is in the log once. Others may write to the log meanwhile.
func (b *benchRun) audit(ctx context.Context) (records uint64, err error) {
	type key struct{ producer, number uint64 }
	due := make(map[key]uint64)
	for producer, acks := range b.acks {
		for _, a := range acks {
			due[key{uint64(producer), a.number}] = a.offset
		}
	}
	acked := uint64(len(due))
	for record, err := range b.client.Records(ctx, proglog.InLog(b.config.log), proglog.From(b.first)) {
		if proglog.ReasonOf(err) == proglog.ReasonOffsetTrimmed {
			return 0, fmt.Errorf("retention or a trim removed records of this run; use a log that keeps them: %w", err)
		}
		if err != nil {
			return 0, err
		}
		v := record.Value
		if len(v) < benchHeader || binary.LittleEndian.Uint64(v) != b.id {
			continue // somebody else's
		}
		k := key{binary.LittleEndian.Uint64(v[8:]), binary.LittleEndian.Uint64(v[16:])}
		offset, there := due[k]
		switch {
		case !there:
			return 0, fmt.Errorf("record %d of producer %d is at offset %d without an ack, or twice", k.number, k.producer, record.Offset)
		case offset != record.Offset:
			return 0, fmt.Errorf("record %d of producer %d is at offset %d, but its ack told %d", k.number, k.producer, record.Offset, offset)
		case !bytes.Equal(v, b.value(int(k.producer), k.number)):
			return 0, fmt.Errorf("the record at offset %d has other bytes than were sent", offset)
		}
		delete(due, k)
	}
	for k, offset := range due {
		return 0, fmt.Errorf("%d acknowledged records are lost, of %d: one is record %d of producer %d, at offset %d",
			len(due), acked, k.number, k.producer, offset)
	}
	return acked, nil
}

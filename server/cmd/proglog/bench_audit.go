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
// record of the run is in the log once: without an ack only after a load that
// failed. Others may write to the log meanwhile.
func (b *benchRun) audit(ctx context.Context) (records uint64, err error) {
	due := make(map[benchKey]uint64)
	for producer, acks := range b.acks {
		for _, a := range acks {
			due[benchKey{uint64(producer), a.number}] = a.offset
		}
	}
	acked := uint64(len(due))
	unacked := make(map[benchKey]bool)
	for record, err := range b.client.Records(ctx, proglog.InLog(b.config.log), proglog.From(b.first)) {
		if proglog.ReasonOf(err) == proglog.ReasonOffsetTrimmed {
			return 0, fmt.Errorf("retention or a trim removed records of this run; use a log that keeps them: %w", err)
		}
		if err != nil {
			return 0, fmt.Errorf("%d acknowledged records could not be read back: %w", len(due), err)
		}
		v := record.Value
		if len(v) < benchHeader || binary.LittleEndian.Uint64(v) != b.id {
			continue // somebody else's
		}
		k := benchKey{binary.LittleEndian.Uint64(v[8:]), binary.LittleEndian.Uint64(v[16:])}
		offset, there := due[k]
		switch {
		case !there && (unacked[k] || !b.mayLackAck(k)):
			return 0, fmt.Errorf("record %d of producer %d is at offset %d without an ack, or twice", k.number, k.producer, record.Offset)
		case there && offset != record.Offset:
			return 0, fmt.Errorf("record %d of producer %d is at offset %d, but its ack told %d", k.number, k.producer, record.Offset, offset)
		case !bytes.Equal(v, b.value(int(k.producer), k.number)):
			return 0, fmt.Errorf("the record at offset %d has other bytes than were sent", record.Offset)
		}
		delete(due, k)
		if !there {
			unacked[k] = true
		}
	}
	for k, offset := range due {
		return 0, fmt.Errorf("%d acknowledged records are lost, of %d: one is record %d of producer %d, at offset %d",
			len(due), acked, k.number, k.producer, offset)
	}
	b.unacked = uint64(len(unacked))
	return acked, nil
}

// benchKey names a record of a run.
type benchKey struct{ producer, number uint64 }

// mayLackAck says whether a record that is in the log and not due may be there:
// acks come in order, so it has to be behind all that its producer got.
func (b *benchRun) mayLackAck(k benchKey) bool {
	return b.broken && k.producer < uint64(len(b.acks)) && k.number >= uint64(len(b.acks[k.producer]))
}

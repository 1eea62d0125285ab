package rpc

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// This file turns what describes a log or the server into messages.

// infoMessage describes a log of an engine that can do this.
func infoMessage(i commitlog.Info, can commitlog.Capabilities) *logv1.LogInfo {
	m := &logv1.LogInfo{
		Log:         i.Name,
		LogId:       i.ID,
		FirstOffset: i.First,
		NextOffset:  i.Next,
		Bytes:       i.Bytes,
		FirstTime:   timeMessage(i.FirstTime),
		LastTime:    timeMessage(i.LastTime),
		Retention:   &logv1.Retention{MaxBytes: i.Retention.MaxBytes},
		Durability:  durabilityMessage(can.Durability),
		Sealed:      i.Sealed,
	}
	if i.Retention.MaxAge > 0 {
		m.Retention.MaxAge = durationpb.New(i.Retention.MaxAge)
	}
	if can.Producers {
		m.DedupWindow = &logv1.DedupWindow{
			Acks:      uint32(can.Dedup.Acks),
			MaxAge:    durationpb.New(can.Dedup.MaxAge),
			Producers: uint32(can.Dedup.Producers),
		}
	}
	return m
}

// timeMessage returns nil for the zero time.
func timeMessage(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// durabilityMessage says what an ack means. Whatever does not survive the
// process is unsafe.
func durabilityMessage(d commitlog.Durability) logv1.Durability {
	switch d {
	case commitlog.Synced:
		return logv1.Durability_DURABILITY_SYNCED
	case commitlog.QuorumSynced:
		return logv1.Durability_DURABILITY_QUORUM_SYNCED
	}
	return logv1.Durability_DURABILITY_UNSAFE
}

// limitsMessage tells the limits that concern callers.
func limitsMessage(l Limits) *logv1.Limits {
	return &logv1.Limits{
		ValueBytes:      uint64(l.Batch.ValueBytes),
		Headers:         uint32(l.Batch.Headers),
		HeaderBytes:     uint64(l.Batch.HeaderBytes),
		BatchRecords:    uint32(l.Batch.BatchRecords),
		BatchBytes:      uint64(l.Batch.BatchBytes),
		ResponseBytes:   uint64(l.ResponseBytes),
		MaxRecords:      uint32(l.MaxRecords),
		Wait:            durationpb.New(l.Wait),
		MinHeartbeat:    durationpb.New(l.MinHeartbeat),
		MaxHeartbeat:    durationpb.New(l.MaxHeartbeat),
		ProducerIdBytes: uint32(l.Batch.ProducerID),
		PageSize:        uint32(l.PageSize),
	}
}

func capabilitiesMessage(can commitlog.Capabilities) *logv1.Capabilities {
	return &logv1.Capabilities{
		ExpectedOffset: can.ExpectedOffset,
		Producers:      can.Producers,
		NamedLogs:      can.NamedLogs,
		Trim:           can.Trim,
		Seal:           can.Seal,
		FromTime:       can.FindTime,
	}
}

package main

import (
	"fmt"
	"strings"

	proglog "github.com/proglog/proglog/sdk/go"
)

// jsonLimits are the limits in force as JSON: bytes, counts and durations.
type jsonLimits struct {
	ValueBytes      uint64 `json:"value_bytes"`
	Headers         uint32 `json:"headers"`
	HeaderBytes     uint64 `json:"header_bytes"`
	BatchRecords    uint32 `json:"batch_records"`
	BatchBytes      uint64 `json:"batch_bytes"`
	ResponseBytes   uint64 `json:"response_bytes"`
	MaxRecords      uint32 `json:"max_records"`
	Wait            string `json:"wait"`
	MinHeartbeat    string `json:"min_heartbeat"`
	MaxHeartbeat    string `json:"max_heartbeat"`
	ProducerIDBytes uint32 `json:"producer_id_bytes"`
	PageSize        uint32 `json:"page_size"`
}

// jsonCapabilities are what an engine can do as JSON.
type jsonCapabilities struct {
	ExpectedOffset bool `json:"expected_offset"`
	Producers      bool `json:"producers"`
	NamedLogs      bool `json:"named_logs"`
	Trim           bool `json:"trim"`
	Seal           bool `json:"seal"`
	FromTime       bool `json:"from_time"`
}

func tellLimits(l *proglog.ServerLimits) *jsonLimits {
	if l == nil {
		return nil
	}
	return &jsonLimits{
		ValueBytes: l.ValueBytes, Headers: l.Headers, HeaderBytes: l.HeaderBytes,
		BatchRecords: l.BatchRecords, BatchBytes: l.BatchBytes,
		ResponseBytes: l.ResponseBytes, MaxRecords: l.MaxRecords, Wait: l.Wait.String(),
		MinHeartbeat: l.MinHeartbeat.String(), MaxHeartbeat: l.MaxHeartbeat.String(),
		ProducerIDBytes: l.ProducerIDBytes, PageSize: l.PageSize,
	}
}

func tellCapabilities(c *proglog.Capabilities) *jsonCapabilities {
	if c == nil {
		return nil
	}
	return &jsonCapabilities{
		ExpectedOffset: c.ExpectedOffset, Producers: c.Producers, NamedLogs: c.NamedLogs,
		Trim: c.Trim, Seal: c.Seal, FromTime: c.FromTime,
	}
}

// limitRows prints the limits in force for people.
func limitRows(l *proglog.ServerLimits, row func(name string, value any)) {
	row("a record takes", fmt.Sprintf("a value of %s, %d headers of together %s",
		shownBytes(l.ValueBytes), l.Headers, shownBytes(l.HeaderBytes)))
	row("a batch takes", fmt.Sprintf("%d records, of together %s", l.BatchRecords, shownBytes(l.BatchBytes)))
	row("a response has", fmt.Sprintf("%d records, of together %s", l.MaxRecords, shownBytes(l.ResponseBytes)))
	row("a read waits", l.Wait)
	row("heartbeats come", fmt.Sprintf("every %v to %v", l.MinHeartbeat, l.MaxHeartbeat))
	row("a producer's id has", fmt.Sprintf("%d bytes", l.ProducerIDBytes))
	row("a page of logs has", l.PageSize)
}

// capabilityRows prints what an engine can do for people.
func capabilityRows(c *proglog.Capabilities, row func(name string, value any)) {
	var can []string
	for _, f := range []struct {
		has  bool
		name string
	}{
		{c.ExpectedOffset, "expected offset"},
		{c.Producers, "producers"},
		{c.NamedLogs, "named logs"},
		{c.Trim, "trim"},
		{c.Seal, "seal"},
		{c.FromTime, "from time"},
	} {
		if f.has {
			can = append(can, f.name)
		}
	}
	if len(can) == 0 {
		can = append(can, "-")
	}
	row("the server can do", strings.Join(can, ", "))
}

// shownBytes returns a number of bytes in the shortest form that is exact.
func shownBytes(n uint64) string {
	signed := int64(n)
	text := size[int64]{&signed}.String()
	if strings.HasSuffix(text, "B") {
		return text
	}
	return text + " bytes"
}

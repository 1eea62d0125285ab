package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// bounds are the limits in force on a server, and what its engine can do, as JSON
// of the wire has them. They hold for all of its logs.
type bounds struct {
	Limits struct {
		ValueBytes      uint64       `json:"valueBytes,string"`
		Headers         uint32       `json:"headers"`
		HeaderBytes     uint64       `json:"headerBytes,string"`
		BatchRecords    uint32       `json:"batchRecords"`
		BatchBytes      uint64       `json:"batchBytes,string"`
		ResponseBytes   uint64       `json:"responseBytes,string"`
		MaxRecords      uint32       `json:"maxRecords"`
		Wait            wireDuration `json:"wait"`
		MinHeartbeat    wireDuration `json:"minHeartbeat"`
		MaxHeartbeat    wireDuration `json:"maxHeartbeat"`
		ProducerIDBytes uint32       `json:"producerIdBytes"`
		PageSize        uint32       `json:"pageSize"`
	} `json:"limits"`
	Capabilities struct {
		ExpectedOffset bool `json:"expectedOffset"`
		Producers      bool `json:"producers"`
		NamedLogs      bool `json:"namedLogs"`
		Trim           bool `json:"trim"`
		Seal           bool `json:"seal"`
		FromTime       bool `json:"fromTime"`
	} `json:"capabilities"`
}

// wireDuration is a duration as the wire has it in JSON: "90s".
type wireDuration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *wireDuration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = wireDuration(parsed)
	return err
}

func (d wireDuration) String() string { return time.Duration(d).String() }

// askBounds asks a server for its bounds, which the SDK keeps to itself: as curl
// would, beside the description of a log that is there.
func askBounds(ctx context.Context, addr, log string) (*bounds, error) {
	ctx, cancel := context.WithTimeout(ctx, boundsTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{"log": log})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(addr, "/")+"/log.v1.Log/GetLog", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for the limits: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, boundsBytes))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP status %s: %s", res.Status, answer)
	}
	var b bounds
	if err == nil {
		err = json.Unmarshal(answer, &b)
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the limits: %w", err)
	}
	return &b, nil
}

// boundsBytes is more than the answer has.
const boundsBytes = 1 << 20

// boundsTimeout is how long the bounds are waited for, from a server that has just
// answered.
const boundsTimeout = 10 * time.Second

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

func (b *bounds) json() (*jsonLimits, *jsonCapabilities) {
	l, c := &b.Limits, &b.Capabilities
	return &jsonLimits{
			ValueBytes: l.ValueBytes, Headers: l.Headers, HeaderBytes: l.HeaderBytes,
			BatchRecords: l.BatchRecords, BatchBytes: l.BatchBytes,
			ResponseBytes: l.ResponseBytes, MaxRecords: l.MaxRecords, Wait: l.Wait.String(),
			MinHeartbeat: l.MinHeartbeat.String(), MaxHeartbeat: l.MaxHeartbeat.String(),
			ProducerIDBytes: l.ProducerIDBytes, PageSize: l.PageSize,
		}, &jsonCapabilities{
			ExpectedOffset: c.ExpectedOffset, Producers: c.Producers, NamedLogs: c.NamedLogs,
			Trim: c.Trim, Seal: c.Seal, FromTime: c.FromTime,
		}
}

// rows prints the bounds for people.
func (b *bounds) rows(row func(name string, value any)) {
	l, c := &b.Limits, &b.Capabilities
	row("a record takes", fmt.Sprintf("a value of %s, %d headers of together %s",
		shownBytes(l.ValueBytes), l.Headers, shownBytes(l.HeaderBytes)))
	row("a batch takes", fmt.Sprintf("%d records, of together %s", l.BatchRecords, shownBytes(l.BatchBytes)))
	row("a response has", fmt.Sprintf("%d records, of together %s", l.MaxRecords, shownBytes(l.ResponseBytes)))
	row("a read waits", l.Wait)
	row("heartbeats come", fmt.Sprintf("every %v to %v", l.MinHeartbeat, l.MaxHeartbeat))
	row("a producer's id has", fmt.Sprintf("%d bytes", l.ProducerIDBytes))
	row("a page of logs has", l.PageSize)
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

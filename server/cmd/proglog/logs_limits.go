package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// bounds are the limits in force on a server, and what its engine can do. They
// hold for all of its logs.
type bounds struct {
	limits       *logv1.Limits
	capabilities *logv1.Capabilities
}

// askBounds asks a server for its bounds, beside the description of a log that is
// there.
func askBounds(ctx context.Context, addr, log string) (*bounds, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	client := logv1connect.NewLogClient(connect.NewClient(
		connecthttp.NewTransport(&http.Client{Transport: transport}, strings.TrimRight(addr, "/"))))
	ctx, cancel := context.WithTimeout(ctx, boundsTimeout)
	defer cancel()
	ctx, _ = connect.NewClientContext(ctx)
	res, err := client.GetLog(ctx, &logv1.GetLogRequest{Log: log})
	if err != nil {
		return nil, fmt.Errorf("ask for the limits: %w", err)
	}
	return &bounds{res.GetLimits(), res.GetCapabilities()}, nil
}

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
	l, c := b.limits, b.capabilities
	return &jsonLimits{
			ValueBytes: l.GetValueBytes(), Headers: l.GetHeaders(), HeaderBytes: l.GetHeaderBytes(),
			BatchRecords: l.GetBatchRecords(), BatchBytes: l.GetBatchBytes(),
			ResponseBytes: l.GetResponseBytes(), MaxRecords: l.GetMaxRecords(), Wait: l.GetWait().AsDuration().String(),
			MinHeartbeat: l.GetMinHeartbeat().AsDuration().String(), MaxHeartbeat: l.GetMaxHeartbeat().AsDuration().String(),
			ProducerIDBytes: l.GetProducerIdBytes(), PageSize: l.GetPageSize(),
		}, &jsonCapabilities{
			ExpectedOffset: c.GetExpectedOffset(), Producers: c.GetProducers(), NamedLogs: c.GetNamedLogs(),
			Trim: c.GetTrim(), Seal: c.GetSeal(), FromTime: c.GetFromTime(),
		}
}

// rows prints the bounds for people.
func (b *bounds) rows(row func(name string, value any)) {
	l, c := b.limits, b.capabilities
	row("a record takes", fmt.Sprintf("a value of %s, %d headers of together %s",
		shownBytes(l.GetValueBytes()), l.GetHeaders(), shownBytes(l.GetHeaderBytes())))
	row("a batch takes", fmt.Sprintf("%d records, of together %s", l.GetBatchRecords(), shownBytes(l.GetBatchBytes())))
	row("a response has", fmt.Sprintf("%d records, of together %s", l.GetMaxRecords(), shownBytes(l.GetResponseBytes())))
	row("a read waits", l.GetWait().AsDuration())
	row("heartbeats come", fmt.Sprintf("every %v to %v", l.GetMinHeartbeat().AsDuration(), l.GetMaxHeartbeat().AsDuration()))
	row("a producer's id has", fmt.Sprintf("%d bytes", l.GetProducerIdBytes()))
	row("a page of logs has", l.GetPageSize())
	var can []string
	for _, f := range []struct {
		has  bool
		name string
	}{
		{c.GetExpectedOffset(), "expected offset"},
		{c.GetProducers(), "producers"},
		{c.GetNamedLogs(), "named logs"},
		{c.GetTrim(), "trim"},
		{c.GetSeal(), "seal"},
		{c.GetFromTime(), "from time"},
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

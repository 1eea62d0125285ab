package proglog

import (
	"time"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// ServerLimits are the limits in force on a server, for all of its logs.
type ServerLimits struct {
	ValueBytes      uint64        // of a record's value
	Headers         uint32        // of a record
	HeaderBytes     uint64        // of a record: names and values together
	BatchRecords    uint32        // of a batch
	BatchBytes      uint64        // of a batch of two records or more
	ResponseBytes   uint64        // of the records in a response of two or more
	MaxRecords      uint32        // of a response; more is cut
	Wait            time.Duration // of a read, at most; more is cut
	MinHeartbeat    time.Duration // the shortest interval of [Heartbeat]
	MaxHeartbeat    time.Duration // the longest
	ProducerIDBytes uint32        // of [Identity]
	PageSize        uint32        // logs of one answer to [Client.Logs]
}

// Capabilities are what a server's engine can do. What it cannot do fails with
// [ReasonUnsupported].
type Capabilities struct {
	ExpectedOffset bool // [ExpectOffset]
	Producers      bool // a request that comes twice is known
	NamedLogs      bool // there are others than the default log
	Trim           bool // retention, [Client.TrimLog] and [Client.DeleteLog]
	Seal           bool // [Client.SealLog]
	FromTime       bool // [FromTime]
}

// readLimits returns nil for limits that the server does not tell.
func readLimits(l *logv1.Limits) *ServerLimits {
	if l == nil {
		return nil
	}
	return &ServerLimits{
		ValueBytes: l.GetValueBytes(), Headers: l.GetHeaders(), HeaderBytes: l.GetHeaderBytes(),
		BatchRecords: l.GetBatchRecords(), BatchBytes: l.GetBatchBytes(),
		ResponseBytes: l.GetResponseBytes(), MaxRecords: l.GetMaxRecords(),
		Wait:         l.GetWait().AsDuration(),
		MinHeartbeat: l.GetMinHeartbeat().AsDuration(), MaxHeartbeat: l.GetMaxHeartbeat().AsDuration(),
		ProducerIDBytes: l.GetProducerIdBytes(), PageSize: l.GetPageSize(),
	}
}

// readCapabilities returns nil for capabilities that the server does not tell.
func readCapabilities(c *logv1.Capabilities) *Capabilities {
	if c == nil {
		return nil
	}
	return &Capabilities{
		ExpectedOffset: c.GetExpectedOffset(), Producers: c.GetProducers(), NamedLogs: c.GetNamedLogs(),
		Trim: c.GetTrim(), Seal: c.GetSeal(), FromTime: c.GetFromTime(),
	}
}

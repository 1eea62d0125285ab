package rpc

import (
	"google.golang.org/protobuf/types/known/durationpb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// newBatch turns a request into what the engine appends. It judges the form and
// the limits, before anything is known of the log. The batch refers to the
// request's bytes.
func newBatch(req *logv1.ProduceRequest, limits commitlog.Limits) (commitlog.Batch, error) {
	records := req.GetRecords()
	switch {
	case req.GetRecord() != nil && len(records) > 0:
		return commitlog.Batch{}, invalid(logv1.Reason_REASON_INVALID_REQUEST, "`record` and `records` are both set; use one of them")
	case req.GetRecord() != nil:
		records = []*logv1.Record{req.GetRecord()}
	case len(records) == 0:
		return commitlog.Batch{}, invalid(logv1.Reason_REASON_NO_RECORD, "there is no record: neither `record` nor `records` is set")
	}
	batch := commitlog.Batch{
		Records:        make([]commitlog.Record, len(records)),
		ExpectedOffset: req.ExpectedOffset,
	}
	for i, r := range records {
		batch.Records[i] = newRecord(r)
	}
	if err := limits.Check(batch); err != nil {
		return commitlog.Batch{}, err
	}
	if err := commitlog.CheckLogName(req.GetLog()); err != nil {
		return commitlog.Batch{}, err
	}
	if req.GetProducer() != nil {
		return commitlog.Batch{}, unsupported("`producer`")
	}
	return batch, nil
}

func newRecord(r *logv1.Record) commitlog.Record {
	rec := commitlog.Record{Value: r.GetValue()}
	if headers := r.GetHeaders(); len(headers) > 0 {
		rec.Headers = make([]commitlog.Header, len(headers))
		for i, h := range headers {
			rec.Headers[i] = commitlog.Header{Name: h.GetName(), Value: h.GetValue()}
		}
	}
	return rec
}

// batchBytes is what a batch counts in a queue.
func batchBytes(b commitlog.Batch) int {
	n := 0
	for i := range b.Records {
		r := &b.Records[i]
		n += recordOverhead + len(r.Value)
		for _, h := range r.Headers {
			n += len(h.Name) + len(h.Value)
		}
	}
	return n
}

// A reading is what a ConsumeRequest asks for.
type reading struct {
	next    uint64 // the next offset to read
	until   uint64 // where to stop, exclusive; noEnd: nowhere
	records int    // records to a response, within the limits; 0: one, in `record`
}

// noEnd is above every offset that a record can have.
const noEnd = ^uint64(0)

// newReading judges a request's form, before anything is known of the log.
func newReading(req *logv1.ConsumeRequest, limits Limits) (reading, error) {
	r := reading{next: req.GetOffset(), until: noEnd}
	r.records = int(min(uint64(req.GetMaxRecords()), uint64(limits.MaxRecords)))
	if req.UntilOffset != nil {
		r.until = req.GetUntilOffset()
	}
	switch {
	case req.GetStart() != nil && req.GetOffset() != 0:
		return reading{}, invalid(logv1.Reason_REASON_INVALID_REQUEST, "`offset` must be 0 when `from_time` or `from_tail` is set")
	case req.GetStart() == nil && req.UntilOffset != nil && r.until <= r.next:
		return reading{}, invalid(logv1.Reason_REASON_INVALID_REQUEST, "`until_offset` must be above `offset`")
	}
	if err := commitlog.CheckLogName(req.GetLog()); err != nil {
		return reading{}, err
	}
	switch req.GetStart().(type) {
	case *logv1.ConsumeRequest_FromTime:
		return reading{}, unsupported("`from_time`")
	case *logv1.ConsumeRequest_FromTail:
		return reading{}, unsupported("`from_tail`")
	}
	switch {
	case isSet(req.GetWait()):
		return reading{}, unsupported("`wait`")
	case isSet(req.GetHeartbeat()):
		return reading{}, unsupported("`heartbeat`")
	}
	return r, nil
}

// isSet says whether a duration asks for anything: zero is as good as absent.
func isSet(d *durationpb.Duration) bool { return d.GetSeconds() != 0 || d.GetNanos() != 0 }

// limit returns how much to read for the next response of at most size bytes.
func (r reading) limit(records, size int) commitlog.ReadLimit {
	if left := r.until - r.next; uint64(records) > left {
		records = int(left)
	}
	return commitlog.ReadLimit{Records: records, Bytes: size}
}

package rpc

import (
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
	if p := req.GetProducer(); p != nil {
		batch.Producer = &commitlog.Producer{ID: p.GetId(), Epoch: p.GetEpoch(), Sequence: p.GetSequence()}
	}
	if err := limits.Check(batch); err != nil {
		return commitlog.Batch{}, err
	}
	if err := commitlog.CheckLogName(req.GetLog()); err != nil {
		return commitlog.Batch{}, err
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

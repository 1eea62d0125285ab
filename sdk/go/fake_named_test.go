package proglog_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// fakeProducer is what the fake remembers of a producer.
type fakeProducer struct {
	epoch uint64
	acks  []*logv1.ProduceResponse // all of them
	sent  []*logv1.ProduceRequest
}

// judge answers a request that comes twice, or refuses it as the contract says.
func (f *fakeLog) judge(req *logv1.ProduceRequest) (*logv1.ProduceResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	refuse := func(code connect.Code, d *logv1.ErrorDetail) (*logv1.ProduceResponse, error) {
		return nil, fail(code, d)
	}
	id := req.GetProducer()
	if id == nil {
		return nil, f.judgeRest(req)
	}
	if !f.dedup && f.logID == "" { // a server that does not know the field
		return nil, f.judgeRest(req)
	} else if !f.dedup {
		return refuse(connect.CodeUnimplemented, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_UNSUPPORTED, NothingAppended: true})
	}
	p := f.producers[id.GetId()]
	if p != nil && id.GetEpoch() == p.epoch && id.GetSequence() < uint64(len(p.acks)) {
		ack := proto.CloneOf(p.acks[id.GetSequence()])
		ack.Duplicate = true
		for i, r := range requestRecords(p.sent[id.GetSequence()]) {
			if again := requestRecords(req); i >= len(again) || string(again[i].GetValue()) != string(r.GetValue()) {
				return refuse(connect.CodeInvalidArgument, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_SEQUENCE_REUSED, NothingAppended: true})
			}
		}
		return ack, nil
	}
	switch {
	case p == nil && id.GetSequence() > 0:
		return refuse(connect.CodeFailedPrecondition, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_SEQUENCE_FORGOTTEN})
	case p != nil && id.GetEpoch() < p.epoch:
		return refuse(connect.CodeFailedPrecondition, &logv1.ErrorDetail{
			Reason: logv1.Reason_REASON_PRODUCER_FENCED, NothingAppended: true, Epoch: &p.epoch})
	}
	if err := f.judgeRest(req); err != nil {
		return nil, err
	}
	if p == nil || id.GetEpoch() > p.epoch {
		p = &fakeProducer{epoch: id.GetEpoch()}
	}
	if due := uint64(len(p.acks)); id.GetSequence() != due {
		return refuse(connect.CodeAborted, &logv1.ErrorDetail{
			Reason: logv1.Reason_REASON_SEQUENCE_GAP, NothingAppended: true, Sequence: &due})
	}
	f.producers[id.GetId()] = p
	return nil, nil
}

// judgeRest comes after the producer.
func (f *fakeLog) judgeRest(req *logv1.ProduceRequest) error {
	next := f.next()
	switch {
	case f.closed:
		return fail(connect.CodeFailedPrecondition, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_LOG_SEALED, NothingAppended: true, NextOffset: &next})
	case req.ExpectedOffset != nil && req.GetExpectedOffset() != next:
		return fail(connect.CodeAborted, &logv1.ErrorDetail{
			Reason: logv1.Reason_REASON_OFFSET_MISMATCH, NothingAppended: true, NextOffset: &next,
		})
	}
	return nil
}

// accept appends a request, or answers it as the one that it repeats.
func (f *fakeLog) accept(req *logv1.ProduceRequest) (*logv1.ProduceResponse, error) {
	if ack, err := f.judge(req); ack != nil || err != nil {
		return ack, err
	}
	ack := f.append(requestRecords(req)...)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, proto.CloneOf(req))
	if p := f.producers[req.GetProducer().GetId()]; p != nil {
		p.acks, p.sent = append(p.acks, ack), append(p.sent, proto.CloneOf(req))
	}
	return ack, nil
}

// pick returns the log of a name: this one for every name unless it has others.
func (f *fakeLog) pick(name string) (*fakeLog, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.named == nil || name == "" {
		return f, nil
	}
	if g := f.named[name]; g != nil {
		return g, nil
	}
	return nil, fail(connect.CodeNotFound, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_LOG_NOT_FOUND, NothingAppended: true})
}

// newFakeLog makes a log that knows repeated requests.
func newFakeLog(id string) *fakeLog {
	return &fakeLog{grown: make(chan struct{}), logID: id, dedup: true, producers: make(map[string]*fakeProducer)}
}

// withLogs makes a fake with named logs.
func withLogs(f *fakeLog) { f.named = make(map[string]*fakeLog) }

// fakeAdmin administers the named logs of a fake.
type fakeAdmin struct {
	logv1connect.UnimplementedAdminHandler
	f *fakeLog
}

func (a fakeAdmin) PutLog(_ context.Context, req *logv1.PutLogRequest) (*logv1.PutLogResponse, error) {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	if a.f.denied {
		return nil, fail(connect.CodePermissionDenied, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_PERMISSION_DENIED})
	}
	if a.f.beforePut != nil {
		if err := a.f.beforePut(); err != nil {
			return nil, err
		}
	}
	g, created := a.f.named[req.GetLog()], false
	if g == nil {
		g, created = newFakeLog("id of "+req.GetLog()), true
		a.f.named[req.GetLog()] = g
	}
	if req.GetRetention() != nil {
		g.retention = req.GetRetention()
	}
	g.closed = g.closed || req.GetSealed()
	if a.f.afterPut != nil {
		if err := a.f.afterPut(); err != nil {
			return nil, err
		}
	}
	return &logv1.PutLogResponse{Info: g.info(req.GetLog()), Created: created}, nil
}

func (a fakeAdmin) TrimLog(_ context.Context, req *logv1.TrimLogRequest) (*logv1.TrimLogResponse, error) {
	g, err := a.f.pick(req.GetLog())
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(max(req.GetFirstOffset(), g.first), g.next()) - g.first
	g.first, g.records = g.first+n, g.records[n:]
	return &logv1.TrimLogResponse{FirstOffset: g.first}, nil
}

func (a fakeAdmin) DeleteLog(_ context.Context, req *logv1.DeleteLogRequest) (*logv1.DeleteLogResponse, error) {
	if _, err := a.f.pick(req.GetLog()); err != nil {
		return nil, err
	}
	a.f.mu.Lock()
	delete(a.f.named, req.GetLog())
	a.f.mu.Unlock()
	if a.f.onDelete != nil {
		return nil, a.f.onDelete()
	}
	return &logv1.DeleteLogResponse{}, nil
}

func (a fakeAdmin) ListLogs(_ context.Context, req *logv1.ListLogsRequest) (*logv1.ListLogsResponse, error) {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	var names []string
	for name := range a.f.named {
		if strings.HasPrefix(name, req.GetPrefix()) && name > req.GetPageToken() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	res := &logv1.ListLogsResponse{}
	if len(names) > 2 {
		names = names[:2]
		res.NextPageToken = names[1]
	}
	for _, name := range names {
		res.Logs = append(res.Logs, a.f.named[name].info(name))
	}
	return res, nil
}

// info describes the log; the lock is held by the caller, of this log or, in a
// test that does one thing at a time, of its parent.
func (f *fakeLog) info(name string) *logv1.LogInfo {
	info := &logv1.LogInfo{
		Log: name, LogId: f.logID, FirstOffset: f.first, NextOffset: f.next(), Bytes: 99,
		Retention: f.retention, Durability: logv1.Durability_DURABILITY_SYNCED, Sealed: f.closed,
		DedupWindow: &logv1.DedupWindow{Acks: 256, MaxAge: durationpb.New(7 * 24 * time.Hour), Producers: 10000},
	}
	if len(f.records) > 0 {
		info.FirstTime, info.LastTime = f.records[0].GetTimestamp(), f.records[len(f.records)-1].GetTimestamp()
	}
	return info
}

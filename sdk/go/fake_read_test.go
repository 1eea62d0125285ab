package proglog_test

import (
	"context"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/types/known/durationpb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

func (f *fakeLog) Consume(_ context.Context, req *logv1.ConsumeRequest) (*logv1.ConsumeResponse, error) {
	if err := f.countUnary(); err != nil {
		return nil, err
	}
	f, err := f.pick(req.GetLog())
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	offset, next := req.GetOffset(), f.next()
	switch start := req.GetStart().(type) {
	case *logv1.ConsumeRequest_FromTail:
		offset = next - min(start.FromTail, next-f.first)
	case *logv1.ConsumeRequest_FromTime:
		offset = f.first
		for offset < next && f.records[offset-f.first].GetTimestamp().AsTime().Before(start.FromTime.AsTime()) {
			offset++
		}
	}
	if req.GetLogId() != "" && req.GetLogId() != f.logID {
		return nil, fail(connect.CodeFailedPrecondition, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_LOG_CHANGED})
	}
	if req.GetMaxRecords() > 0 && offset >= f.first && offset <= next {
		res := &logv1.ConsumeResponse{Records: f.records[offset-f.first:]}
		if n := int(req.GetMaxRecords()); len(res.Records) > n {
			res.Records = res.Records[:n]
		} else {
			res.NextOffset = &next
		}
		return res, nil
	}
	if req.GetOffset() < f.first || req.GetOffset() >= f.next() {
		return nil, f.offsetError(req.GetOffset())
	}
	return &logv1.ConsumeResponse{Record: f.records[req.GetOffset()-f.first]}, nil
}

func (f *fakeLog) GetLog(_ context.Context, req *logv1.GetLogRequest) (*logv1.GetLogResponse, error) {
	f, err := f.pick(req.GetLog())
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	hook := f.onGetLog
	f.mu.Unlock()
	if hook != nil {
		if err := hook(); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.logID == "" {
		return nil, fail(connect.CodeUnimplemented, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_UNSUPPORTED})
	}
	res := &logv1.GetLogResponse{Info: f.info(req.GetLog()), Capabilities: &logv1.Capabilities{Producers: f.dedup}, Limits: f.limits}
	if f.heartbeat {
		res.Limits = &logv1.Limits{
			MinHeartbeat: durationpb.New(time.Millisecond), MaxHeartbeat: durationpb.New(time.Minute),
		}
	}
	if f.answer != nil {
		f.answer(res)
	}
	return res, nil
}

func (f *fakeLog) ConsumeStream(ctx context.Context, req *logv1.ConsumeRequest, stream logv1connect.LogConsumeStreamServerStream) error {
	f, err := f.pick(req.GetLog())
	if err != nil {
		return err
	}
	f.mu.Lock()
	call, onStream, onSend, onBeat := f.streams, f.onStream, f.onSend, f.onBeat
	f.streams++
	f.mu.Unlock()
	if onStream != nil {
		if err := onStream(call, req); err != nil {
			return err
		}
	}
	for offset := req.GetOffset(); ; {
		f.mu.Lock()
		res, grown, err := f.read(offset, req)
		f.mu.Unlock()
		if err != nil || res == nil && grown == nil {
			return err
		}
		if res == nil {
			var beat <-chan time.Time
			f.mu.Lock()
			mute := f.mute
			f.mu.Unlock()
			if d := req.GetHeartbeat(); d != nil && !mute {
				f.mu.Lock()
				next := f.next()
				f.mu.Unlock()
				if err := stream.Send(&logv1.ConsumeResponse{NextOffset: &next}); err != nil {
					return err
				}
				if onBeat != nil {
					if err := onBeat(call); err != nil {
						return err
					}
				}
				beat = time.After(d.AsDuration())
			}
			select {
			case <-grown:
			case <-beat:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		if onSend != nil {
			if err := onSend(call, res); err != nil {
				return err
			}
		}
		if err := stream.Send(res); err != nil {
			return err
		}
		offset += uint64(len(res.GetRecords()))
	}
}

// read returns the next response, or what to wait for, or nothing at the end.
func (f *fakeLog) read(offset uint64, req *logv1.ConsumeRequest) (*logv1.ConsumeResponse, chan struct{}, error) {
	until := f.next()
	if req.UntilOffset != nil {
		until = min(until, req.GetUntilOffset())
	}
	switch {
	case req.GetLogId() != "" && req.GetLogId() != f.logID:
		return nil, nil, fail(connect.CodeFailedPrecondition, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_LOG_CHANGED})
	case offset < f.first:
		return nil, nil, f.offsetError(offset)
	case req.UntilOffset != nil && offset >= req.GetUntilOffset(), f.sealed && offset >= f.next():
		return nil, nil, nil
	case offset >= until:
		return nil, f.grown, nil
	}
	end := min(until, offset+uint64(req.GetMaxRecords()))
	res := &logv1.ConsumeResponse{Records: f.records[offset-f.first : end-f.first]}
	if next := f.next(); end == next {
		res.NextOffset = &next
	}
	return res, nil, nil
}

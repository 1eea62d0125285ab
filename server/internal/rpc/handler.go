package rpc

import (
	"context"
	"sync"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// immutable is for answers about history, which never change. An offset is
// never given to other bytes, and the request named the log's identity.
const immutable = "private, max-age=31536000, immutable"

// logService answers log.v1.Log from an engine.
type logService struct {
	engine   commitlog.Engine
	limits   Limits
	draining <-chan struct{} // closed when the server drains
	strides  sync.Pool       // *[]byte, for streams that read
}

// Produce implements log.v1.Log.
func (s *logService) Produce(ctx context.Context, req *logv1.ProduceRequest) (*logv1.ProduceResponse, error) {
	batch, err := newBatch(req, s.limits.Batch)
	if err != nil {
		return nil, err
	}
	log, err := s.engine.Log(ctx, req.GetLog())
	if err != nil {
		return nil, err
	}
	acks, err := log.Append(ctx, batch)
	if err != nil {
		return nil, err
	}
	return ackResponse(acks[0]), nil
}

// Consume implements log.v1.Log.
func (s *logService) Consume(ctx context.Context, req *logv1.ConsumeRequest) (*logv1.ConsumeResponse, error) {
	r, err := newReading(req, s.limits)
	if err != nil {
		return nil, err
	}
	log, err := s.openLog(ctx, req)
	if err != nil {
		return nil, err
	}
	run, err := log.Read(ctx, r.next, r.limit(max(r.records, 1), s.limits.ResponseBytes), nil)
	if err != nil {
		return nil, err
	}
	if c := connOf(ctx); c != nil && req.GetLogId() != "" && !run.Tail {
		c.cache(immutable)
	}
	if r.records > 0 {
		return batchResponse(run)
	}
	var res *logv1.ConsumeResponse
	err = singleResponses(run, func(one *logv1.ConsumeResponse, _ bool) error {
		res = one
		return nil
	})
	return res, err
}

// GetLog implements log.v1.Log.
func (s *logService) GetLog(context.Context, *logv1.GetLogRequest) (*logv1.GetLogResponse, error) {
	return nil, unsupported("GetLog")
}

// openLog returns the log that a request reads, if it is the one that the caller
// means.
func (s *logService) openLog(ctx context.Context, req *logv1.ConsumeRequest) (commitlog.CommitLog, error) {
	log, err := s.engine.Log(ctx, req.GetLog())
	if err != nil {
		return nil, err
	}
	if id := req.GetLogId(); id != "" && id != log.ID() {
		return nil, logChanged()
	}
	return log, nil
}

// adminService answers log.v1.Admin: so far with what it does not do.
type adminService struct{}

// ListLogs implements log.v1.Admin.
func (adminService) ListLogs(context.Context, *logv1.ListLogsRequest) (*logv1.ListLogsResponse, error) {
	return nil, unsupported("ListLogs")
}

// PutLog implements log.v1.Admin.
func (adminService) PutLog(context.Context, *logv1.PutLogRequest) (*logv1.PutLogResponse, error) {
	return nil, unsupported("PutLog")
}

// TrimLog implements log.v1.Admin.
func (adminService) TrimLog(context.Context, *logv1.TrimLogRequest) (*logv1.TrimLogResponse, error) {
	return nil, unsupported("TrimLog")
}

// DeleteLog implements log.v1.Admin.
func (adminService) DeleteLog(context.Context, *logv1.DeleteLogRequest) (*logv1.DeleteLogResponse, error) {
	return nil, unsupported("DeleteLog")
}

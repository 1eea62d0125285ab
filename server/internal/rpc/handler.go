package rpc

import (
	"context"
	"errors"
	"strings"
	"sync"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// logService answers log.v1.Log from an engine.
type logService struct {
	engine      commitlog.Engine
	limits      Limits
	create      string          // [Options.CreateOnProduce]
	publicCache bool            // [Options.PublicCache]
	draining    context.Context // ends when the server drains
	strides     sync.Pool       // *[]byte, for streams that read
}

// Produce implements log.v1.Log.
func (s *logService) Produce(ctx context.Context, req *logv1.ProduceRequest) (*logv1.ProduceResponse, error) {
	batch, err := newBatch(req, s.limits.Batch)
	if err != nil {
		return nil, err
	}
	log, err := s.logToAppend(ctx, req.GetLog())
	if err != nil {
		return nil, err
	}
	acks, err := log.Append(ctx, batch)
	if err != nil {
		return nil, err
	}
	return ackResponse(acks[0]), nil
}

// GetLog implements log.v1.Log.
func (s *logService) GetLog(ctx context.Context, req *logv1.GetLogRequest) (*logv1.GetLogResponse, error) {
	if err := commitlog.CheckLogName(req.GetLog()); err != nil {
		return nil, err
	}
	log, err := s.engine.Log(ctx, req.GetLog())
	if err != nil {
		return nil, err
	}
	info, err := log.Info(ctx)
	if err != nil {
		return nil, err
	}
	can := s.engine.Capabilities()
	return &logv1.GetLogResponse{
		Info:         infoMessage(info, can),
		Limits:       limitsMessage(s.limits),
		Capabilities: capabilitiesMessage(can),
	}, nil
}

// logToAppend returns the log of that name, and makes it if there is none and
// the server is set to.
func (s *logService) logToAppend(ctx context.Context, name string) (commitlog.CommitLog, error) {
	log, err := s.engine.Log(ctx, name)
	if _, ok := errors.AsType[*commitlog.LogNotFoundError](err); !ok || !s.creates(name) {
		return log, err
	}
	log, _, err = s.engine.Put(ctx, name, commitlog.Change{})
	return log, err
}

// creates says whether a produce may make a log of this name.
func (s *logService) creates(name string) bool {
	switch s.create {
	case "":
		return false
	case "*":
		return true
	}
	return strings.HasPrefix(name, s.create)
}

// logToRead returns the log that a request reads, if it is the one that the
// caller means.
func (s *logService) logToRead(ctx context.Context, req *logv1.ConsumeRequest) (commitlog.CommitLog, error) {
	log, err := s.engine.Log(ctx, req.GetLog())
	if err != nil {
		return nil, err
	}
	if id := req.GetLogId(); id != "" && id != log.ID() {
		return nil, logChanged()
	}
	return log, nil
}

// whileReading returns what an error is for one who reads. A log that was
// deleted meanwhile is not found; a caller who named its identity learns it if
// another log has taken the name by now.
func (s *logService) whileReading(ctx context.Context, req *logv1.ConsumeRequest, err error) error {
	if _, ok := errors.AsType[*commitlog.LogNotFoundError](err); !ok {
		return err
	}
	if _, now := s.logToRead(ctx, req); now != nil {
		return now
	}
	return err
}

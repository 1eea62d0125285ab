package rpc

import (
	"context"
	"encoding/base64"
	"strings"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// adminService answers log.v1.Admin from an engine.
type adminService struct {
	engine commitlog.Engine
	limits Limits
}

// ListLogs implements log.v1.Admin.
func (s *adminService) ListLogs(ctx context.Context, req *logv1.ListLogsRequest) (*logv1.ListLogsResponse, error) {
	after, err := parsePageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := s.limits.PageSize
	if asked := req.GetPageSize(); asked > 0 && uint64(asked) < uint64(size) {
		size = int(asked)
	}
	logs, more, err := s.engine.List(ctx, req.GetPrefix(), after, size)
	if err != nil {
		return nil, err
	}
	res := &logv1.ListLogsResponse{Logs: make([]*logv1.LogInfo, len(logs))}
	can := s.engine.Capabilities()
	for i, info := range logs {
		res.Logs[i] = infoMessage(info, can)
	}
	if more && len(logs) > 0 {
		res.NextPageToken = pageToken(logs[len(logs)-1].Name)
	}
	return res, nil
}

// tokenMark begins what a page token encodes, so that the token of the default
// log, whose name is empty, is not the empty one, and later forms can differ.
const tokenMark = "1"

// pageToken asks for what comes after a name. It is opaque to clients, and holds
// no state of the server: it outlives a restart.
func pageToken(after string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(tokenMark + after))
}

// parsePageToken returns the name that a token stands for; nil for the first
// page.
func parsePageToken(token string) (after *string, err error) {
	if token == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(token)
	name, ok := strings.CutPrefix(string(text), tokenMark)
	if err != nil || !ok || len(name) > commitlog.MaxLogNameBytes {
		return nil, invalid(logv1.Reason_REASON_INVALID_REQUEST, "`page_token` is not one that this server gave; leave it out to begin")
	}
	return &name, nil
}

// PutLog implements log.v1.Admin.
func (s *adminService) PutLog(ctx context.Context, req *logv1.PutLogRequest) (*logv1.PutLogResponse, error) {
	if err := commitlog.CheckLogName(req.GetLog()); err != nil {
		return nil, err
	}
	change := commitlog.Change{Sealed: req.Sealed}
	if r := req.GetRetention(); r != nil {
		age, err := duration("`retention.max_age`", r.GetMaxAge())
		if err != nil {
			return nil, err
		}
		change.Retention = &commitlog.Retention{MaxAge: age, MaxBytes: r.GetMaxBytes()}
	}
	log, created, err := s.engine.Put(ctx, req.GetLog(), change)
	if err != nil {
		return nil, err
	}
	info, err := log.Info(ctx)
	if err != nil {
		return nil, err
	}
	return &logv1.PutLogResponse{Info: infoMessage(info, s.engine.Capabilities()), Created: created}, nil
}

// TrimLog implements log.v1.Admin.
func (s *adminService) TrimLog(ctx context.Context, req *logv1.TrimLogRequest) (*logv1.TrimLogResponse, error) {
	if err := commitlog.CheckLogName(req.GetLog()); err != nil {
		return nil, err
	}
	log, err := s.engine.Log(ctx, req.GetLog())
	if err != nil {
		return nil, err
	}
	first, err := log.Trim(ctx, req.GetFirstOffset())
	if err != nil {
		return nil, err
	}
	return &logv1.TrimLogResponse{FirstOffset: first}, nil
}

// DeleteLog implements log.v1.Admin.
func (s *adminService) DeleteLog(ctx context.Context, req *logv1.DeleteLogRequest) (*logv1.DeleteLogResponse, error) {
	if err := commitlog.CheckLogName(req.GetLog()); err != nil {
		return nil, err
	}
	if err := s.engine.Delete(ctx, req.GetLog()); err != nil {
		return nil, err
	}
	return &logv1.DeleteLogResponse{}, nil
}

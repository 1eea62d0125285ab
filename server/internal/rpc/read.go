package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// Consume implements log.v1.Log.
func (s *logService) Consume(ctx context.Context, req *logv1.ConsumeRequest) (*logv1.ConsumeResponse, error) {
	r, err := newReading(req, s.limits)
	if err != nil {
		return nil, err
	}
	if isSet(req.GetHeartbeat()) {
		return nil, invalid(logv1.Reason_REASON_INVALID_REQUEST, "`heartbeat` is for ConsumeStream")
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.Unary+r.wait)
	defer cancel()
	log, err := s.logToRead(ctx, req)
	if err != nil {
		return nil, err
	}
	res, err := s.read(ctx, req, log, &r)
	if err != nil {
		return nil, s.whileReading(ctx, req, err)
	}
	return res, nil
}

// read reads one response, and waits for it at the tail if it was asked to.
func (s *logService) read(ctx context.Context, req *logv1.ConsumeRequest, log commitlog.CommitLog, r *reading) (*logv1.ConsumeResponse, error) {
	run, err := s.readOnce(ctx, log, r)
	if unwritten(err) && r.wait > 0 {
		if err = s.await(ctx, log, r); err != nil {
			return nil, err
		}
		run, err = s.readOnce(ctx, log, r)
		if e, ok := errors.AsType[*commitlog.OffsetError](err); ok && !e.Trimmed() && r.records > 0 {
			return &logv1.ConsumeResponse{NextOffset: &e.Bounds.Next}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if req.GetLogId() != "" && req.GetStart() == nil && !run.Tail {
		if err := s.cache(ctx, log); err != nil {
			return nil, err
		}
	}
	if r.records > 0 {
		return batchResponse(run, isBinary(ctx))
	}
	var res *logv1.ConsumeResponse
	err = singleResponses(run, func(one *logv1.ConsumeResponse, _ bool) error {
		res = one
		return nil
	})
	return res, err
}

// readOnce finds the start, if that is the log's to tell, and reads from there.
// A start that is trimmed before it is read is looked for again.
func (s *logService) readOnce(ctx context.Context, log commitlog.CommitLog, r *reading) (commitlog.Run, error) {
	for {
		if err := r.begin(ctx, log); err != nil {
			return commitlog.Run{}, err
		}
		run, err := log.Read(ctx, r.next, r.limit(max(r.records, 1), s.limits.ResponseBytes), nil)
		if trimmed(err) && r.relative() {
			continue
		}
		r.begun = true
		return run, err
	}
}

// await waits until the record at r.next exists, the time is over, or there is
// nothing to wait for since the log is sealed.
func (s *logService) await(ctx context.Context, log commitlog.CommitLog, r *reading) error {
	timed, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	waiting, end := context.WithCancelCause(timed)
	defer end(nil)
	defer context.AfterFunc(s.draining, func() { end(draining()) })()
	_, err := log.Wait(waiting, r.next)
	if _, ok := errors.AsType[*commitlog.LogSealedError](err); ok {
		return nil
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if errors.Is(context.Cause(waiting), context.DeadlineExceeded) {
		return nil
	}
	return causeOf(waiting, err)
}

// year is the longest that an answer may be cached, in seconds.
const year = 365 * 24 * 60 * 60

// cache lets the client, or also the caches between, keep an answer about
// history, which never changes: an offset is never given to other bytes, and the
// request named the log's identity. It does not outlive the log's records.
func (s *logService) cache(ctx context.Context, log commitlog.CommitLog) error {
	c := connOf(ctx)
	if c == nil || !c.get {
		return nil
	}
	info, err := log.Info(ctx)
	if err != nil {
		return err
	}
	seconds := int64(year)
	if keep := info.Retention.MaxAge; keep > 0 {
		seconds = min(seconds, int64(keep/time.Second))
	}
	if seconds == 0 {
		return nil
	}
	who := "private"
	if s.publicCache {
		who = "public"
	}
	c.cache(fmt.Sprintf("%s, max-age=%d, immutable", who, seconds))
	return nil
}

// unwritten says whether an error is that of an offset at or beyond the tail.
func unwritten(err error) bool {
	e, ok := errors.AsType[*commitlog.OffsetError](err)
	return ok && !e.Trimmed()
}

// trimmed says whether an error is that of an offset below the first.
func trimmed(err error) bool {
	e, ok := errors.AsType[*commitlog.OffsetError](err)
	return ok && e.Trimmed()
}

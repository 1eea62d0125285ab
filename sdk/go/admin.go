package proglog

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// LogInfo describes a log as it was at one moment.
type LogInfo struct {
	Name string // empty: the default log
	// ID is the log's identity: given at creation, another one after a restore
	// from a backup. See [OnlyLog].
	ID                      string
	FirstOffset, NextOffset uint64    // the lowest that can be read; the one that the next record gets
	Bytes                   uint64    // of the records in storage
	FirstTime               time.Time // of the first record; zero in an empty log
	LastTime                time.Time // of the last record ever appended; zero if there was none
	Retention               Retention
	Durability              Durability
	Sealed                  bool // it takes no more records, ever
	Dedup                   DedupWindow

	// Limits and Capabilities are those of the server. [Client.DescribeLog] tells
	// them, if the server does; elsewhere they are nil.
	Limits       *ServerLimits
	Capabilities *Capabilities
}

// Retention says how long a log keeps records. Whatever is exceeded first removes
// the oldest. A zero field is no bound.
type Retention struct {
	MaxAge   time.Duration
	MaxBytes uint64
}

// DedupWindow bounds how long a server knows a request that comes twice.
type DedupWindow struct {
	Acks      int           // of each producer, the latest
	MaxAge    time.Duration // of a producer's latest request
	Producers int           // of each log, those that were active last
}

// Durability says what an acknowledgement means.
type Durability int32

// What an acknowledgement can mean; a newer server may know more.
const (
	DurabilityUnspecified  Durability = 0 // not told
	DurabilitySynced       Durability = 1 // synced to the disk of one machine
	DurabilityQuorumSynced Durability = 2 // synced to the disks of a quorum
	DurabilityUnsafe       Durability = 3 // the record may be lost
)

// String returns the word for it, such as "synced".
func (d Durability) String() string {
	switch d {
	case DurabilitySynced:
		return "synced"
	case DurabilityQuorumSynced:
		return "quorum synced"
	case DurabilityUnsafe:
		return "unsafe"
	}
	return "not told"
}

// LogSetting is something that [Client.CreateLog] and [Client.PutLog] set.
type LogSetting interface{ applyLog(*logv1.PutLogRequest) }

type logSetting func(*logv1.PutLogRequest)

func (s logSetting) applyLog(r *logv1.PutLogRequest) { s(r) }

// Retain sets how long the log keeps records; the zero Retention is for ever.
func Retain(r Retention) LogSetting {
	return logSetting(func(req *logv1.PutLogRequest) {
		req.Retention = &logv1.Retention{MaxBytes: r.MaxBytes, MaxAge: duration(r.MaxAge)}
	})
}

// Sealed seals the log: it takes no more records, and reads end at its tail. It
// cannot be undone.
func Sealed() LogSetting {
	return logSetting(func(req *logv1.PutLogRequest) { req.Sealed = proto.Bool(true) })
}

// PutLog makes a log if there is none of that name, and changes its settings.
// What is not set stays as it is. It can be repeated. created says that this call made
// the log; false, that there was one, or that the answer which would have told was lost.
func (c *Client) PutLog(ctx context.Context, name string, settings ...LogSetting) (info LogInfo, created bool, err error) {
	info, made, err := c.putLog(ctx, name, settings)
	return info, made == madeHere, err
}

// making is what is known of who made a log.
type making int

const (
	madeBefore making = iota // there was one when the call began
	madeHere                 // by this call
	madeSince                // by this call, or by somebody else meanwhile
)

func (c *Client) putLog(ctx context.Context, name string, settings []LogSetting) (info LogInfo, made making, err error) {
	if err := checkLogName(name); err != nil {
		return LogInfo{}, madeBefore, err
	}
	req := &logv1.PutLogRequest{Log: name}
	for _, s := range settings {
		if s == nil {
			return LogInfo{}, madeBefore, errNilOption()
		}
		s.applyLog(req)
	}
	unanswered := false
	e := c.retryRead(ctx, "put a log", func(ctx context.Context) *Error {
		res, err := c.admin.PutLog(ctx, req)
		if err != nil {
			e := translate(ctx, err)
			unanswered = unanswered || e.leavesOpen()
			return e
		}
		info = readLogInfo(res.GetInfo())
		switch {
		case res.GetCreated():
			made = madeHere
		case unanswered:
			made = madeSince
		}
		return nil
	})
	if e != nil {
		return LogInfo{}, madeBefore, e
	}
	return info, made, nil
}

// leavesOpen says whether a change that failed so may have happened all the same.
func (e *Error) leavesOpen() bool {
	if e.FromServer {
		return e.Reason != ReasonDraining && e.Reason != ReasonOverloaded
	}
	return !e.NothingAppended
}

// CreateLog makes a log. If there is one of that name already, it is left as it is, and
// the error has [CodeAlreadyExists]. If an answer was lost, and the next one says that
// there is one, nobody knows whether this call made it: it is left as it is, and the
// error is [ErrOutcomeUnknown]. [Client.PutLog] goes on from there whoever made it.
func (c *Client) CreateLog(ctx context.Context, name string, settings ...LogSetting) (LogInfo, error) {
	if slices.Contains(settings, nil) {
		return LogInfo{}, errNilOption()
	}
	info, made, err := c.putLog(ctx, name, nil)
	switch {
	case err != nil:
		return LogInfo{}, err
	case made == madeBefore:
		return LogInfo{}, refused(CodeAlreadyExists, ReasonUnspecified, "there is a log %q already", name)
	case made == madeSince:
		return LogInfo{}, outcome(&Error{Code: CodeUnknown, permanent: true, Message: fmt.Sprintf(
			"there is a log %q, and it may be by this call, whose first answer was lost; PutLog sets it up whoever made it", name)})
	case len(settings) == 0:
		return info, nil
	}
	if info, _, err = c.putLog(ctx, name, settings); err != nil {
		return LogInfo{}, fmt.Errorf("the log %q was made, but its settings were not confirmed: %w", name, err)
	}
	return info, nil
}

// SealLog seals a log; see [Sealed].
func (c *Client) SealLog(ctx context.Context, name string) (LogInfo, error) {
	if _, err := c.DescribeLog(ctx, name); err != nil {
		return LogInfo{}, err // PutLog would make one
	}
	info, _, err := c.PutLog(ctx, name, Sealed())
	return info, err
}

// DescribeLog describes a log.
func (c *Client) DescribeLog(ctx context.Context, name string) (LogInfo, error) {
	err := checkLogName(name)
	if err != nil {
		return LogInfo{}, err
	}
	var info LogInfo
	err = c.retryRead(ctx, "describe the log", func(ctx context.Context) *Error {
		res, err := c.log.GetLog(ctx, &logv1.GetLogRequest{Log: name})
		if err != nil {
			return translate(ctx, err)
		}
		info = readLogInfo(res.GetInfo())
		info.Limits, info.Capabilities = readLimits(res.GetLimits()), readCapabilities(res.GetCapabilities())
		return nil
	})
	if err != nil {
		return LogInfo{}, err
	}
	return info, nil
}

// TrimLog removes the records below an offset, all of them if it is beyond the
// tail, and returns the log's first offset then. It can be repeated.
func (c *Client) TrimLog(ctx context.Context, name string, first uint64) (uint64, error) {
	err := checkLogName(name)
	if err != nil {
		return 0, err
	}
	err = c.retryRead(ctx, "trim a log", func(ctx context.Context) *Error {
		res, err := c.admin.TrimLog(ctx, &logv1.TrimLogRequest{Log: name, FirstOffset: first})
		if err != nil {
			return translate(ctx, err)
		}
		first = res.GetFirstOffset()
		return nil
	})
	if err != nil {
		return 0, err
	}
	return first, nil
}

// DeleteLog removes a log and its records. A log that takes its name later goes
// on behind its offsets, with an identity of its own.
func (c *Client) DeleteLog(ctx context.Context, name string) error {
	err := checkLogName(name)
	if err != nil {
		return err
	}
	unanswered := false
	err = c.retryRead(ctx, "delete a log", func(ctx context.Context) *Error {
		_, err := c.admin.DeleteLog(ctx, &logv1.DeleteLogRequest{Log: name})
		if err == nil {
			return nil
		}
		e := translate(ctx, err)
		if unanswered && e.Reason == ReasonLogNotFound {
			return nil // the try before came through
		}
		unanswered = unanswered || !e.FromServer
		return e
	})
	if err != nil {
		return err
	}
	return nil
}

// Logs lists the logs whose names begin with prefix, in the order of their bytes.
// It ends with an error, as the last pair, if it cannot go on.
func (c *Client) Logs(ctx context.Context, prefix string) iter.Seq2[LogInfo, error] {
	return func(yield func(LogInfo, error) bool) {
		if err := checkLogName(prefix); err != nil {
			yield(LogInfo{}, err)
			return
		}
		req := &logv1.ListLogsRequest{Prefix: prefix}
		for {
			var page *logv1.ListLogsResponse
			err := c.retryRead(ctx, "list logs", func(ctx context.Context) *Error {
				res, err := c.admin.ListLogs(ctx, req)
				if err != nil {
					return translate(ctx, err)
				}
				page = res
				return nil
			})
			if err != nil {
				yield(LogInfo{}, err)
				return
			}
			for _, info := range page.GetLogs() {
				if !yield(readLogInfo(info), nil) {
					return
				}
			}
			if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
				return
			}
		}
	}
}

func readLogInfo(info *logv1.LogInfo) LogInfo {
	window := info.GetDedupWindow()
	return LogInfo{
		Name: info.GetLog(), ID: info.GetLogId(),
		FirstOffset: info.GetFirstOffset(), NextOffset: info.GetNextOffset(),
		Bytes: info.GetBytes(), FirstTime: readTime(info.GetFirstTime()), LastTime: readTime(info.GetLastTime()),
		Retention: Retention{
			MaxAge: info.GetRetention().GetMaxAge().AsDuration(), MaxBytes: info.GetRetention().GetMaxBytes(),
		},
		Durability: Durability(info.GetDurability()), Sealed: info.GetSealed(),
		Dedup: DedupWindow{
			Acks: int(window.GetAcks()), MaxAge: window.GetMaxAge().AsDuration(), Producers: int(window.GetProducers()),
		},
	}
}

// readTime returns the zero time for one that is absent.
func readTime(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

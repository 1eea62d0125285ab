package rpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// A reading is what a ConsumeRequest asks for.
type reading struct {
	next      uint64        // the next offset to read
	until     uint64        // where to stop, exclusive; noEnd: nowhere
	records   int           // records to a response, within the limits; 0: one, in `record`
	wait      time.Duration // how long a Consume waits at the tail, within the limits
	heartbeat time.Duration // the interval of a ConsumeStream's heartbeats; 0: none

	fromTime *time.Time // start there, once the log has told the offset
	fromTail *uint64    // likewise
	begun    bool       // next is known, and has been read or waited for
}

// noEnd is above every offset that a record can have. A reading from there waits
// for ever, as from any offset that is not there yet.
const noEnd = ^uint64(0)

// over says whether all is read that was asked for.
func (r *reading) over() bool { return r.next >= r.until && r.until != noEnd }

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
	switch start := req.GetStart().(type) {
	case *logv1.ConsumeRequest_FromTime:
		if start.FromTime.CheckValid() != nil {
			return reading{}, invalid(logv1.Reason_REASON_INVALID_REQUEST, "`from_time` is not a time")
		}
		t := start.FromTime.AsTime()
		r.fromTime = &t
	case *logv1.ConsumeRequest_FromTail:
		r.fromTail = &start.FromTail
	}
	return r, r.setTimes(req, limits)
}

// setTimes judges how long a request wants to wait. Longer than the limit is cut
// for a wait, of which the caller sees the end, and refused for a heartbeat, on
// which the caller relies.
func (r *reading) setTimes(req *logv1.ConsumeRequest, limits Limits) error {
	wait, err := duration("`wait`", req.GetWait())
	if err != nil {
		return err
	}
	r.wait = min(wait, limits.Wait)
	if r.heartbeat, err = duration("`heartbeat`", req.GetHeartbeat()); err != nil || r.heartbeat == 0 {
		return err
	}
	if r.heartbeat < limits.MinHeartbeat {
		return outside(limits.MinHeartbeat, "`heartbeat` is below %v", limits.MinHeartbeat)
	}
	if r.heartbeat > limits.MaxHeartbeat {
		return outside(limits.MaxHeartbeat, "`heartbeat` is above %v", limits.MaxHeartbeat)
	}
	return nil
}

// duration returns a duration of a request: zero if it is absent.
func duration(name string, d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	v := d.AsDuration()
	switch exact := durationpb.New(v); {
	case d.CheckValid() != nil:
		return 0, invalid(logv1.Reason_REASON_INVALID_REQUEST, "%s is not a duration", name)
	case v < 0:
		return 0, invalid(logv1.Reason_REASON_INVALID_REQUEST, "%s is negative", name)
	case exact.GetSeconds() != d.GetSeconds():
		return 0, invalid(logv1.Reason_REASON_INVALID_REQUEST, "%s is over 292 years", name)
	}
	return v, nil
}

// isSet says whether a duration asks for anything: zero is as good as absent.
func isSet(d *durationpb.Duration) bool { return d.GetSeconds() != 0 || d.GetNanos() != 0 }

// relative says whether the start is still the log's to tell.
func (r *reading) relative() bool { return !r.begun && (r.fromTime != nil || r.fromTail != nil) }

// begin finds the start, unless it is known.
func (r *reading) begin(ctx context.Context, log commitlog.CommitLog) (err error) {
	if !r.relative() {
		return nil
	}
	if r.fromTime != nil {
		if r.next, err = log.FindTime(ctx, *r.fromTime); err != nil {
			return err
		}
	} else {
		b := log.Bounds()
		r.next = b.Next - min(*r.fromTail, b.Next-b.First)
	}
	if r.until <= r.next {
		return invalid(logv1.Reason_REASON_INVALID_REQUEST, "`until_offset` must be above the start, which is %d", r.next)
	}
	return nil
}

// limit returns how much to read for the next response of at most size bytes.
func (r *reading) limit(records, size int) commitlog.ReadLimit {
	if left := r.until - r.next; uint64(records) > left {
		records = int(left)
	}
	return commitlog.ReadLimit{Records: records, Bytes: size}
}

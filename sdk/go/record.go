package proglog

import (
	"time"
	"unicode/utf8"
)

// Record is one value in a log.
type Record struct {
	// Offset is the record's number in its log, from 0 on without gaps. The
	// server assigns it; it is ignored in a record that is produced.
	Offset uint64
	// Time is when the server appended the record. It never decreases within a
	// log. The server assigns it; it is ignored in a record that is produced.
	Time time.Time
	// Value is the caller's bytes. An empty value is a value.
	Value []byte
	// Headers are the caller's annotations. Order and duplicates are kept.
	Headers []Header
}

// Header is a named annotation of a record.
type Header struct {
	// Name is UTF-8; it may be empty.
	Name string
	// Value is any bytes; it may be empty.
	Value []byte
}

// Ack is the server's word that records are durable: they, and all before them
// in the log.
type Ack struct {
	// Offset is that of the record, or of the first of a batch.
	Offset uint64
	// NextOffset is one past that of the record, or of the last of a batch.
	NextOffset uint64
	// Time is the time of the records.
	Time time.Time
	// Duplicate: this is the acknowledgement of an earlier try, which had come
	// through; nothing was appended twice.
	Duplicate bool
}

// Limits are what the client checks before it sends anything, in the server's
// stead: a record over a limit then costs no round trip, and cannot take others
// of its batch with it.
type Limits struct {
	ValueBytes   int // of a record's value
	Headers      int // of a record
	HeaderBytes  int // of a record: names and values together
	BatchRecords int // of a batch
	BatchBytes   int // of a batch of two records or more: values, header names, header values
}

// The limits of [DefaultLimits], which are those of a server.
const (
	defaultValueBytes      = 1 << 20
	defaultHeaders         = 64
	defaultHeaderBytes     = 16 << 10
	defaultMaxBatchRecords = 1000
	defaultMaxBatchBytes   = 2 << 20
)

// DefaultLimits returns the limits of a server that was not told others.
func DefaultLimits() Limits {
	return Limits{
		ValueBytes:   defaultValueBytes,
		Headers:      defaultHeaders,
		HeaderBytes:  defaultHeaderBytes,
		BatchRecords: defaultMaxBatchRecords,
		BatchBytes:   defaultMaxBatchBytes,
	}
}

// checkRecord holds a record against the limits. It returns the bytes that
// count towards those of a batch.
func (l *Limits) checkRecord(r *Record) (size int, err *Error) {
	if len(r.Value) > l.ValueBytes {
		return 0, tooLarge("a value of", len(r.Value), "bytes", l.ValueBytes)
	}
	if len(r.Headers) > l.Headers {
		return 0, tooLarge("", len(r.Headers), "headers", l.Headers)
	}
	headers := 0
	for i := range r.Headers {
		h := &r.Headers[i]
		if !utf8.ValidString(h.Name) {
			return 0, refused(CodeInvalidArgument, ReasonInvalidRequest, "the name of header %d is not UTF-8", i)
		}
		headers += len(h.Name) + len(h.Value)
	}
	if headers > l.HeaderBytes {
		return 0, tooLarge("headers of", headers, "bytes", l.HeaderBytes)
	}
	return len(r.Value) + headers, nil
}

// checkBatch holds a batch against the limits. It returns its size.
func (l *Limits) checkBatch(records []Record) (size int, err *Error) {
	if len(records) == 0 {
		return 0, refused(CodeInvalidArgument, ReasonNoRecord, "the batch has no record")
	}
	if len(records) > l.BatchRecords {
		return 0, tooLarge("a batch of", len(records), "records", l.BatchRecords)
	}
	total := 0
	for i := range records {
		size, err := l.checkRecord(&records[i])
		if err != nil {
			return 0, err
		}
		total += size
	}
	if len(records) > 1 && total > l.BatchBytes {
		return 0, tooLarge("a batch of", total, "bytes", l.BatchBytes)
	}
	return total, nil
}

func tooLarge(what string, n int, unit string, limit int) *Error {
	if what != "" {
		what += " "
	}
	e := refused(CodeInvalidArgument, ReasonTooLarge, "%s%d %s is over the limit of %d", what, n, unit, limit)
	e.Limit = uint64(limit)
	return e
}

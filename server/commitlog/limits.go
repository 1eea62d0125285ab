package commitlog

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits bound what one batch may hold. Engines hold every batch to them, so
// that they stand whoever calls.
type Limits struct {
	ValueBytes   int // of a record's value
	Headers      int // of a record
	HeaderBytes  int // of a record: names and values together
	BatchRecords int // of a batch
	BatchBytes   int // of a batch of two records or more: values, header names and header values
	ProducerID   int // bytes of a producer's id
}

// MaxValueBytes is the highest that Limits.ValueBytes may be set: 16 MiB. It
// keeps every batch, whatever the limits, well inside one journal file.
const MaxValueBytes = 16 << 20

// DefaultLimits returns the limits that hold unless an operator changes them.
func DefaultLimits() Limits {
	return Limits{
		ValueBytes:   1 << 20,
		Headers:      64,
		HeaderBytes:  16 << 10,
		BatchRecords: 1000,
		BatchBytes:   2 << 20,
		ProducerID:   64,
	}
}

// DefaultDedupWindow returns what an engine remembers of producers unless an
// operator changes it.
func DefaultDedupWindow() DedupWindow {
	return DedupWindow{Acks: 256, MaxAge: 7 * 24 * time.Hour, Producers: 10_000}
}

// Validate reports a limit outside its range.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name     string
		v, least int
		most     int
	}{
		{"value bytes", l.ValueBytes, 1, MaxValueBytes},
		{"headers", l.Headers, 0, 1 << 10},
		{"header bytes", l.HeaderBytes, 0, 64 << 10},
		{"batch records", l.BatchRecords, 1, 100_000},
		{"batch bytes", l.BatchBytes, 1, MaxValueBytes},
		{"producer id bytes", l.ProducerID, 1, 255},
	} {
		if f.v < f.least || f.v > f.most {
			return fmt.Errorf("the limit of %s is %d, outside %d to %d", f.name, f.v, f.least, f.most)
		}
	}
	return nil
}

// Check returns a [*TooLargeError] if the batch is over a limit, and an
// [*InvalidBatchError] if it has no records or a header name that is not UTF-8.
func (l Limits) Check(b Batch) error {
	if len(b.Records) == 0 {
		return &InvalidBatchError{Why: "it has no records"}
	}
	if n := len(b.Records); n > l.BatchRecords {
		return &TooLargeError{What: "batch records", Size: uint64(n), Limit: uint64(l.BatchRecords)}
	}
	if p := b.Producer; p != nil {
		if n := len(p.ID); n == 0 {
			return &InvalidBatchError{Why: "its producer has no id"}
		} else if n > l.ProducerID {
			return &TooLargeError{What: "producer id bytes", Size: uint64(n), Limit: uint64(l.ProducerID)}
		}
	}
	total := 0
	for i := range b.Records {
		r := &b.Records[i]
		if n := len(r.Value); n > l.ValueBytes {
			return &TooLargeError{What: "value bytes", Size: uint64(n), Limit: uint64(l.ValueBytes)}
		}
		if n := len(r.Headers); n > l.Headers {
			return &TooLargeError{What: "headers", Size: uint64(n), Limit: uint64(l.Headers)}
		}
		headers := 0
		for _, h := range r.Headers {
			headers += len(h.Name) + len(h.Value)
			if !utf8.ValidString(h.Name) {
				return &InvalidBatchError{Why: "a header name is not UTF-8"}
			}
		}
		if headers > l.HeaderBytes {
			return &TooLargeError{What: "header bytes", Size: uint64(headers), Limit: uint64(l.HeaderBytes)}
		}
		total += min(len(r.Value)+headers, math.MaxInt-total)
	}
	if len(b.Records) > 1 && total > l.BatchBytes {
		return &TooLargeError{What: "batch bytes", Size: uint64(total), Limit: uint64(l.BatchBytes)}
	}
	return nil
}

// MaxLogNameBytes is the longest name of a log.
const MaxLogNameBytes = 200

// CheckLogName returns an [*InvalidLogNameError] unless the name is empty (the
// default log) or is 1 to 200 bytes of A–Z a–z 0–9 . _ - /, starts with a letter
// or digit and has no empty, "." or ".." part. Names are case-sensitive. Those
// that start with _proglog/ belong to the server and are refused too.
func CheckLogName(name string) error {
	if name == "" {
		return nil
	}
	if strings.HasPrefix(name, "_proglog/") {
		return &InvalidLogNameError{Why: "names that start with _proglog/ belong to the server"}
	}
	if len(name) > MaxLogNameBytes {
		return &InvalidLogNameError{Why: fmt.Sprintf("it has %d bytes, more than %d", len(name), MaxLogNameBytes)}
	}
	for i := range len(name) {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if i == 0 && !alnum {
			return &InvalidLogNameError{Why: "it does not start with a letter or digit"}
		}
		if !alnum && !strings.ContainsRune("._-/", rune(c)) {
			return &InvalidLogNameError{Why: fmt.Sprintf("byte %d is not one of A–Z a–z 0–9 . _ - /", i)}
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return &InvalidLogNameError{Why: fmt.Sprintf("a part of it is %q", part)}
		}
	}
	return nil
}

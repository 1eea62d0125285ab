package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	proglog "github.com/proglog/proglog/sdk/go"
)

// jsonLog is a description of a log as JSON.
type jsonLog struct {
	Log         string     `json:"log"`
	ID          string     `json:"log_id"`
	FirstOffset uint64     `json:"first_offset"`
	NextOffset  uint64     `json:"next_offset"`
	Bytes       uint64     `json:"bytes"`
	FirstTime   *time.Time `json:"first_time,omitempty"`
	LastTime    *time.Time `json:"last_time,omitempty"`
	MaxAge      string     `json:"max_age,omitempty"`
	MaxBytes    uint64     `json:"max_bytes,omitempty"`
	Durability  string     `json:"durability"`
	Sealed      bool       `json:"sealed"`
	Dedup       *jsonDedup `json:"dedup_window,omitempty"`

	Limits       *jsonLimits       `json:"limits,omitempty"`
	Capabilities *jsonCapabilities `json:"capabilities,omitempty"`
}

// jsonDedup is how long a log knows a request that comes twice, as JSON.
type jsonDedup struct {
	Acks      int    `json:"acks"`
	MaxAge    string `json:"max_age"`
	Producers int    `json:"producers"`
}

// print describes a log, as JSON or for people.
func (l *logsRun) print(info *proglog.LogInfo) error {
	if l.config.json {
		j := jsonLog{
			Log: info.Name, ID: info.ID, FirstOffset: info.FirstOffset, NextOffset: info.NextOffset,
			Bytes: info.Bytes, FirstTime: presentTime(info.FirstTime), LastTime: presentTime(info.LastTime),
			MaxBytes: info.Retention.MaxBytes, Durability: info.Durability.String(), Sealed: info.Sealed,
		}
		if info.Retention.MaxAge > 0 {
			j.MaxAge = info.Retention.MaxAge.String()
		}
		if d := info.Dedup; d.Acks > 0 {
			j.Dedup = &jsonDedup{d.Acks, d.MaxAge.String(), d.Producers}
		}
		j.Limits, j.Capabilities = tellLimits(info.Limits), tellCapabilities(info.Capabilities)
		return json.NewEncoder(l.out).Encode(j)
	}
	w := tabwriter.NewWriter(l.out, 0, 8, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) }
	row("log", shownName(info.Name))
	row("identity", info.ID)
	row("first offset", info.FirstOffset)
	row("next offset", info.NextOffset)
	row("bytes", info.Bytes)
	row("first record", shownTime(info.FirstTime))
	row("last record", shownTime(info.LastTime))
	age, size := "for ever", "without a bound"
	if info.Retention.MaxAge > 0 {
		age = info.Retention.MaxAge.String()
	}
	if info.Retention.MaxBytes > 0 {
		size = fmt.Sprintf("%d bytes", info.Retention.MaxBytes)
	}
	row("records are kept", age+", "+size)
	row("an ack means", info.Durability)
	row("sealed", yes(info.Sealed))
	if d := info.Dedup; d.Acks > 0 {
		row("retries are known", fmt.Sprintf("the last %d of a producer, %v long, of %d producers", d.Acks, d.MaxAge, d.Producers))
	}
	if info.Limits != nil {
		limitRows(info.Limits, row)
	}
	if info.Capabilities != nil {
		capabilityRows(info.Capabilities, row)
	}
	return w.Flush()
}

// shownName makes the default log visible, whose name is empty.
func shownName(name string) string {
	if name == "" {
		return `""`
	}
	return name
}

func shownTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339Nano)
}

func presentTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

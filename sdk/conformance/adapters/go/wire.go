package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	proglog "github.com/proglog/proglog/sdk/go"
)

// command is one line from the runner: the arguments of all commands together.
type command struct {
	ID     uint64 `json:"id"`
	Op     string `json:"op"`
	Client string `json:"client"`
	Log    string `json:"log"`

	Addr       string            `json:"addr"`
	Attempts   int               `json:"attempts"`
	MinDelayMS millis            `json:"min_delay_ms"`
	MaxDelayMS millis            `json:"max_delay_ms"`
	TimeoutMS  millis            `json:"timeout_ms"`
	Headers    map[string]string `json:"headers"`
	Token      string            `json:"token"`
	CA         string            `json:"ca"`
	Tokens     []string          `json:"tokens"`
	UserAgent  string            `json:"user_agent"`
	Trace      bool              `json:"trace"`

	Records        []wireRecord  `json:"records"`
	ExpectedOffset *number       `json:"expected_offset"`
	Single         bool          `json:"single"`
	Reuse          bool          `json:"reuse"`
	NoWait         bool          `json:"no_wait"`
	Producer       wireNameOrKey `json:"producer"`

	Offset       *number    `json:"offset"`
	FromTime     *time.Time `json:"from_time"`
	FromTail     *number    `json:"from_tail"`
	Follow       bool       `json:"follow"`
	Until        *number    `json:"until"`
	LogID        string     `json:"log_id"`
	WaitMS       millis     `json:"wait_ms"`
	HeartbeatMS  *millis    `json:"heartbeat_ms"`
	MaxRecords   number     `json:"max_records"`
	BatchRecords number     `json:"batch_records"`
	Target       uint64     `json:"target"`

	LingerMS           millis  `json:"linger_ms"`
	MaxBatchRecords    number  `json:"max_batch_records"`
	MaxBatchBytes      number  `json:"max_batch_bytes"`
	MaxInFlightBatches number  `json:"max_in_flight_batches"`
	MaxInFlightBytes   number  `json:"max_in_flight_bytes"`
	GiveUpAfterMS      *millis `json:"give_up_after_ms"`
	Identity           string  `json:"identity"`
	Epoch              number  `json:"epoch"`

	MaxAgeMS *millis `json:"max_age_ms"`
	MaxBytes *number `json:"max_bytes"`
	Sealed   bool    `json:"sealed"`
	Prefix   string  `json:"prefix"`
	First    number  `json:"first"`
	Cursor   string  `json:"cursor"`
}

// number is a 64-bit number: a decimal string, or a plain one if it is small.
type number uint64

func (n *number) UnmarshalJSON(text []byte) error {
	if len(text) > 1 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	v, err := strconv.ParseUint(string(text), 10, 64)
	*n = number(v)
	return err
}

func (n number) MarshalJSON() ([]byte, error) {
	return []byte(`"` + strconv.FormatUint(uint64(n), 10) + `"`), nil
}

// millis is a duration in milliseconds.
type millis float64

func (m millis) duration() time.Duration {
	return time.Duration(float64(m) * float64(time.Millisecond))
}

// wireNameOrKey is the argument "producer": of a producer's commands its name, of
// a produce the identity and number of the request.
type wireNameOrKey struct {
	name string
	key  *struct {
		ID       string `json:"id"`
		Epoch    number `json:"epoch"`
		Sequence number `json:"sequence"`
	}
}

func (p *wireNameOrKey) UnmarshalJSON(text []byte) error {
	if text[0] == '"' {
		return json.Unmarshal(text, &p.name)
	}
	return json.Unmarshal(text, &p.key)
}

type wireHeader struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

type wireRecord struct {
	Value   []byte       `json:"value"`
	Headers []wireHeader `json:"headers"`
	Offset  number       `json:"offset"`
	Time    time.Time    `json:"time"`
}

// record returns the SDK's record for one from the runner.
func (r *wireRecord) record() proglog.Record {
	record := proglog.Record{Value: r.Value}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, proglog.Header{Name: h.Name, Value: h.Value})
	}
	return record
}

// tellRecord is the other direction. Absent bytes are told as empty ones.
func tellRecord(r *proglog.Record) wireRecord {
	told := wireRecord{Value: orEmpty(r.Value), Headers: []wireHeader{}, Offset: number(r.Offset), Time: r.Time.UTC()}
	for _, h := range r.Headers {
		told.Headers = append(told.Headers, wireHeader{h.Name, orEmpty(h.Value)})
	}
	return told
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func tellRecords(records []proglog.Record) []wireRecord {
	told := make([]wireRecord, 0, len(records))
	for i := range records {
		told = append(told, tellRecord(&records[i]))
	}
	return told
}

func tellAck(a proglog.Ack) map[string]any {
	return map[string]any{
		"offset": number(a.Offset), "next_offset": number(a.NextOffset),
		"time": a.Time.UTC(), "duplicate": a.Duplicate,
	}
}

func tellInfo(i *proglog.LogInfo) map[string]any {
	return map[string]any{
		"name": i.Name, "id": i.ID, "first_offset": number(i.FirstOffset), "next_offset": number(i.NextOffset),
		"bytes": number(i.Bytes), "sealed": i.Sealed, "max_age_ms": i.Retention.MaxAge.Milliseconds(),
		"max_bytes": number(i.Retention.MaxBytes),
	}
}

// wireError tells an error: what the SDK's typed one holds, and nothing that it
// does not.
func wireError(err error) map[string]any {
	told := map[string]any{"message": err.Error(), "reason": "", "from_server": false}
	var (
		wrong  *misused
		option *refusedOption
	)
	switch e, ok := errors.AsType[*proglog.Error](err); {
	case ok:
		told["code"], told["from_server"] = e.Code.String(), e.FromServer
		if e.Reason != proglog.ReasonUnspecified {
			told["reason"] = e.Reason.String()
		}
		tellNumbers(told, e)
	case errors.As(err, &wrong):
		told["code"] = "adapter"
	case errors.As(err, &option):
		told["code"] = proglog.CodeInvalidArgument.String() // how Go's constructors say it
	default:
		told["code"] = proglog.CodeOf(err).String()
	}
	switch {
	case errors.Is(err, proglog.ErrNothingAppended):
		told["outcome"] = "nothing_appended"
	case errors.Is(err, proglog.ErrOutcomeUnknown):
		told["outcome"] = "unknown"
	}
	return told
}

// tellNumbers adds the numbers that go with a reason.
func tellNumbers(told map[string]any, e *proglog.Error) {
	switch e.Reason {
	case proglog.ReasonOffsetTrimmed, proglog.ReasonOffsetUnwritten, proglog.ReasonDataDamaged:
		told["first_offset"], told["next_offset"] = number(e.FirstOffset), number(e.NextOffset)
	case proglog.ReasonOffsetMismatch, proglog.ReasonLogSealed:
		told["next_offset"] = number(e.NextOffset)
	case proglog.ReasonProducerFenced:
		told["epoch"] = number(e.Epoch)
	case proglog.ReasonSequenceGap:
		told["sequence"] = number(e.Sequence)
	case proglog.ReasonTooLarge:
		told["limit"] = number(e.Limit)
	case proglog.ReasonInternal:
		told["incident"] = e.Incident
	}
}

// refusedOption is the error of a constructor, which judges its options.
type refusedOption struct{ error }

func (r *refusedOption) Unwrap() error { return r.error }

// misused is the error of a command that cannot be done: a mistake of the runner.
type misused struct{ text string }

func (m *misused) Error() string { return m.text }

func misuse(format string, args ...any) error { return &misused{fmt.Sprintf(format, args...)} }

func errorsOf(errs ...error) error { return errors.Join(errs...) }

func hello() map[string]any {
	return map[string]any{
		"sdk": "go", "version": proglog.Version, "runtime": runtime.Version(), "lacks": map[string]string{
			"wrong_numbers": "no such number is of the type",
			"fixed_token":   "its tokens always come from a function",
		},
	}
}

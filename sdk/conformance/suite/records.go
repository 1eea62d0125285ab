package suite

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
)

// record is a record as a case means it.
type record struct {
	value   []byte
	headers []header
}

type header struct {
	name  string
	value []byte
}

// parseRecords reads the records of a case: a list of values, each one of
//
//	text                                     a value
//	{value: text, headers: [[name, value]]}  with headers, in this order
//	{base64: AAH/}                           any bytes
//	{size: 1048576}                          so many bytes
//	{count: 1000, value: "r-%d"}             so many records, numbered from start (0)
//	{headers_count: 64}, {headers_size: 100} so many headers, or bytes of them
func parseRecords(written any) ([]record, error) {
	list, ok := written.([]any)
	if !ok {
		return nil, fmt.Errorf("records are a list, not %v", written)
	}
	records := []record{}
	for _, item := range list {
		some, err := parseRecord(item)
		if err != nil {
			return nil, err
		}
		records = append(records, some...)
	}
	return records, nil
}

func parseRecord(item any) ([]record, error) {
	fields, ok := item.(map[string]any)
	if !ok {
		return []record{{value: []byte(fmt.Sprint(item))}}, nil
	}
	var one record
	count, start, text := 1, 0, ""
	for name, field := range fields {
		switch name {
		case "value":
			text = fmt.Sprint(field)
		case "base64":
			bytes, err := base64.StdEncoding.DecodeString(fmt.Sprint(field))
			if err != nil {
				return nil, err
			}
			one.value = bytes
		case "size":
			one.value = []byte(strings.Repeat("0123456789abcdef", asInt(field)/16+1)[:asInt(field)])
		case "count":
			count = asInt(field)
		case "start":
			start = asInt(field)
		case "headers":
			for _, pair := range field.([]any) {
				h := pair.([]any)
				one.headers = append(one.headers, header{fmt.Sprint(h[0]), []byte(fmt.Sprint(h[1]))})
			}
		case "headers_count":
			for i := range asInt(field) {
				one.headers = append(one.headers, header{fmt.Sprint("h", i), nil})
			}
		case "headers_size":
			one.headers = []header{{"h", []byte(strings.Repeat("v", asInt(field)-1))}}
		case "offset": // for who compares
		default:
			return nil, fmt.Errorf("a record has no %q", name)
		}
	}
	if _, numbered := fields["count"]; !numbered {
		if text != "" {
			one.value = []byte(text)
		}
		return []record{one}, nil
	}
	var records []record
	for i := range count {
		next := one
		if text != "" {
			next.value = []byte(strings.ReplaceAll(text, "%d", fmt.Sprint(start+i)))
		}
		records = append(records, next)
	}
	return records, nil
}

// wire returns records as arguments of a command, and as JSON of the server's,
// which is the same.
func wire(records []record) []any {
	told := make([]any, 0, len(records))
	for _, r := range records {
		one := map[string]any{"value": base64.StdEncoding.EncodeToString(r.value)}
		if len(r.headers) > 0 {
			var headers []any
			for _, h := range r.headers {
				headers = append(headers, map[string]any{"name": h.name, "value": base64.StdEncoding.EncodeToString(h.value)})
			}
			one["headers"] = headers
		}
		told = append(told, one)
	}
	return told
}

// sameRecord compares a record that an adapter told with the one that is due at
// an offset.
func sameRecord(told any, want record, offset string) error {
	fields, ok := told.(map[string]any)
	if !ok {
		return fmt.Errorf("%v is no record", told)
	}
	if got := fmt.Sprint(fields["offset"]); offset != "" && got != offset {
		return fmt.Errorf("the record at offset %s came where that at %s was due", got, offset)
	}
	value, err := bytesOf(fields["value"])
	if err != nil || !slices.Equal(value, want.value) {
		return fmt.Errorf("offset %s has the value %s, not %s (%v)", offset, short(value), short(want.value), err)
	}
	written, _ := fields["headers"].([]any)
	if len(written) != len(want.headers) {
		return fmt.Errorf("offset %s has %d headers, not %d", offset, len(written), len(want.headers))
	}
	for i, h := range want.headers {
		fields, _ := written[i].(map[string]any)
		value, err := bytesOf(fields["value"])
		if name, _ := fields["name"].(string); name != h.name || err != nil || !slices.Equal(value, h.value) {
			return fmt.Errorf("offset %s has %v as header %d, not %q: %q (%v)", offset, written[i], i, h.name, h.value, err)
		}
	}
	if at, ok := fields["time"]; ok {
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(at)); err != nil {
			return fmt.Errorf("offset %s: its time is none: %w", offset, err)
		}
	}
	return nil
}

// bytesOf reads base64; what is absent has no bytes, as in the JSON of protobuf.
func bytesOf(told any) ([]byte, error) {
	text, _ := told.(string)
	return base64.StdEncoding.DecodeString(text)
}

func short(b []byte) string {
	if len(b) > 60 {
		return fmt.Sprintf("%q… (%d bytes)", b[:60], len(b))
	}
	return fmt.Sprintf("%q", b)
}

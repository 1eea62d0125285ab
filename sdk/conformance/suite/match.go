package suite

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// match holds an answer against what a case expects of it. A map expects its
// fields, and says nothing of others; a null expects that a field is absent, "*"
// that it is there and not empty, {one_of: […]} one of several, {contains: …} a
// part of a text. Numbers and their
// decimal strings are equal. Records are written as everywhere in cases.
func match(path string, want, got any) error {
	switch want := want.(type) {
	case nil:
		if got != nil {
			return fmt.Errorf("%s is %v, and should be absent", path, got)
		}
		return nil
	case map[string]any:
		if choices, ok := want["one_of"].([]any); ok && len(want) == 1 {
			return matchOne(path, choices, got)
		}
		if part, ok := want["contains"].(string); ok && len(want) == 1 {
			if !strings.Contains(plain(got), part) {
				return fmt.Errorf("%s is %s, without %q", path, brief(got), part)
			}
			return nil
		}
		return matchMap(path, want, got)
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Errorf("%s is %v, not the %d of %v", path, brief(got), len(want), want)
		}
		for i := range want {
			if err := match(fmt.Sprintf("%s[%d]", path, i), want[i], list[i]); err != nil {
				return err
			}
		}
		return nil
	}
	text := fmt.Sprint(want)
	if text == "*" {
		if got == nil || fmt.Sprint(got) == "" {
			return fmt.Errorf("%s is absent or empty", path)
		}
		return nil
	}
	if got == nil || plain(got) != text {
		return fmt.Errorf("%s is %s, not %s", path, brief(got), text)
	}
	return nil
}

func matchOne(path string, choices []any, got any) error {
	var why error
	for _, choice := range choices {
		err := match(path, choice, got)
		if err == nil {
			return nil
		}
		why = errors.Join(why, err)
	}
	return why
}

func matchMap(path string, want map[string]any, got any) error {
	fields, ok := got.(map[string]any)
	if !ok {
		return fmt.Errorf("%s is %v, not %v", path, brief(got), want)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		var err error
		inner := path + "." + name
		switch name {
		case "records":
			err = matchRecords(inner, want[name], fields)
		case "record":
			err = matchRecord(inner, want[name], fields[name])
		case "acks":
			err = matchAcks(inner, want[name], fields[name])
		default:
			err = match(inner, want[name], fields[name])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// matchRecords compares records; with "from" beside them also their offsets.
func matchRecords(path string, want any, fields map[string]any) error {
	records, err := parseRecords(want)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	list, _ := fields["records"].([]any)
	if len(list) != len(records) {
		return fmt.Errorf("%s are %d, not %d", path, len(list), len(records))
	}
	for i := range records {
		if err := sameRecord(list[i], records[i], ""); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func matchRecord(path string, want, got any) error {
	records, err := parseRecord(want)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	offset := ""
	if fields, ok := want.(map[string]any); ok && fields["offset"] != nil {
		offset = fmt.Sprint(fields["offset"])
	}
	if err := sameRecord(got, records[0], offset); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// matchAcks compares the acknowledgements of a send: {count: 100, from: 0} are so
// many, at contiguous offsets; {runs: 100} are acknowledged ones at contiguous
// offsets, then unknown ones, then ones that are not in the log.
func matchAcks(path string, want, got any) error {
	fields, ok := want.(map[string]any)
	if !ok {
		return match(path, want, got)
	}
	if choices, ok := fields["one_of"].([]any); ok {
		var why error
		for _, choice := range choices {
			err := matchAcks(path, choice, got)
			if err == nil {
				return nil
			}
			why = errors.Join(why, err)
		}
		return why
	}
	list, _ := got.([]any)
	count, runs := fields["count"], fields["runs"]
	if n := max(asInt(count), asInt(runs)); len(list) != n {
		return fmt.Errorf("%s are %d, not %d", path, len(list), n)
	}
	next, known := uint64(0), fields["from"] != nil
	if known {
		next = asUint(fields["from"])
	}
	stage := 0 // of the three runs
	for i, one := range list {
		ack, _ := one.(map[string]any)
		failure, failed := ack["error"].(map[string]any)
		if !failed {
			offset := asUint(ack["offset"])
			if !known {
				next, known = offset, true
			}
			if offset != next || asUint(ack["next_offset"]) != offset+1 || stage > 0 {
				return fmt.Errorf("%s[%d] is %v where offset %d was due", path, i, ack, next)
			}
			next++
			continue
		}
		if runs == nil {
			return fmt.Errorf("%s[%d] failed: %v", path, i, brief(failure))
		}
		now := map[any]int{"unknown": 1, "nothing_appended": 2}[failure["outcome"]]
		if now == 0 || now < stage {
			return fmt.Errorf("%s[%d] has the outcome %v behind others: %v", path, i, failure["outcome"], failure)
		}
		stage = now
	}
	return nil
}

// find returns a field of an answer by its path, such as "info.id".
func find(answer any, path string) (any, error) {
	at := answer
	for name := range strings.SplitSeq(path, ".") {
		fields, _ := at.(map[string]any)
		inner, ok := fields[name]
		if !ok {
			return nil, fmt.Errorf("the answer has no %s: %v", path, brief(answer))
		}
		at = inner
	}
	return at, nil
}

// plain is a scalar as text. Numbers of JSON are floats here.
func plain(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func brief(v any) string {
	text := plain(v)
	if len(text) > 300 {
		return text[:300] + "…"
	}
	return text
}

func asInt(v any) int { return int(asUint(v)) }

// asUint reads a number of a case or an answer; 0 if there is none.
func asUint(v any) uint64 {
	n, _ := strconv.ParseUint(plain(v), 10, 64)
	return n
}

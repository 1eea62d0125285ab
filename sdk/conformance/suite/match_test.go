package suite

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// fromYAML reads what a case would say.
func fromYAML(t *testing.T, text string) any {
	t.Helper()
	var v any
	require.NoError(t, yaml.Unmarshal([]byte(text), &v))
	return v
}

// Goal: an expectation that is met passes, and one that is not says what is wrong.
func TestMatch(t *testing.T) {
	answer := map[string]any{
		"offset": "9007199254740993", "time": "t", "duplicate": false, "info": map[string]any{"id": "x"},
		"record": map[string]any{"value": "YQ==", "offset": "3", "headers": []any{}},
		"acks": []any{
			map[string]any{"offset": "0", "next_offset": "1"},
			map[string]any{"error": map[string]any{"outcome": "unknown"}},
			map[string]any{"error": map[string]any{"outcome": "nothing_appended"}},
		},
	}
	for _, row := range []struct{ want, fails string }{
		{"{offset: 9007199254740993, duplicate: false, time: '*'}", ""},
		{"{offset: 9007199254740992}", "the answer.offset is 9007199254740993, not 9007199254740992"},
		{"{info: {id: y}}", "the answer.info.id is x, not y"},
		{"{reason: null}", ""},
		{"{time: null}", "should be absent"},
		{"{reason: '*'}", "absent or empty"},
		{"{time: {one_of: [s, t]}}", ""},
		{"{time: {one_of: [r, s]}}", "not r"},
		{"{time: {contains: t}}", ""},
		{"{time: {contains: s}}", "without"},
		{"{record: {value: a, offset: 3}}", ""},
		{"{record: {value: a, offset: 4}}", "offset 3 came where that at 4 was due"},
		{"{record: {value: b, offset: 3}}", "has the value"},
		{"{record: {value: a, headers: [[x, y]]}}", "0 headers, not 1"},
		{"{acks: {runs: 3, from: 0}}", ""},
		{"{acks: {runs: 3, from: 1}}", "where offset 1 was due"},
		{"{acks: {count: 3, from: 0}}", "failed"},
		{"{acks: {runs: 2}}", "are 3, not 2"},
	} {
		err := match("the answer", fromYAML(t, row.want), answer)
		if row.fails == "" {
			assert.NoError(t, err, row.want)
		} else {
			assert.ErrorContains(t, err, row.fails, row.want)
		}
	}
	mixed := []any{map[string]any{"error": map[string]any{"outcome": "nothing_appended"}}, map[string]any{"offset": "0", "next_offset": "1"}}
	assert.Error(t, matchAcks("acks", fromYAML(t, "{runs: 2}"), mixed), "an ack behind a failure")
}

// Goal: a case that is not well-formed is refused, and not run by half.
func TestLoadCasesRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"an unknown field":     "- {name: a, why: b, feature: c, steps: [{call: hello, expects: {}}]}",
		"no reason":            "- {name: a, feature: c, steps: [{call: hello}]}",
		"no steps":             "- {name: a, why: b, feature: c}",
		"a step that is two":   "- {name: a, why: b, feature: c, steps: [{call: hello, server: kill}]}",
		"a step that is none":  "- {name: a, why: b, feature: c, steps: [{as: x}]}",
		"a name twice":         "- {name: a, why: b, feature: c, steps: [{call: x}]}\n- {name: a, why: b, feature: c, steps: [{call: x}]}",
		"nothing at all":       "[]",
		"something else":       "cases: 1",
		"a variable of no set": "- {name: a, why: b, feature: c, each: 3, steps: [{call: x}]}",
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "1-a.yaml"), []byte(text), 0o600))
		_, err := LoadCases(dir)
		assert.Error(t, err, name)
	}
}

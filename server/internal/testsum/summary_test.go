package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// summarise runs events through a summary.
func summarise(t *testing.T, events ...string) (string, counts) {
	t.Helper()
	var out strings.Builder
	s := newSummary(&out)
	require.NoError(t, s.read(strings.NewReader(strings.Join(events, "\n"))))
	total := s.close()
	return out.String(), total
}

// Goal: each way in which tests end is counted as the package comment says, and
// what a person needs to see is printed.
// Method: events as go test -json writes them.
func TestSummary(t *testing.T) {
	for name, row := range map[string]struct {
		events []string
		want   counts
		prints []string
		hides  []string
	}{
		"a package that passes": {
			events: []string{
				`{"Action":"start","Package":"a"}`,
				`{"Action":"run","Package":"a","Test":"TestX"}`,
				`{"Action":"output","Package":"a","Test":"TestX","Output":"noise\n"}`,
				`{"Action":"pass","Package":"a","Test":"TestX","Elapsed":0}`,
				`{"Action":"output","Package":"a","Output":"PASS\n"}`,
				`{"Action":"output","Package":"a","Output":"ok  \ta\t0.1s\n"}`,
				`{"Action":"pass","Package":"a","Elapsed":0.1}`,
			},
			want:   counts{passed: 1},
			prints: []string{"ok  \ta\t0.1s\n"},
			hides:  []string{"noise", "PASS"},
		},
		"a package without tests": {
			events: []string{
				`{"Action":"output","Package":"a","Output":"?   \ta\t[no test files]\n"}`,
				`{"Action":"skip","Package":"a","Elapsed":0}`,
			},
			prints: []string{"?   \ta\t[no test files]\n"},
		},
		"a failing test shows its output": {
			events: []string{
				`{"Action":"output","Package":"a","Test":"TestX","Output":"=== RUN   TestX\n"}`,
				`{"Action":"output","Package":"a","Test":"TestX","Output":"    want 1\n"}`,
				`{"Action":"output","Package":"a","Test":"TestX","Output":"--- FAIL: TestX\n"}`,
				`{"Action":"fail","Package":"a","Test":"TestX"}`,
				`{"Action":"output","Package":"a","Output":"FAIL\ta\t0.1s\n"}`,
				`{"Action":"fail","Package":"a"}`,
			},
			want:   counts{failed: 1},
			prints: []string{"    want 1\n", "--- FAIL: TestX\n", "FAIL\ta\t0.1s\n"},
			hides:  []string{"=== RUN"},
		},
		"a skipped test tells why": {
			events: []string{
				`{"Action":"output","Package":"a","Test":"TestX","Output":"=== RUN   TestX\n"}`,
				`{"Action":"output","Package":"a","Test":"TestX","Output":"    a_test.go:7: no disk\n"}`,
				`{"Action":"output","Package":"a","Test":"TestX","Output":"--- SKIP: TestX (0.00s)\n"}`,
				`{"Action":"skip","Package":"a","Test":"TestX"}`,
				`{"Action":"pass","Package":"a"}`,
			},
			want:   counts{skipped: 1},
			prints: []string{"SKIP a TestX: a_test.go:7: no disk\n"},
		},
		"subtests count, not their parents": {
			events: []string{
				`{"Action":"pass","Package":"a","Test":"TestX/one/deep"}`,
				`{"Action":"pass","Package":"a","Test":"TestX/one"}`,
				`{"Action":"fail","Package":"a","Test":"TestX/two"}`,
				`{"Action":"skip","Package":"a","Test":"TestX/three"}`,
				`{"Action":"fail","Package":"a","Test":"TestX"}`,
				`{"Action":"fail","Package":"a"}`,
			},
			want: counts{passed: 1, failed: 1, skipped: 1},
		},
		"a parent that fails by itself counts": {
			events: []string{
				`{"Action":"pass","Package":"a","Test":"TestX/one"}`,
				`{"Action":"fail","Package":"a","Test":"TestX"}`,
				`{"Action":"fail","Package":"a"}`,
			},
			want: counts{passed: 1, failed: 1},
		},
		"a package that panics": {
			events: []string{
				`{"Action":"output","Package":"a","Test":"TestX","Output":"panic: oh\n"}`,
				`{"Action":"output","Package":"a","Output":"FAIL\ta\t0.1s\n"}`,
				`{"Action":"fail","Package":"a"}`,
			},
			want:   counts{failed: 1},
			prints: []string{"panic: oh\n", "FAIL\ta\t0.1s\n"},
		},
		"a package that does not build": {
			events: []string{
				`{"ImportPath":"a [a.test]","Action":"build-output","Output":"# a\n"}`,
				`{"ImportPath":"a [a.test]","Action":"build-output","Output":"a.go:1: undefined: x\n"}`,
				`{"ImportPath":"a [a.test]","Action":"build-fail"}`,
				`{"Action":"output","Package":"a","Output":"FAIL\ta [build failed]\n"}`,
				`{"Action":"fail","Package":"a","FailedBuild":"a [a.test]"}`,
			},
			want:   counts{failed: 1},
			prints: []string{"# a\na.go:1: undefined: x\n", "FAIL\ta [build failed]\n"},
		},
		"a package that never ends": {
			events: []string{`{"Action":"start","Package":"a"}`, `{"Action":"output","Package":"a","Output":"x\n"}`},
			want:   counts{failed: 1},
			prints: []string{"never ended"},
		},
		"lines that are no events": {
			events: []string{`go: downloading x`, `{"a":1}`},
			prints: []string{"go: downloading x\n", "{\"a\":1}\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, total := summarise(t, row.events...)
			assert.Equal(t, row.want, total)
			for _, text := range row.prints {
				assert.Contains(t, out, text)
			}
			for _, text := range row.hides {
				assert.NotContains(t, out, text)
			}
		})
	}
}

// Goal: several packages at once add up, in the form that the closing line has.
func TestTotal(t *testing.T) {
	_, total := summarise(t,
		`{"Action":"pass","Package":"a","Test":"TestX"}`,
		`{"Action":"fail","Package":"b","Test":"TestX"}`,
		`{"Action":"pass","Package":"a"}`,
		`{"Action":"fail","Package":"b"}`,
	)
	assert.Equal(t, "1 passed, 1 failed, 0 skipped", total.String())
}

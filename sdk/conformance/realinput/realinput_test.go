package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/sdk/conformance/proglogtest"
)

// testLimit bounds the trials, which take seconds.
const testLimit = 3 * time.Minute

// Goal: a real text comes back as it went in, also when the server is killed in
// the middle. Method: the whole program, with a small input.
func TestRealInput(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	defer cancel()
	var out bytes.Buffer
	r := run{bin: proglogtest.Bin(t), dir: t.TempDir(), out: &out, kills: 5, writers: 4}
	err := r.all(ctx, 3e6, nil)
	t.Logf("\n%s", out.Bytes())
	require.NoError(t, err)
}

// Goal: the input is made of the lines of all texts, in the same order each
// time, again from the start if there are too few, with a newline at the end;
// what is no text and lines that are too long are left out.
func TestInput(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b/open": "no newline",
		"a":      "one\n\ntwo\r\n\xff\n" + strings.Repeat("x", maxLine+1) + "\nthree\n",
		"c":      "a\x00b\n",
		"d":      "",
	} {
		path := filepath.Join(dir, "src", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	once := "one\n\ntwo\r\n\xff\nthree\nno newline\n"
	in, err := makeInput(filepath.Join(dir, "input"), int64(len(once))+2, []string{filepath.Join(dir, "src")})
	require.NoError(t, err)
	got, err := os.ReadFile(in.path)
	require.NoError(t, err)
	require.Equal(t, once+"one\n", string(got))
	in.path, in.sum = "", nil
	want := input{bytes: int64(len(got)), lines: 7, files: 4, empty: 1, binary: 1, longest: 10, left: 1}
	assert.Equal(t, want.String(), in.String())
	_, err = makeInput(filepath.Join(dir, "input"), 1, []string{filepath.Join(dir, "src", "c")})
	assert.Error(t, err, "an input was made of nothing")
}

// Goal: the comparison tells every way in which a log can fail to give back its
// input, so that no trial passes by accident.
func TestCompare(t *testing.T) {
	text := "first\n\n" + strings.Repeat("a long line ", 30_000) + "\nlast\n"
	in := input{path: filepath.Join(t.TempDir(), "input")}
	require.NoError(t, os.WriteFile(in.path, []byte(text), 0o644))
	for _, row := range []struct {
		name  string
		got   string
		lines uint64
		err   string // part of the error; "" is none
	}{
		{"all", text, 4, ""},
		{"nothing", "", 0, ""},
		{"the first lines", "first\n\n", 2, ""},
		{"a line is missing", "first\n" + text[7:], 1, "line 2 "},
		{"a line is there twice", "first\nfirst\n", 1, "line 2 "},
		{"a line is cut", "fir", 0, "ends within line 1"},
		{"a byte is another", text[:len(text)-2] + "x\n", 3, "line 4 "},
		{"a line is too much", text + "\n", 4, "line 5 "},
	} {
		t.Run(row.name, func(t *testing.T) {
			lines, size, err := in.compare(strings.NewReader(row.got))
			assert.Equal(t, row.lines, lines)
			if row.err != "" {
				assert.ErrorContains(t, err, row.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, int64(len(row.got)), size)
		})
	}
}

// Goal: lines of several writers in one log are matched each with its own input,
// and one that is lost, twice there, out of order or at another offset than its
// ack told is found.
func TestMatch(t *testing.T) {
	dir := t.TempDir()
	writers := []*writer{
		{path: filepath.Join(dir, "0"), told: outcome{acked: 2, last: 3}},
		{path: filepath.Join(dir, "1")},
	}
	for i, text := range []string{"0 0 a\n0 1 \n0 2 c\n", "1 0 a\n1 1 b\n"} {
		require.NoError(t, os.WriteFile(writers[i].path, []byte(text), 0o644))
	}
	for _, row := range []struct {
		name string
		got  []string
		err  string // part of the error; "" is none
	}{
		{"both", []string{"0 0 a", "1 0 a", "1 1 b", "0 1 ", "0 2 c"}, ""},
		{"one is lost", []string{"0 0 a", "1 1 b"}, "offset 1 is not line 1 of writer 1"},
		{"one is there twice", []string{"0 0 a", "1 0 a", "1 0 a"}, "offset 2 is not line 2 of writer 1"},
		{"one behind the end", []string{"1 0 a", "1 1 b", "1 1 b"}, "offset 2 is not line 3 of writer 1"},
		{"out of order", []string{"0 1 ", "0 0 a"}, "offset 0 is not line 1 of writer 0"},
		{"of a writer that is not there", []string{"2 0 a"}, "offset 0 is of no writer"},
		{"an empty one", []string{""}, "offset 0 is of no writer"},
		{"at another offset", []string{"0 0 a", "1 0 a", "0 1 "}, "line 2 of writer 0 is at offset 2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			found, err := match(strings.NewReader(strings.Join(row.got, "\n")+"\n"), writers)
			if row.err != "" {
				assert.ErrorContains(t, err, row.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, []place{{3, 17}, {2, 12}}, found)
		})
	}
}

// Goal: what produce reports is read as it is meant, a report that contradicts
// itself or tells too little is found, and so is a log that contradicts it.
func TestOutcome(t *testing.T) {
	const (
		acked   = "  acknowledged: 5, up to line 5 of standard input, which is at offset 14\n"
		unknown = "  unknown: 2, from line 6 of standard input to line 7 of standard input: they may be in the log or not\n"
		none    = "  acknowledged: none\n"
		nothing = "  nothing else was appended\n"
	)
	for _, row := range []struct {
		name, report string
		want         outcome
		bad          bool
	}{
		{"some of both", acked + unknown, outcome{acked: 5, last: 14, unknown: 2}, false},
		{"nothing is unknown", acked + nothing, outcome{acked: 5, last: 14}, false},
		{"nothing at all", none + nothing, outcome{}, false},
		{"all is unknown", none + strings.NewReplacer("6", "1", "7", "2").Replace(unknown), outcome{unknown: 2}, false},
		{"acks are not told", unknown, outcome{}, true},
		{"unknowns are not told", acked, outcome{}, true},
		{"the acks do not add up", strings.Replace(acked, ": 5", ": 6", 1) + unknown, outcome{}, true},
		{"the unknowns do not add up", acked + strings.Replace(unknown, ": 2", ": 3", 1), outcome{}, true},
		{"a hole between them", none + unknown, outcome{}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := outcome{stderr: "proglog produce: unavailable\n" + row.report}
			err := o.parse()
			o.stderr = ""
			if row.bad {
				assert.Error(t, err, "it was read as %+v", o)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, row.want, o)
		})
	}
	told := outcome{acked: 5, unknown: 2}
	for found, good := range []bool{4: false, 5: true, 6: true, 7: true, 8: false} {
		err := told.check(uint64(found))
		assert.Equal(t, good, err == nil, "%d lines in the log: %v", found, err)
	}
}

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/sdks"
)

// Goal: the rows of SDKs have every language on every path, and can be asked for by
// their goal.
func TestPlanOfSDKs(t *testing.T) {
	o, err := parse([]string{"-rows", "SDK"}, &bytes.Buffer{})
	require.NoError(t, err)
	var names []string
	for _, c := range o.choose(plan(o)) {
		names = append(names, c.name)
	}
	assert.Len(t, names, 21)
	for _, language := range []string{"typescript", "python"} {
		assert.Contains(t, names, "sdk/"+language+"/unary/value=100/callers=32")
	}
	for _, rest := range []string{"unary/value=100/callers=64", "pipelined/value=100", "pipelined/value=1K", "consume/value=100/callers=1", "consume/value=100/callers=16", "follow/value=100", "follow/value=1K"} {
		assert.Contains(t, names, "sdk/go/"+rest)
	}
}

// programs makes a folder with the program of a language as make bench makes it, or
// tells why there is none.
func programs(t *testing.T, language string) sdks.Places {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", "..", "sdk"))
	require.NoError(t, err)
	made := sdks.Places{SDKs: root, Python: filepath.Join(root, "python", ".venv", "bin", "python")}
	switch language {
	case sdks.Python:
		for _, needed := range []string{made.Python, filepath.Join(root, "python", "bench", "bench.py")} {
			if _, err := os.Stat(needed); err != nil {
				t.Skipf("there is no %s", needed)
			}
		}
	case sdks.TypeScript:
		made.SDKs = buildTypeScript(t, filepath.Join(root, "typescript"))
	}
	return made
}

// buildTypeScript builds the program into a folder of its own, so that nobody who
// builds there at the same time is disturbed.
func buildTypeScript(t *testing.T, source string) string {
	t.Helper()
	compiler := filepath.Join(source, "node_modules", ".bin", "tsc")
	if _, err := os.Stat(compiler); err != nil {
		t.Skipf("there is no %s", compiler)
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	folder := t.TempDir()
	target := filepath.Join(folder, "typescript")
	require.NoError(t, os.Mkdir(target, 0o700))
	for _, name := range []string{"node_modules", "package.json"} {
		require.NoError(t, os.Symlink(filepath.Join(source, name), filepath.Join(target, name)))
	}
	out, err := exec.Command(compiler, "-p", filepath.Join(source, "tsconfig.test.json"), "--outDir", filepath.Join(target, "build")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return folder
}

// Goal: on every path the real program of each language, with all its clients, does
// what it is asked, and each SDK is held against a stock client. A language whose tools
// are not here is skipped, which says why.
func TestRowsOfSDKs(t *testing.T) {
	bin := binary(t)
	for _, language := range []string{sdks.Go, sdks.TypeScript, sdks.Python} {
		t.Run(language, func(t *testing.T) {
			dir := t.TempDir()
			o := smallest(dir, "^sdk/"+strings.ToLower(language)+"/")
			o.bin, o.places = bin, programs(t, language)
			r, err := runCells(context.Background(), o.choose(plan(o)), dir, &bytes.Buffer{})
			require.NoError(t, err)
			require.Len(t, r.contests, 7)
			for _, c := range r.contests {
				for _, outcome := range c.outcomes {
					require.Empty(t, outcome.Unavailable, outcome.Label)
					require.Len(t, outcome.Series, 1, "%s: %s", c.name, outcome.Label)
					s := outcome.Series[0]
					assert.Positive(t, s.Records)
					assert.Equal(t, s.Records*uint64(outcome.Load.ValueBytes), s.Bytes)
					assert.Positive(t, s.Elapsed)
					assert.Positive(t, s.ServerPerRecord)
				}
			}
			var judged string
			for _, row := range goalTable(r).Rows {
				judged += row[1] + "\n"
			}
			for _, path := range []string{"unary by [0-9]+ callers, 100 B", "pipelined, 100 B", "pipelined, 1 KiB", "consume, 100 B", "consume by 16 callers, 100 B", "follow, 100 B", "follow, 1 KiB"} {
				assert.Regexp(t, "(?m)^"+language+" sdk, "+path+": rate beside stock-", judged)
			}
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// Goal: where a language is not installed, the report says SKIP and why, and has no
// goal for it.
func TestSDKsThatAreNotThere(t *testing.T) {
	bin := binary(t)
	t.Setenv("PATH", t.TempDir())
	o := smallest(t.TempDir(), "^sdk/(typescript|python)/unary/")
	o.bin, o.places = bin, sdks.Places{SDKs: t.TempDir(), Python: "no-such-python"}
	var out bytes.Buffer
	require.NoError(t, bench(context.Background(), o, &out, &bytes.Buffer{}))
	assert.Regexp(t, `TypeScript: SKIP +unary by 32 callers, 100 B +not available here: node is not installed`, out.String())
	assert.Regexp(t, `Python: SKIP +unary by 32 callers, 100 B +not available here: there is no no-such-python: run make packages`, out.String())
	assert.NotContains(t, out.String(), "rate beside")
}

// Goal: an SDK is held against the fastest stock client of its own manner, round by
// round, and misses its goal when that is faster.
func TestGoalsOfSDKs(t *testing.T) {
	rates := func(label string, rates ...uint64) measure.Outcome {
		o := measure.Outcome{Label: "Python " + label, Load: peer.Load{Writers: 16, ValueBytes: 100}}
		for _, n := range rates {
			o.Series = append(o.Series, measure.Sample{Records: n, Elapsed: time.Second})
		}
		return o
	}
	r := &results{contests: []contest{{name: "sdk/python/consume/value=100/callers=16", group: groupSDK, outcomes: []measure.Outcome{
		rates("sdk", 90, 95, 120), rates("stock-grpc", 100, 100, 100), rates("stock-connect", 50, 130, 50),
		rates("stock-grpc-batch", 900, 900, 900), rates("sdk-async", 60, 60, 60), rates("stock-grpc-async", 30, 30, 30),
	}}}}
	rows := goalTable(r).Rows
	require.Len(t, rows, 2)
	assert.Equal(t, []string{"SDK", "Python sdk, consume by 16 callers, 100 B: rate beside stock-grpc", "≥ 1.00x", "0.95x", "1.33x", "no", "0.90x 0.95x 1.20x"}, rows[0])
	assert.Equal(t, []string{"SDK", "Python sdk-async, consume by 16 callers, 100 B: rate beside stock-grpc-async", "≥ 1.00x", "2.00x", "1.00x", "yes", "2.00x 2.00x 2.00x"}, rows[1])
}

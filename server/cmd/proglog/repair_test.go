package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runTool runs a command that needs no server.
func runTool(t *testing.T, run func(args ...string) (code int, stdout, stderr string), args ...string) result {
	t.Helper()
	code, stdout, stderr := run(args...)
	return result{code, stdout, stderr}
}

func runRepair(t *testing.T, args ...string) result {
	t.Helper()
	return runTool(t, func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		code := repair(t.Context(), args, nil, &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}, args...)
}

func runDump(t *testing.T, args ...string) result {
	t.Helper()
	return runTool(t, func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		code := dump(t.Context(), args, nil, &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}, args...)
}

// Goal: a whole directory is copied with exit code 0; of a damaged one the copy
// serves what is good, DATA_LOSS for just the lost range, and exit code 1 tells.
// The source stays as it was.
func TestRepairCopiesWhatIsGood(t *testing.T) {
	dir := filledDir(t)
	whole := filepath.Join(t.TempDir(), "whole")
	r := runRepair(t, "--to", whole, dir)
	require.Equal(t, exitOK, r.code, r.stdout+r.stderr)
	assert.Contains(t, r.stdout, "everything was copied; start the server with: proglog serve --data-dir "+whole)

	s := startServe(t, "--data-dir", dir)
	requireOK(t, "produce", "a line behind it\n", "--addr", "http://"+s.addr)
	code, log := s.end(t)
	require.Equal(t, exitOK, code, log)
	flipValue(t, filepath.Join(dir, "segments"), "second")
	copied := filepath.Join(t.TempDir(), "copied")
	r = runRepair(t, dir, "--to", copied)
	require.Equal(t, exitOK, r.code, r.stdout+r.stderr)
	assert.Contains(t, r.stdout, "note: the default log: its segments no longer hold 3 of its records as they were written; they were taken from the journal")
	eraseGroups(t, filepath.Join(dir, "journal")) // as the next use of its files does
	before := treeOf(t, dir)
	to := filepath.Join(t.TempDir(), "repaired")
	r = runRepair(t, dir, "--to", to)
	require.Equal(t, exitFailed, r.code, r.stdout+r.stderr)
	assert.Regexp(t, `(?m)^LOST: the default log, offsets 0 to 2 \(3 records\): segments/\S+, position 128: frame payload does not match its checksum$`, r.stdout)
	assert.Contains(t, r.stdout, "3 records are lost for certain. In the new directory, reading them is DATA_LOSS of just these ranges")
	assert.Contains(t, r.stdout, "Keep "+dir+" until you have what you need")
	assert.Equal(t, before, treeOf(t, dir), "the source")

	s = startServe(t, "--data-dir", to)
	r = runCommand(t, "consume", "", "--addr", "http://"+s.addr)
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.stderr, "records 0 to 2 are damaged: --from 3 goes on")
	assert.Equal(t, "a line behind it\n", requireOK(t, "consume", "", "--addr", "http://"+s.addr, "--from", "3"))
	requireOK(t, "produce", "and more\n", "--addr", "http://"+s.addr)
	code, log = s.end(t)
	require.Equal(t, exitOK, code, log)

	// What a repair has recorded is no damage any more, and is told all the same.
	r = runVerify(t, to)
	assert.Equal(t, exitOK, r.code)
	assert.Contains(t, r.stdout, "lost before: the default log, offsets 0 to 2 (3 records)")

	again := filepath.Join(t.TempDir(), "again")
	r = runRepair(t, "--json", "--to", again, to)
	require.Equal(t, exitOK, r.code, r.stderr)
	var report struct {
		Whole bool
		Logs  []struct {
			Next, Records uint64
			Before        []struct{ First, Next uint64 } `json:"lost_before"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &report))
	assert.True(t, report.Whole)
	require.Len(t, report.Logs, 1)
	assert.Equal(t, uint64(5), report.Logs[0].Next)
	assert.Equal(t, uint64(2), report.Logs[0].Records)
	require.Len(t, report.Logs[0].Before, 1)
	assert.Equal(t, uint64(3), report.Logs[0].Before[0].Next)
}

// treeOf returns the contents of all files but the lock.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "LOCK" {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	}))
	return files
}

// Goal: without its table, the default log comes back with its records.
func TestRepairWithoutTheTable(t *testing.T) {
	dir := filledDir(t)
	require.NoError(t, os.Remove(filepath.Join(dir, "CHECKPOINT")))
	to := filepath.Join(t.TempDir(), "repaired")
	r := runRepair(t, "--to", to, dir)
	require.Equal(t, exitFailed, r.code, r.stderr)
	assert.Regexp(t, `(?m)^DAMAGED: CHECKPOINT, position 0: the file CHECKPOINT is missing, but there are segments; .+$`, r.stdout)
	assert.Contains(t, r.stdout, "copied: the default log, 3 records; it goes from offset 0 to 3")
	s := startServe(t, "--data-dir", to)
	assert.Equal(t, "a first line\nand a second one\nand a third\n", requireOK(t, "consume", "", "--addr", "http://"+s.addr))
	_, _ = s.end(t)
}

// Goal: what cannot be copied, or is asked for wrongly, is told, and nothing is
// written.
func TestRepairRefuses(t *testing.T) {
	dir := filledDir(t)
	full := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(full, "mine"), nil, 0o600))
	for name, row := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no new directory":       {[]string{dir}, exitUsage, "give the damaged data directory and a new one"},
		"no directory":           {[]string{"--to", full}, exitUsage, "give the damaged data directory"},
		"two things at once":     {[]string{"--to", filepath.Join(full, "x"), "--moved", dir}, exitUsage, "give the damaged"},
		"into itself":            {[]string{"--to", filepath.Join(dir, "new", "one"), dir}, exitUsage, "must not be in the damaged one"},
		"a directory with files": {[]string{"--to", full, dir}, exitFailed, `not empty: it holds "mine"`},
		"none of ours":           {[]string{"--to", filepath.Join(t.TempDir(), "x"), full}, exitFailed, "not a proglog data directory"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runRepair(t, row.args...)
			assert.Equal(t, row.code, r.code)
			assert.Regexp(t, "^proglog repair", r.stderr)
			assert.Contains(t, r.stderr, row.says)
			assert.Empty(t, r.stdout)
		})
	}
	s := startServe(t, "--data-dir", dir)
	r := runRepair(t, "--to", filepath.Join(t.TempDir(), "x"), dir)
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.stderr, "stop the server first")
	_, _ = s.end(t)
}

// Goal: repair --restored gives new ids to the logs of a directory, and --moved
// keeps them.
func TestRepairSettlesWhatACopyIs(t *testing.T) {
	dir := filledDir(t)
	id := func() string {
		s := startServe(t, "--data-dir", dir)
		out := requireOK(t, "logs", "", "describe", "--json", "--addr", "http://"+s.addr)
		_, _ = s.end(t)
		var log struct {
			ID string `json:"log_id"`
		}
		require.NoError(t, json.Unmarshal([]byte(out), &log))
		require.NotEmpty(t, log.ID)
		return log.ID
	}
	first := id()
	require.Equal(t, exitOK, runRepair(t, "--moved", dir).code)
	require.Equal(t, first, id())
	require.Equal(t, exitOK, runRepair(t, "--restored", dir).code)
	require.NotEqual(t, first, id())
}

// Goal: dump shows every frame with its place and its offsets, tells the bad one,
// and shows what is asked for.
func TestDump(t *testing.T) {
	dir := filledDir(t)
	r := runDump(t, dir)
	require.Equal(t, exitOK, r.code, r.stderr)
	assert.Regexp(t, `(?m)^ +0  ok   table `, r.stdout)
	assert.Regexp(t, `(?m)^ +128  ok   records  the default log; offsets 0 to 2; `, r.stdout)
	assert.NotContains(t, r.stdout, "BAD")

	flipValue(t, filepath.Join(dir, "segments"), "second")
	r = runDump(t, "--log", "", "--json", dir)
	require.Equal(t, exitOK, r.code, r.stderr)
	bad := 0
	for decoder := json.NewDecoder(bytes.NewBufferString(r.stdout)); decoder.More(); {
		var item struct {
			File, Kind, Why string
			OK              bool
			Log             *string
			Position, First int64
		}
		require.NoError(t, decoder.Decode(&item))
		require.NotNil(t, item.Log)
		if !item.OK {
			bad++
			assert.Equal(t, "frame payload does not match its checksum", item.Why)
			assert.Equal(t, int64(128), item.Position)
		}
	}
	assert.Equal(t, 1, bad)
	assert.NotContains(t, runDump(t, "--from", "3", dir).stdout, "records ")
	assert.Equal(t, exitUsage, runDump(t).code)
	r = runDump(t, "--log", "nope", dir)
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.stderr, `no file tells of log "nope"`)
}

// eraseGroups takes from the journal's files all but their headers.
func eraseGroups(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		clear(b[4096:])
		require.NoError(t, os.WriteFile(name, b, 0o600))
	}
}

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runVerify runs verify on a data directory.
func runVerify(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := verify(t.Context(), args, nil, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// filledDir returns a data directory with some records, after a clean stop.
func filledDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s := startServe(t, "--data-dir", dir)
	requireOK(t, "produce", "a first line\nand a second one\nand a third\n", "--addr", "http://"+s.addr)
	code, log := s.end(t)
	require.Equal(t, exitOK, code, log)
	return dir
}

// flipValue flips a bit of the first file below dir that holds the text.
func flipValue(t *testing.T, dir, text string) {
	t.Helper()
	flipped := false
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || flipped {
			return err
		}
		b, err := os.ReadFile(path)
		if at := bytes.Index(b, []byte(text)); at >= 0 {
			b[at] ^= 1
			flipped = true
			return os.WriteFile(path, b, 0o600)
		}
		return err
	}))
	require.True(t, flipped, "no file holds %q", text)
}

// Goal: verify exits 0 if everything is as it was written, and 1 if something is
// damaged, of which it names the records, or the file where it is not records.
func TestVerifyTellsDamage(t *testing.T) {
	dir := filledDir(t)
	r := runVerify(t, dir)
	assert.Equal(t, exitOK, r.code, r.stderr)
	assert.Contains(t, r.stdout, "1 logs, 3 records")
	assert.Contains(t, r.stdout, "no damage: every record, checksum and chain is as it was written")

	flipValue(t, filepath.Join(dir, "segments"), "second")
	r = runVerify(t, dir)
	assert.Equal(t, exitFailed, r.code)
	assert.Regexp(t, regexp.MustCompile(`(?m)^DAMAGED: the default log, offsets 0 to 2 \(3 records\): segments/\S+, position 128: .+$`), r.stdout)
	assert.NotContains(t, r.stdout, "no damage: every record, checksum and chain is as it was written")
	assert.Contains(t, r.stdout, "The server starts with this directory: it reads all but the ranges above, which are DATA_LOSS.")
	assert.Contains(t, r.stdout, "`proglog repair --to NEWDIR "+dir+"` copies all that is good.")
	assert.Empty(t, r.stderr)

	// A reader is told which records it is about, and how to go on.
	s := startServe(t, "--data-dir", dir)
	requireOK(t, "produce", "a line behind it\n", "--addr", "http://"+s.addr)
	r = runCommand(t, "consume", "", "--addr", "http://"+s.addr)
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.stderr, "DATA_DAMAGED")
	assert.Contains(t, r.stderr, "records 0 to 2 are damaged: --from 3 goes on")
	assert.Equal(t, "a line behind it\n", requireOK(t, "consume", "", "--addr", "http://"+s.addr, "--from", "3"))
	_, _ = s.end(t)
}

// Goal: damage of a file that is not records is told with the file's name.
func TestVerifyTellsDamagedFiles(t *testing.T) {
	dir := filledDir(t)
	path := filepath.Join(dir, "CHECKPOINT")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[20] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o600))
	r := runVerify(t, dir)
	assert.Equal(t, exitFailed, r.code)
	assert.Regexp(t, regexp.MustCompile(`(?m)^DAMAGED: CHECKPOINT, position 0: .+$`), r.stdout)
	assert.Contains(t, r.stdout, "The server refuses to start with this directory")
	assert.Contains(t, r.stdout, "`proglog dump "+dir+"` shows what is there")
}

// Goal: what cannot be looked at is exit code 1, and wrong usage 2, each with a
// line that begins with the command.
func TestVerifyRefuses(t *testing.T) {
	for _, row := range []struct {
		args []string
		code int
	}{
		{[]string{filepath.Join(t.TempDir(), "none")}, exitFailed},
		{[]string{t.TempDir()}, exitFailed},
		{nil, exitUsage},
		{[]string{"a", "b"}, exitUsage},
	} {
		r := runVerify(t, row.args...)
		assert.Equal(t, row.code, r.code)
		assert.Regexp(t, "^proglog verify: ", r.stderr)
		assert.Empty(t, r.stdout)
	}
	assert.Equal(t, exitUsage, verify(t.Context(), []string{"--nope"}, nil, io.Discard, io.Discard))
}

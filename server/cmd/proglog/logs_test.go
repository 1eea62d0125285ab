package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Goal: the life of a log by the command line.
func TestLogs(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	do := func(args string) string {
		t.Helper()
		return requireOK(t, "logs", "", append(strings.Fields(args), "--addr", addr)...)
	}
	assert.Contains(t, do("create orders/a --max-age 24h --max-bytes 1000000"), "24h0m0s, 1000000 bytes")
	assert.Contains(t, do("retain orders/a --max-bytes 3MiB"), "for ever, 3145728 bytes")
	assert.Contains(t, do("retain orders/a --max-age 24h --max-bytes 1GiB"), "24h0m0s, 1073741824 bytes")
	do("create orders/b")
	requireOK(t, "produce", "0\n1\n2\n", "--addr", addr, "--log", "orders/a")
	var described jsonLog
	require.NoError(t, json.Unmarshal([]byte(do("describe orders/a --json")), &described))
	assert.Equal(t, uint64(3), described.NextOffset)
	assert.Equal(t, "24h0m0s", described.MaxAge)
	assert.NotNil(t, described.LastTime)
	assert.Contains(t, do("trim orders/a 2"), "begins at offset 2")
	assert.Equal(t, "2\n", requireOK(t, "consume", "", "--addr", addr, "--log", "orders/a"))
	assert.Contains(t, do("retain orders/a"), "for ever, without a bound")
	assert.Regexp(t, `sealed +yes`, do("seal orders/a"))
	assert.Equal(t, "2\n", requireOK(t, "consume", "", "--addr", addr, "--log", "orders/a", "--follow"), "a sealed log ends")
	assert.Regexp(t, `(?m)^orders/a +2 +3 .* yes\norders/b +0 +0 .* no$`, do("list orders/"))
	assert.Contains(t, do("list"), `""`)
	do("delete orders/a")
	assert.NotContains(t, do("list --json"), "orders/a")
}

// Goal: describe tells the limits in force, the dedup window, what the server can
// do and what an ack means, for people and as JSON.
func TestLogsDescribe(t *testing.T) {
	s := startServe(t, "--data-dir", t.TempDir(), "--max-value-bytes", "3MiB", "--max-headers", "7", "--max-batch-records", "11", "--max-wait", "90s")
	addr := "http://" + s.addr
	requireOK(t, "logs", "", "create", "a", "--addr", addr)
	text := requireOK(t, "logs", "", "describe", "a", "--addr", addr)
	for _, want := range []string{
		`an ack means +synced`, `retries are known +the last \d+ of a producer`,
		`a record takes +a value of 3MiB, 7 headers of together 16KiB`, `a batch takes +11 records, of together \d`,
		`a response has +10000 records, of together 1MiB`, `a read waits +1m30s`, `heartbeats come +every 1s to 1m0s`,
		`a producer's id has +64 bytes`, `a page of logs has +1000`,
		`the server can do +expected offset, producers, named logs, trim, seal, from time`,
	} {
		assert.Regexp(t, want, text)
	}
	var described jsonLog
	require.NoError(t, json.Unmarshal([]byte(requireOK(t, "logs", "", "describe", "a", "--json", "--addr", addr+"/")), &described))
	assert.Equal(t, "synced", described.Durability)
	require.NotNil(t, described.Dedup)
	assert.Positive(t, described.Dedup.Acks)
	assert.Positive(t, described.Dedup.Producers)
	assert.NotEmpty(t, described.Dedup.MaxAge)
	require.NotNil(t, described.Limits)
	batchBytes := described.Limits.BatchBytes
	assert.Positive(t, batchBytes)
	assert.Equal(t, jsonLimits{
		ValueBytes: 3 << 20, Headers: 7, HeaderBytes: 16 << 10, BatchRecords: 11, BatchBytes: batchBytes,
		ResponseBytes: 1 << 20, MaxRecords: 10_000, Wait: "1m30s", MinHeartbeat: "1s", MaxHeartbeat: "1m0s",
		ProducerIDBytes: 64, PageSize: 1000,
	}, *described.Limits)
	assert.Equal(t, &jsonCapabilities{true, true, true, true, true, true}, described.Capabilities)
	assert.NotContains(t, requireOK(t, "logs", "", "list", "--json", "--addr", addr), "limits")
	code, log := s.end(t)
	require.Equal(t, exitOK, code, log)
}

// Goal: what logs cannot do, and how it says so.
func TestLogsUsage(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	t.Setenv("PROGLOG_ADDR", addr)
	requireOK(t, "logs", "", "create", "a")
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"":                         {exitUsage, "Usage: proglog logs"},
		"rename a":                 {exitUsage, "there is no \"rename\""},
		"create":                   {exitUsage, "usage: proglog logs create [flags] NAME"},
		"trim a b":                 {exitUsage, "no offset"},
		"create a":                 {exitFailed, "there is a log \"a\" already"},
		"create -x":                {exitUsage, "x"},
		"describe b":               {exitFailed, "proglog logs list"},
		"seal b":                   {exitFailed, "LOG_NOT_FOUND"},
		"delete b":                 {exitFailed, "LOG_NOT_FOUND"},
		"create a//b":              {exitFailed, "INVALID_LOG_NAME"},
		"list --addr x":            {exitUsage, "http://"},
		"retain b":                 {exitFailed, "LOG_NOT_FOUND"},
		"create --max-age":         {exitUsage, "max-age"},
		"create c --max-bytes 3MB": {exitUsage, "use a number of bytes, or one with KiB, MiB or GiB"},
		"retain a --max-bytes -1":  {exitUsage, "use a number of bytes, or one with KiB, MiB or GiB"},
	} {
		t.Run(args, func(t *testing.T) {
			r := runCommand(t, "logs", "", strings.Fields(args)...)
			assert.Equal(t, want.code, r.code, r.stderr)
			assert.Contains(t, r.stderr, want.text)
		})
	}
}

// Goal: consume starts at a time.
func TestConsumeFromTime(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	requireOK(t, "produce", "0\n1\n", "--addr", addr)
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	assert.Equal(t, "0\n1\n", requireOK(t, "consume", "", "--addr", addr, "--from", at(-time.Hour)))
	assert.Empty(t, requireOK(t, "consume", "", "--addr", addr, "--from", at(time.Hour)))
}

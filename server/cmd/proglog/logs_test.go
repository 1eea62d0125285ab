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

// Goal: what logs cannot do, and how it says so.
func TestLogsUsage(t *testing.T) {
	addr := startServer(t, &hookedEngine{})
	t.Setenv("PROGLOG_ADDR", addr)
	requireOK(t, "logs", "", "create", "a")
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"":                 {exitUsage, "Usage: proglog logs"},
		"rename a":         {exitUsage, "there is no \"rename\""},
		"create":           {exitUsage, "usage: proglog logs create [flags] NAME"},
		"trim a b":         {exitUsage, "no offset"},
		"create a":         {exitFailed, "there is a log \"a\" already"},
		"create -x":        {exitUsage, "x"},
		"describe b":       {exitFailed, "proglog logs list"},
		"seal b":           {exitFailed, "LOG_NOT_FOUND"},
		"delete b":         {exitFailed, "LOG_NOT_FOUND"},
		"create a//b":      {exitFailed, "INVALID_LOG_NAME"},
		"list --addr x":    {exitUsage, "http://"},
		"retain b":         {exitFailed, "LOG_NOT_FOUND"},
		"create --max-age": {exitUsage, "max-age"},
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

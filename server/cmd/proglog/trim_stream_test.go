package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// A log that is trimmed while it is read: far larger than what the kernel and
// both ends keep for a reader who does not read, with values that tell their
// offsets from the first byte to the last.
const (
	trimmedRecords = 800
	trimmedValue   = 32 << 10
	trimmedTo      = trimmedRecords - 3
)

// numbered is the value at an offset: lines of its number, without a newline at
// the end.
func numbered(offset uint64) string {
	word := fmt.Sprintf("%08d|", offset)
	return strings.Repeat(word, trimmedValue/len(word))
}

// fillNumbered makes a log of numbered values.
func fillNumbered(ctx context.Context, t *testing.T, client *proglog.Client, name string) {
	t.Helper()
	p, err := client.NewProducer(ctx, proglog.InLog(name))
	require.NoError(t, err)
	for offset := range uint64(trimmedRecords) {
		_, err := p.Send(ctx, proglog.Record{Value: []byte(numbered(offset))})
		require.NoError(t, err)
	}
	require.NoError(t, p.Close(ctx))
}

// Goal: a stream whose log is trimmed behind its back ends with OUT_OF_RANGE and
// the new first offset, by each protocol, with a record and with many to a
// response; what it gave before is without a gap and has the right bytes. Method:
// the real server; small segments, so that whole files go; the reader takes one
// response, and no other until the trim was answered.
func TestStreamsAcrossATrim(t *testing.T) {
	s := startProcess(t, t.TempDir(), 0, "--segment-bytes", "1MiB", "--create-on-produce", "*")
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	client, err := proglog.New("http://" + s.addr)
	require.NoError(t, err)
	defer client.Close()
	for i, p := range protocols() {
		for _, maxRecords := range []uint32{0, 7} {
			t.Run(fmt.Sprintf("%s, max_records=%d", p.name, maxRecords), func(t *testing.T) {
				name := fmt.Sprintf("log/%d/%d", i, maxRecords)
				fillNumbered(ctx, t, client, name)
				stream, err := p.client(t, s.addr).ConsumeStream(ctx, &logv1.ConsumeRequest{Log: name, MaxRecords: maxRecords})
				require.NoError(t, err)
				next := uint64(0)
				for trimmed := false; ; trimmed = true {
					res, err := stream.Receive()
					if err != nil {
						detail := requireReason(t, err, logv1.Reason_REASON_OFFSET_TRIMMED)
						require.Equal(t, connect.CodeOutOfRange.String(), connect.CodeOf(err).String())
						require.Equal(t, uint64(trimmedTo), detail.GetFirstOffset())
						require.Equal(t, uint64(trimmedRecords), detail.GetNextOffset())
						break
					}
					records := res.GetRecords()
					if maxRecords == 0 {
						records = []*logv1.Record{res.GetRecord()}
					}
					for _, r := range records {
						require.Equal(t, next, r.GetOffset())
						require.True(t, numbered(next) == string(r.GetValue()), "the value at %d is another", next)
						next++
					}
					if !trimmed {
						_, err = client.TrimLog(ctx, name, trimmedTo)
						require.NoError(t, err)
					}
				}
				require.NotZero(t, next)
				require.Less(t, next, uint64(trimmedTo), "it ends at what was trimmed")
				got, err := client.Consume(ctx, trimmedTo, proglog.InLog(name))
				require.NoError(t, err)
				require.True(t, numbered(trimmedTo) == string(got.Value), "what is left is another")
			})
		}
	}
}

// slowPipe takes one write, and no other until it is told to go on.
type slowPipe struct {
	bytes.Buffer
	first chan struct{}
	goOn  chan struct{}
}

func (s *slowPipe) Write(p []byte) (int, error) {
	if s.Len() == 0 {
		close(s.first)
		<-s.goOn
	}
	return s.Buffer.Write(p)
}

// Goal: `consume`, with and without --follow, that a trim overtakes prints the
// records before the gap and not one behind it, exits 1, and says where the log
// begins now. Method: its reader takes nothing until the trim was answered.
func TestConsumeAcrossATrim(t *testing.T) {
	s := startProcess(t, t.TempDir(), 0, "--segment-bytes", "1MiB", "--create-on-produce", "*")
	client, err := proglog.New("http://" + s.addr)
	require.NoError(t, err)
	defer client.Close()
	for _, follow := range []string{"--follow", "--follow=false"} {
		t.Run(follow, func(t *testing.T) {
			name := strings.Trim(strings.ReplaceAll(follow, "=", "/"), "-")
			fillNumbered(t.Context(), t, client, name)
			out := &slowPipe{first: make(chan struct{}), goOn: make(chan struct{})}
			var stderr bytes.Buffer
			code := make(chan int)
			go func() {
				code <- consume(t.Context(), []string{"--addr", "http://" + s.addr, "--log", name, follow}, nil, out, &stderr)
			}()
			<-out.first
			_, err := client.TrimLog(t.Context(), name, trimmedTo)
			require.NoError(t, err)
			close(out.goOn)
			require.Equal(t, exitFailed, <-code)
			assert.Contains(t, stderr.String(), "OFFSET_TRIMMED")
			assert.Contains(t, stderr.String(), fmt.Sprintf("the log begins at offset %d", trimmedTo))
			next := uint64(0)
			for text := range strings.Lines(out.String()) {
				require.True(t, numbered(next)+"\n" == text, "line %d is another", next)
				next++
			}
			require.NotZero(t, next)
			require.Less(t, next, uint64(trimmedTo))
		})
	}
}

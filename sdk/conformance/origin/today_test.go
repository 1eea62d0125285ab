package origin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/proglog/proglog/sdk/conformance/proglogtest"

	logv1 "github.com/proglog/proglog/sdk/conformance/origin/gen/log/v1"
)

// A house is a server with the two who live in it: the origin's client, and
// today's, which is the command line and, for what that cannot say, JSON over HTTP.
// Two sets of stubs for log.v1 cannot live in one program.
type house struct {
	ctx context.Context
	url string
	old logv1.LogClient
}

func newHouse(t *testing.T, args ...string) *house {
	t.Helper()
	server := proglogtest.Start(t, args...)
	conn, err := grpc.NewClient(server.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	t.Cleanup(cancel)
	return &house{ctx: ctx, url: server.URL(), old: logv1.NewLogClient(conn)}
}

// command prepares a command of the binary on the server.
func (h *house) command(t *testing.T, stdin string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(h.ctx, proglogtest.Bin(t), append(args, "--addr", h.url)...)
	cmd.Stdin = strings.NewReader(stdin)
	return cmd
}

// run runs a command, which must succeed, and returns its output.
func (h *house) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := h.command(t, stdin, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	return string(out)
}

// produce appends by today's contract and returns the answer.
func (h *house) produce(t *testing.T, request string) (ack struct {
	Offset, NextOffset string
	Duplicate          bool
}) {
	t.Helper()
	req, err := http.NewRequestWithContext(h.ctx, http.MethodPost, h.url+"/log.v1.Log/Produce", strings.NewReader(request))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, string(body))
	require.NoError(t, json.Unmarshal(body, &ack))
	return ack
}

// A line is what `consume --format json` prints of a record.
type line struct {
	Offset  uint64
	Time    time.Time
	Text    string
	Headers []struct{ Name, Text string }
}

func lines(t *testing.T, output string) (all []line) {
	t.Helper()
	for text := range strings.Lines(output) {
		var l line
		require.NoError(t, json.Unmarshal([]byte(text), &l))
		all = append(all, l)
	}
	return all
}

// Goal: what the origin's client produced, one by one and in a stream, today's
// reads with offsets and with times that never go back, and finds by them.
func TestOldProducesNewConsumes(t *testing.T) {
	h := newHouse(t)
	before := time.Now().Add(-time.Second)
	for i := range 3 {
		require.Equal(t, uint64(i), produce(h.ctx, t, h.old, fmt.Sprint("record ", i)))
	}
	stream, err := h.old.ProduceStream(h.ctx)
	require.NoError(t, err)
	for i := 3; i < 6; i++ {
		require.NoError(t, stream.Send(&logv1.ProduceRequest{Record: &logv1.Record{Value: fmt.Append(nil, "record ", i)}}))
	}
	require.NoError(t, stream.CloseSend())
	for i := 3; i < 6; i++ {
		ack, err := stream.Recv()
		require.NoError(t, err)
		require.Equal(t, uint64(i), ack.GetOffset())
	}
	got := lines(t, h.run(t, "", "consume", "--format", "json"))
	require.Len(t, got, 6)
	last := before
	for i, l := range got {
		require.Equal(t, uint64(i), l.Offset)
		require.Equal(t, fmt.Sprint("record ", i), l.Text)
		require.Empty(t, l.Headers)
		require.False(t, l.Time.Before(last), "%v is before %v", l.Time, last)
		last = l.Time
	}
	from := lines(t, h.run(t, "", "consume", "--format", "json", "--from", got[2].Time.Format(time.RFC3339Nano)))
	require.Contains(t, from, got[2])
	for _, l := range from {
		require.False(t, l.Time.Before(got[2].Time))
	}
}

// Goal: what today's clients produce, with headers, in batches, with an identity,
// repeated, with empty values, the origin's reads one by one and in a stream: each
// value at its offset, and never a response without a record.
func TestNewProducesOldConsumes(t *testing.T) {
	h := newHouse(t)
	want := []string{"old"}
	produce(h.ctx, t, h.old, "old")
	h.produce(t, `{"record":{"value":"bmV3","headers":[{"name":"a","value":"Yg=="},{"name":"a"}]}}`)
	want = append(want, "new")
	batch := `{"records":[{"value":"eA=="},{},{"value":"eg==","headers":[{"name":"h"}]}],
		"producer":{"id":"p","epoch":"1","sequence":"0"},"expectedOffset":"2"}`
	for i := range 2 {
		ack := h.produce(t, batch)
		require.Equal(t, i == 1, ack.Duplicate)
		require.Equal(t, "2", ack.Offset)
		require.Equal(t, "5", ack.NextOffset)
	}
	want = append(want, "x", "", "z")
	var input strings.Builder
	for i := range 2500 { // several batches of the command line
		text := strings.Repeat("y", i%7*10)
		want = append(want, text)
		input.WriteString(text + "\n")
	}
	h.run(t, input.String(), "produce")

	out, err := h.old.ConsumeStream(h.ctx, &logv1.ConsumeRequest{})
	require.NoError(t, err)
	for offset, value := range want {
		got, err := out.Recv()
		require.NoError(t, err)
		requireRecord(t, got, uint64(offset), value)
		if offset < 10 || offset%100 == 0 {
			got, err = h.old.Consume(h.ctx, &logv1.ConsumeRequest{Offset: uint64(offset)})
			require.NoError(t, err)
			requireRecord(t, got, uint64(offset), value)
		}
	}
}

// Goal: the origin's client and today's follow one log at the same time, while an
// origin's ProduceStream and today's batches write to it: both see the same
// records, each once and in order, and each writer's acks and order hold.
func TestBothFollowWhileBothProduce(t *testing.T) {
	h := newHouse(t)
	const each = 2000
	follower := h.command(t, "", "consume", "--follow", "--format", "json", "--n", fmt.Sprint(2*each))
	stdout, err := follower.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, follower.Start())
	tail, err := h.old.ConsumeStream(h.ctx, &logv1.ConsumeRequest{})
	require.NoError(t, err)

	var input strings.Builder
	for i := range each {
		fmt.Fprintf(&input, "new %d\n", i)
	}
	batched := h.command(t, input.String(), "produce", "--print-offsets")
	var printed bytes.Buffer
	batched.Stdout = &printed
	stream, err := h.old.ProduceStream(h.ctx)
	require.NoError(t, err)
	sent := make(chan error, 1)
	require.NoError(t, batched.Start())
	go func() {
		for i := range each {
			if err := stream.Send(&logv1.ProduceRequest{Record: &logv1.Record{Value: fmt.Append(nil, "old ", i)}}); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	offsets := map[string][]uint64{} // of each writer's acks
	for range each {
		ack, err := stream.Recv()
		require.NoError(t, err)
		offsets["old"] = append(offsets["old"], ack.GetOffset())
	}
	require.NoError(t, <-sent)
	require.NoError(t, batched.Wait())
	for text := range strings.Lines(printed.String()) {
		var offset uint64
		_, err := fmt.Sscan(text, &offset)
		require.NoError(t, err)
		offsets["new"] = append(offsets["new"], offset)
	}
	require.Len(t, offsets["new"], each)

	seen := bufio.NewScanner(stdout)
	next := map[string]int{}
	for offset := range uint64(2 * each) {
		require.True(t, seen.Scan(), "the follower's output ended at %d", offset)
		var today line
		require.NoError(t, json.Unmarshal(seen.Bytes(), &today))
		got, err := tail.Recv()
		require.NoError(t, err)
		require.NotNil(t, got.GetRecord(), "a response without a record")
		require.Equal(t, offset, got.GetRecord().GetOffset())
		require.Equal(t, offset, today.Offset)
		require.Equal(t, string(got.GetRecord().GetValue()), today.Text)
		writer, _, _ := strings.Cut(today.Text, " ")
		require.Equal(t, fmt.Sprint(writer, " ", next[writer]), today.Text)
		require.Equal(t, offsets[writer][next[writer]], offset)
		next[writer]++
	}
	require.NoError(t, follower.Wait())
}

// Goal: today's follower, who asks for heartbeats, gets them, and the origin's
// beside it on the same log gets nothing but records. Method: the origin's next
// response comes after several beats of the other, and is the next record.
func TestHeartbeatsAreForThoseWhoAsk(t *testing.T) {
	h := newHouse(t, "--min-heartbeat", "5ms")
	produce(h.ctx, t, h.old, "0")
	tail, err := h.old.ConsumeStream(h.ctx, &logv1.ConsumeRequest{})
	require.NoError(t, err)
	got, err := tail.Recv()
	require.NoError(t, err)
	requireRecord(t, got, 0, "0")

	request := []byte(`{"offset":"1","maxRecords":9,"heartbeat":"0.005s"}`)
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url+"/log.v1.Log/ConsumeStream",
		bytes.NewReader(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request))), request...)))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/connect+json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	beats := bufio.NewReader(res.Body)
	next := func() string {
		var prefix [5]byte
		_, err := io.ReadFull(beats, prefix[:])
		require.NoError(t, err)
		message := make([]byte, binary.BigEndian.Uint32(prefix[1:]))
		_, err = io.ReadFull(beats, message)
		require.NoError(t, err)
		return string(message)
	}
	for range 5 {
		require.Contains(t, next(), `"records":[]`)
	}
	produce(h.ctx, t, h.old, "1")
	got, err = tail.Recv()
	require.NoError(t, err)
	requireRecord(t, got, 1, "1")
	message := next()
	for strings.Contains(message, `"records":[]`) {
		message = next()
	}
	require.Contains(t, message, `"value":"MQ=="`)
}

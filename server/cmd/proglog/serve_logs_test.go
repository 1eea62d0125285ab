package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

func newAdminClient(t *testing.T, addr string) logv1connect.AdminClient {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return logv1connect.NewAdminClient(connect.NewClient(
		connecthttp.NewTransport(&http.Client{Transport: transport}, "http://"+addr)))
}

// requireReason checks the reason of an error that came over the wire.
func requireReason(t *testing.T, err error, want logv1.Reason) *logv1.ErrorDetail {
	t.Helper()
	require.Error(t, err)
	var e *connect.Error
	require.ErrorAs(t, err, &e)
	require.Len(t, e.Details(), 1, "%v", err)
	m, err := connectproto.UnmarshalErrorDetail(e.Details()[0])
	require.NoError(t, err)
	detail := m.(*logv1.ErrorDetail)
	require.Equal(t, want.String(), detail.GetReason().String())
	return detail
}

// produced is a request of a producer to a log.
func produced(name string, epoch, sequence uint64, value string) *logv1.ProduceRequest {
	return &logv1.ProduceRequest{
		Log: name, Record: &logv1.Record{Value: []byte(value)},
		Producer: &logv1.Producer{Id: "p", Epoch: epoch, Sequence: sequence},
	}
}

// Goal: what was told of logs and producers holds after a stop and a start: each
// outcome of a retry, in a log that was trimmed and sealed meanwhile.
func TestServeKeepsProducers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := startServe(t, "--data-dir", dir)
	c, admin := newClient(t, s.addr), newAdminClient(t, s.addr)
	keep := &logv1.Retention{MaxAge: durationpb.New(time.Hour), MaxBytes: 1 << 30}
	put, err := admin.PutLog(t.Context(), &logv1.PutLogRequest{Log: "orders", Retention: keep})
	require.NoError(t, err)
	var acks []*logv1.ProduceResponse
	for i := range uint64(3) {
		ack, err := c.Produce(t.Context(), produced("orders", 5, i, "x"))
		require.NoError(t, err)
		acks = append(acks, ack)
	}
	_, err = admin.TrimLog(t.Context(), &logv1.TrimLogRequest{Log: "orders", FirstOffset: 3})
	require.NoError(t, err)
	for round := range 3 {
		code, log := s.end(t)
		require.Equal(t, exitOK, code, log)
		s = startServe(t, "--data-dir", dir)
		c, admin = newClient(t, s.addr), newAdminClient(t, s.addr)
		for i, want := range acks {
			ack, err := c.Produce(t.Context(), produced("orders", 5, uint64(i), "x"))
			require.NoError(t, err)
			require.True(t, ack.GetDuplicate())
			require.Equal(t, want.GetOffset(), ack.GetOffset())
			require.Equal(t, want.GetTimestamp().AsTime(), ack.GetTimestamp().AsTime())
		}
		_, err = c.Produce(t.Context(), produced("orders", 5, 1, "y"))
		requireReason(t, err, logv1.Reason_REASON_SEQUENCE_REUSED)
		_, err = c.Produce(t.Context(), produced("orders", 4, 0, "x"))
		require.Equal(t, uint64(5), requireReason(t, err, logv1.Reason_REASON_PRODUCER_FENCED).GetEpoch())
		_, err = c.Produce(t.Context(), produced("orders", 5, 9, "x"))
		if round < 2 {
			require.Equal(t, uint64(3), requireReason(t, err, logv1.Reason_REASON_SEQUENCE_GAP).GetSequence())
		} else {
			requireReason(t, err, logv1.Reason_REASON_LOG_SEALED)
		}
		res, err := c.GetLog(t.Context(), &logv1.GetLogRequest{Log: "orders"})
		require.NoError(t, err)
		require.Equal(t, put.GetInfo().GetLogId(), res.GetInfo().GetLogId())
		require.Equal(t, uint64(3), res.GetInfo().GetFirstOffset())
		require.Equal(t, uint64(3), res.GetInfo().GetNextOffset())
		require.Equal(t, acks[2].GetTimestamp().AsTime(), res.GetInfo().GetLastTime().AsTime())
		require.Equal(t, time.Hour, res.GetInfo().GetRetention().GetMaxAge().AsDuration())
		require.Equal(t, round == 2, res.GetInfo().GetSealed())
		if round == 1 {
			_, err = admin.PutLog(t.Context(), &logv1.PutLogRequest{Log: "orders", Sealed: new(true)})
			require.NoError(t, err)
		}
	}
	_, _ = s.end(t)
}

// Goal: a reader that resumes by the log's identity is told when it meets another
// log: one that was deleted and made again, and one of a data directory that was
// wiped. It never goes on in silence.
func TestServeTellsOfAnotherLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := startServe(t, "--data-dir", dir, "--create-on-produce", "*")
	ids := map[string]string{}
	fill := func(c logv1connect.LogClient) {
		for _, name := range []string{"", "orders"} {
			_, err := c.Produce(t.Context(), &logv1.ProduceRequest{Log: name, Records: []*logv1.Record{{}, {}, {}}})
			require.NoError(t, err)
		}
	}
	resume := func(c logv1connect.LogClient, name string) error {
		stream, err := c.ConsumeStream(t.Context(), &logv1.ConsumeRequest{Log: name, LogId: ids[name], Offset: 1})
		require.NoError(t, err)
		defer stream.Close()
		_, err = stream.Receive()
		return err
	}
	c := newClient(t, s.addr)
	fill(c)
	for _, name := range []string{"", "orders"} {
		res, err := c.GetLog(t.Context(), &logv1.GetLogRequest{Log: name})
		require.NoError(t, err)
		ids[name] = res.GetInfo().GetLogId()
		require.NoError(t, resume(c, name))
	}
	_, err := newAdminClient(t, s.addr).DeleteLog(t.Context(), &logv1.DeleteLogRequest{Log: "orders"})
	require.NoError(t, err)
	requireReason(t, resume(c, "orders"), logv1.Reason_REASON_LOG_NOT_FOUND)
	fill(c)
	requireReason(t, resume(c, "orders"), logv1.Reason_REASON_LOG_CHANGED)
	require.NoError(t, resume(c, ""))
	_, _ = s.end(t)

	require.NoError(t, os.RemoveAll(dir))
	s = startServe(t, "--data-dir", dir, "--create-on-produce", "*")
	c = newClient(t, s.addr)
	fill(c)
	for _, name := range []string{"", "orders"} {
		requireReason(t, resume(c, name), logv1.Reason_REASON_LOG_CHANGED)
	}
	_, _ = s.end(t)
}

// Goal: tails of the real engine end as they should: OK where the log is sealed,
// NOT_FOUND where it is deleted; and a wait gets what comes.
func TestServeEndsTails(t *testing.T) {
	s := startServe(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--create-on-produce", "*")
	c, admin := newClient(t, s.addr), newAdminClient(t, s.addr)
	tails := map[string]logv1connect.LogConsumeStreamClientStream{}
	for _, name := range []string{"sealed", "deleted"} {
		_, err := admin.PutLog(t.Context(), &logv1.PutLogRequest{Log: name})
		require.NoError(t, err)
		tails[name], err = c.ConsumeStream(t.Context(), &logv1.ConsumeRequest{Log: name, Heartbeat: durationpb.New(time.Minute)})
		require.NoError(t, err)
		res, err := tails[name].Receive()
		require.NoError(t, err)
		require.NotNil(t, res.NextOffset)
	}
	got := make(chan *logv1.ConsumeResponse, 1)
	go func() {
		res, _ := c.Consume(t.Context(), &logv1.ConsumeRequest{Log: "sealed", MaxRecords: 2, Wait: durationpb.New(time.Minute)})
		got <- res
	}()
	_, err := c.Produce(t.Context(), produced("sealed", 0, 0, "last"))
	require.NoError(t, err)
	require.Equal(t, "last", string((<-got).GetRecords()[0].GetValue()))
	_, err = admin.PutLog(t.Context(), &logv1.PutLogRequest{Log: "sealed", Sealed: new(true)})
	require.NoError(t, err)
	_, err = tails["sealed"].Receive()
	require.NoError(t, err)
	_, err = tails["sealed"].Receive()
	require.ErrorIs(t, err, io.EOF)
	_, err = admin.DeleteLog(t.Context(), &logv1.DeleteLogRequest{Log: "deleted"})
	require.NoError(t, err)
	_, err = tails["deleted"].Receive()
	requireReason(t, err, logv1.Reason_REASON_LOG_NOT_FOUND)
	_, _ = s.end(t)
}

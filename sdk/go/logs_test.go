package proglog_test

import (
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// Goal: logs are made, listed over pages, described, trimmed, sealed and deleted.
func TestLogs(t *testing.T) {
	f := startFake(t, withLogs)
	c := connectTo(t, f.url)
	retention := proglog.Retention{MaxAge: time.Hour, MaxBytes: 7}
	for _, name := range []string{"a", "b/1", "b/2", "b/3", "b/4", "b/5"} {
		_, err := c.CreateLog(t.Context(), name, proglog.Retain(retention))
		require.NoError(t, err)
	}
	_, err := c.CreateLog(t.Context(), "a", proglog.Retain(proglog.Retention{}))
	assert.Equal(t, proglog.CodeAlreadyExists, proglog.CodeOf(err))
	var names []string
	for info, err := range c.Logs(t.Context(), "b/") {
		require.NoError(t, err)
		names = append(names, info.Name)
	}
	assert.Equal(t, []string{"b/1", "b/2", "b/3", "b/4", "b/5"}, names)

	_, err = c.ProduceBatch(t.Context(), []proglog.Record{record("0"), record("1"), record("2")}, proglog.InLog("a"))
	require.NoError(t, err)
	first, err := c.TrimLog(t.Context(), "a", 2)
	require.NoError(t, err)
	assert.Equal(t, uint64(2), first)
	info, err := c.SealLog(t.Context(), "a")
	require.NoError(t, err)
	assert.True(t, info.Sealed)
	info, err = c.DescribeLog(t.Context(), "a")
	require.NoError(t, err)
	at := time.Unix(1700000000, 7).UTC()
	assert.Equal(t, proglog.LogInfo{
		Name: "a", ID: "id of a", FirstOffset: 2, NextOffset: 3, Bytes: 99, FirstTime: at, LastTime: at,
		Retention: retention, Durability: proglog.DurabilitySynced, Sealed: true,
		Dedup:        proglog.DedupWindow{Acks: 256, MaxAge: 7 * 24 * time.Hour, Producers: 10000},
		Capabilities: &proglog.Capabilities{Producers: true},
	}, info)
	_, err = c.Produce(t.Context(), record("3"), proglog.InLog("a"))
	requireOutcome(t, err, proglog.ErrNothingAppended)
	assert.Equal(t, proglog.ReasonLogSealed, proglog.ReasonOf(err))

	f.onDelete = func() error { f.conns.cut(); return errors.New("cut") }
	require.NoError(t, c.DeleteLog(t.Context(), "a"), "the lost answer was a yes")
	assert.Equal(t, proglog.ReasonLogNotFound, proglog.ReasonOf(c.DeleteLog(t.Context(), "a")))
	_, err = c.SealLog(t.Context(), "a")
	assert.Equal(t, proglog.ReasonLogNotFound, proglog.ReasonOf(err))
}

// Goal: a description tells the limits in force and what the engine can do, each
// under its own name; of a server that does not tell them, they are absent.
func TestLimitsAndCapabilities(t *testing.T) {
	var limits *logv1.Limits
	var capabilities *logv1.Capabilities
	f := startFake(t, func(f *fakeLog) {
		f.answer = func(res *logv1.GetLogResponse) { res.Limits, res.Capabilities = limits, capabilities }
	})
	c := connectTo(t, f.url)
	info, err := c.DescribeLog(t.Context(), "")
	require.NoError(t, err)
	assert.Nil(t, info.Limits)
	assert.Nil(t, info.Capabilities)
	limits = &logv1.Limits{
		ValueBytes: 1, Headers: 2, HeaderBytes: 3, BatchRecords: 4, BatchBytes: 5, ResponseBytes: 6, MaxRecords: 7,
		Wait: durationpb.New(8), MinHeartbeat: durationpb.New(9), MaxHeartbeat: durationpb.New(10), ProducerIdBytes: 11, PageSize: 12,
	}
	for i, want := range []proglog.Capabilities{
		{ExpectedOffset: true}, {Producers: true}, {NamedLogs: true}, {Trim: true}, {Seal: true}, {FromTime: true},
	} {
		capabilities = &logv1.Capabilities{
			ExpectedOffset: i == 0, Producers: i == 1, NamedLogs: i == 2, Trim: i == 3, Seal: i == 4, FromTime: i == 5,
		}
		info, err = c.DescribeLog(t.Context(), "")
		require.NoError(t, err)
		assert.Equal(t, &want, info.Capabilities)
	}
	assert.Equal(t, &proglog.ServerLimits{
		ValueBytes: 1, Headers: 2, HeaderBytes: 3, BatchRecords: 4, BatchBytes: 5, ResponseBytes: 6, MaxRecords: 7,
		Wait: 8, MinHeartbeat: 9, MaxHeartbeat: 10, ProducerIDBytes: 11, PageSize: 12,
	}, info.Limits)
}

// Goal: a cursor keeps a place across clients, sees who moved it meanwhile, and
// says what is missing when it may not be made.
func TestCursor(t *testing.T) {
	f := startFake(t, withLogs)
	c := connectTo(t, f.url)
	f.fill(5)
	cursor := c.Cursor("", "billing")
	place, err := cursor.Get(t.Context())
	require.NoError(t, err)
	assert.Equal(t, proglog.Place{}, place)
	other := connectTo(t, f.url).Cursor("", "billing")
	_, err = other.Get(t.Context())
	require.NoError(t, err)

	for record, err := range c.Records(t.Context(), place.Start(), proglog.Until(3)) {
		require.NoError(t, err)
		cursor.Set(record.Offset + 1)
		require.NoError(t, cursor.Commit(t.Context()))
	}
	require.NoError(t, cursor.Commit(t.Context()), "there is nothing to store")
	assert.Len(t, f.named["cursor/billing"].values(), 3)

	other.Set(1)
	err = other.Commit(t.Context())
	assert.Equal(t, proglog.ReasonOffsetMismatch, proglog.ReasonOf(err))
	require.ErrorContains(t, err, "somebody else")
	place, err = other.Get(t.Context())
	require.NoError(t, err)
	assert.Equal(t, proglog.Place{LogID: "id-1", Offset: 3}, place)
	collect(t, c.Records(t.Context(), place.Start()), 3, 2)
	other.Set(5)
	require.NoError(t, other.Commit(t.Context()))

	f.set(func() { f.logID = "id-2" })
	for _, err := range c.Records(t.Context(), place.Start()) {
		assert.Equal(t, proglog.ReasonLogChanged, proglog.ReasonOf(err))
	}
	f.set(func() { f.denied = true })
	_, err = c.Cursor("orders", "x").Get(t.Context())
	require.ErrorContains(t, err, "proglog logs create orders.cursor/x --max-bytes 65536")
	assert.Equal(t, proglog.ReasonPermissionDenied, proglog.ReasonOf(err))
}

// Goal: a read starts at a time, and at the tail if nothing is as late.
func TestFromTime(t *testing.T) {
	f := startFake(t)
	f.fill(5)
	c := connectTo(t, f.url)
	at := time.Unix(1700000000, 7)
	collect(t, c.Records(t.Context(), proglog.FromTime(at)), 0, 5)
	collect(t, c.Records(t.Context(), proglog.FromTime(at.Add(1))), 5, 0)
	batch, err := c.ConsumeBatch(t.Context(), proglog.FromTime(at), proglog.BatchRecords(2), proglog.OnlyLog("id-1"))
	require.NoError(t, err)
	assert.Len(t, batch.Records, 2)
	assert.False(t, batch.Tail)
	batch, err = c.ConsumeBatch(t.Context(), proglog.FromEnd(0), proglog.Wait(time.Millisecond))
	require.NoError(t, err)
	assert.Equal(t, proglog.Batch{Tail: true, NextOffset: 5}, batch)
	_, err = c.Consume(t.Context(), 0, proglog.OnlyLog("id-0"))
	assert.Equal(t, proglog.ReasonLogChanged, proglog.ReasonOf(err))
}

// Goal: a follower whose heartbeats fail to come connects again; while they come
// it stays.
func TestHeartbeat(t *testing.T) {
	f := startFake(t, func(f *fakeLog) { f.heartbeat, f.mute = true, true })
	f.set(func() {
		f.onStream = func(call int, req *logv1.ConsumeRequest) error {
			if call == 2 {
				f.set(func() { f.mute = false })
				go f.fill(1)
			}
			if req.GetHeartbeat().AsDuration() != 20*time.Millisecond {
				return fail(connect.CodeInvalidArgument, &logv1.ErrorDetail{})
			}
			return nil
		}
	})
	n := 0
	for record, err := range connectTo(t, f.url).Follow(t.Context(), proglog.Heartbeat(20*time.Millisecond), proglog.FromEnd(0)) {
		require.NoError(t, err)
		assert.Equal(t, uint64(n), record.Offset)
		if n++; n == 3 {
			break
		}
		go f.fill(1)
	}
	_, streams := f.calls()
	assert.GreaterOrEqual(t, streams, 3)
}

// Goal: a reader whose log was replaced, and who decides to go on with the other
// one, can do so with the same cursor.
func TestCursorRestart(t *testing.T) {
	f := startFake(t, withLogs)
	f.fill(5)
	client := connectTo(t, f.url)
	cursor := client.Cursor("", "k")
	_, err := cursor.Get(t.Context())
	require.NoError(t, err)
	cursor.Set(4)
	require.NoError(t, cursor.Commit(t.Context()))
	f.set(func() { f.logID = "another" })

	again := client.Cursor("", "k")
	place, err := again.Get(t.Context())
	require.NoError(t, err)
	for _, err := range client.Records(t.Context(), place.Start()) {
		require.Equal(t, proglog.ReasonLogChanged, proglog.ReasonOf(err), "%v", err)
	}
	place, err = again.Restart(t.Context())
	require.NoError(t, err)
	require.Equal(t, proglog.Place{LogID: "another", Offset: 0}, place)
	again.Set(2)
	require.NoError(t, again.Commit(t.Context()))
	place, err = client.Cursor("", "k").Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, proglog.Place{LogID: "another", Offset: 2}, place)
}

// Goal: a read that would be over before it asks for a record still notices that
// the log is another one.
func TestRecordsOfAnotherLogAtTheTail(t *testing.T) {
	f := startFake(t)
	f.fill(5)
	client := connectTo(t, f.url)
	for name, start := range map[string]proglog.ReadOption{"offset": proglog.From(5), "end": proglog.FromEnd(0)} {
		var last error
		for _, err := range client.Records(t.Context(), start, proglog.OnlyLog("another")) {
			last = err
		}
		require.Equal(t, proglog.ReasonLogChanged, proglog.ReasonOf(last), name)
	}
}

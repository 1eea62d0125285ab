package commitlogtest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func limitTests() []subtest {
	var tests []subtest
	for _, c := range limitCases() {
		tests = append(tests, subtest{c.name, onDefault(c.test)})
	}
	return append(tests,
		subtest{"ComeBeforeTheExpectedOffset", testLimitsBeforeExpected},
	)
}

// A limitCase is a limit with a batch that just meets it and one that exceeds it
// by one.
type limitCase struct {
	name     string
	at, over commitlog.Batch
	limit    int
}

func limitCases() []limitCase {
	l := commitlog.DefaultLimits()
	return []limitCase{
		{"ValueBytes", one(fill(l.ValueBytes)), one(fill(l.ValueBytes + 1)), l.ValueBytes},
		{"Headers", one(nil, make([]commitlog.Header, l.Headers)...),
			one(nil, make([]commitlog.Header, l.Headers+1)...), l.Headers},
		{"HeaderBytes", one(nil, headerBytes(l.HeaderBytes)...), one(nil, headerBytes(l.HeaderBytes+1)...), l.HeaderBytes},
		{"BatchRecords", numbered(l.BatchRecords), numbered(l.BatchRecords + 1), l.BatchRecords},
		{"BatchBytes", batchBytes(l.BatchBytes), batchBytes(l.BatchBytes + 1), l.BatchBytes},
	}
}

func one(value []byte, headers ...commitlog.Header) commitlog.Batch {
	return commitlog.Batch{Records: []commitlog.Record{{Value: value, Headers: headers}}}
}

func fill(n int) []byte { return bytes.Repeat([]byte{0xa5}, n) }

// headerBytes returns three headers of n bytes, of which names and values share.
func headerBytes(n int) []commitlog.Header {
	return []commitlog.Header{
		{Name: strings.Repeat("n", 100), Value: fill(n / 2)},
		{Value: fill(n - n/2 - 300)},
		{Name: strings.Repeat("m", 200)},
	}
}

// batchBytes returns three records of n bytes, the last with headers.
func batchBytes(n int) commitlog.Batch {
	most := commitlog.DefaultLimits().ValueBytes
	b := one(fill(most))
	b.Records = append(b.Records,
		commitlog.Record{Value: fill(n - most - 1000)},
		commitlog.Record{Headers: headerBytes(1000)})
	return b
}

// Goal: a batch at the limit is appended and reads back whole; one over it is
// refused with the size and the limit, and leaves no trace, also between good
// batches of one call.
func (c limitCase) test(t *testing.T, log commitlog.CommitLog) {
	ack := mustAppend(t, log, c.at)[0]
	requireBatch(t, log, ack, c.at)

	over := func(acks []commitlog.Ack, err error) []commitlog.Ack {
		var tooLarge *commitlog.TooLargeError
		require.ErrorAs(t, err, &tooLarge)
		require.EqualValues(t, c.limit, tooLarge.Limit)
		require.EqualValues(t, c.limit+1, tooLarge.Size)
		return acks
	}
	before := log.Bounds()
	require.Empty(t, over(log.Append(patient(t), c.over)))
	require.Equal(t, before, log.Bounds())

	acks := over(log.Append(patient(t), batch("a"), c.over, batch("b")))
	require.Len(t, acks, 1)
	require.Equal(t, before.Next+1, log.Bounds().Next)
	requireBatch(t, log, mustAppend(t, log, c.at)[0], c.at)
	require.Equal(t, before.Next+1+uint64(len(c.at.Records)), log.Bounds().Next)
}

// requireBatch fails the test unless the log holds the batch where its ack says.
func requireBatch(t *testing.T, log commitlog.CommitLog, ack commitlog.Ack, b commitlog.Batch) {
	t.Helper()
	records := mustReadAll(t, log)
	require.GreaterOrEqual(t, uint64(len(records)), ack.Next)
	for i, want := range b.Records {
		want.Offset, want.Time = ack.First+uint64(i), ack.Time
		require.NoError(t, same(want, records[want.Offset]))
	}
}

// Goal: a batch that is over a limit and expects the wrong offset is refused
// for its size: form is judged before state.
func testLimitsBeforeExpected(t *testing.T, open Open) {
	e := open(t)
	if !e.Capabilities().ExpectedOffset {
		testExpectedUnsupported(t, e)
		return
	}
	log := namedLog(t, e, "")
	over := commitlog.Batch{Records: make([]commitlog.Record, commitlog.DefaultLimits().BatchRecords+1)}
	acks, err := log.Append(patient(t), expecting(99, over))
	var tooLarge *commitlog.TooLargeError
	require.ErrorAs(t, err, &tooLarge)
	require.Empty(t, acks)
	require.Equal(t, commitlog.Bounds{}, log.Bounds())
}

package proglog

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// randomRecord makes a record with every field empty now and then.
func randomRecord(r *rand.Rand) Record {
	some := func(most int) []byte {
		if r.IntN(3) == 0 {
			return nil
		}
		b := make([]byte, 1+r.IntN(most))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	record := Record{Offset: r.Uint64() >> r.IntN(64), Value: some(300)}
	if r.IntN(4) > 0 {
		record.Time = time.Unix(r.Int64N(1<<33)-1<<32, r.Int64N(1e9)).UTC()
	}
	for range r.IntN(4) {
		h := Header{Value: some(200)}
		if r.IntN(3) > 0 {
			h.Name = string(rune('a' + r.IntN(1000)))
		}
		record.Headers = append(record.Headers, h)
	}
	return record
}

func toMessage(r *Record) *logv1.Record {
	m := &logv1.Record{Offset: r.Offset, Value: r.Value}
	if !r.Time.IsZero() {
		m.Timestamp = timestamppb.New(r.Time)
	}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, &logv1.Header{Name: h.Name, Value: h.Value})
	}
	return m
}

// Goal: requests encoded by hand are what the generated code reads, and
// responses it writes are decoded by hand to the same records. Method: random
// records; the seed is in the failure.
func TestCodecAgreesWithGeneratedCode(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		records := make([]Record, 1+r.IntN(4))
		want := &logv1.ProduceRequest{Log: "a/b", ExpectedOffset: proto.Uint64(r.Uint64())}
		res := &logv1.ConsumeResponse{}
		req := appendExpected(appendLog(nil, "a/b"), want.GetExpectedOffset())
		for i := range records {
			records[i] = randomRecord(r)
			m := toMessage(&records[i])
			res.Records = append(res.Records, m)
			m = proto.CloneOf(m)
			m.Offset, m.Timestamp = 0, nil // not sent
			want.Records = append(want.Records, m)
			req = appendRecord(req, fieldRequestRecords, &records[i])
		}
		var got logv1.ProduceRequest
		require.NoError(t, proto.Unmarshal(req, &got), "seed %d", seed)
		require.True(t, proto.Equal(want, &got), "seed %d", seed)

		res.NextOffset = proto.Uint64(0)
		encoded, err := proto.Marshal(res)
		require.NoError(t, err)
		var back consumeResponse
		require.NoError(t, back.decode(encoded), "seed %d", seed)
		require.Equal(t, consumeResponse{records: records, tail: true}, back, "seed %d", seed)

		encoded, err = proto.Marshal(&logv1.ConsumeResponse{Record: res.GetRecords()[0]})
		require.NoError(t, err)
		require.NoError(t, back.decode(encoded), "seed %d", seed)
		require.Equal(t, consumeResponse{records: records[:1]}, back, "seed %d", seed)
	}
	assert.Empty(t, appendLog(nil, ""))
}

// Goal: a record that was read shares nothing with the buffer that it came in,
// which the transport uses again. Method: the buffer is overwritten.
func TestDecodedRecordsShareNothing(t *testing.T) {
	encoded, err := proto.Marshal(&logv1.ConsumeResponse{Records: []*logv1.Record{
		{Value: []byte("value"), Headers: []*logv1.Header{{Name: "name", Value: []byte("header")}}},
	}})
	require.NoError(t, err)
	var res consumeResponse
	require.NoError(t, codec{}.UnmarshalRead(t.Context(), bytes.NewBuffer(encoded), &res))
	clear(encoded)
	require.Len(t, res.records, 1)
	assert.Equal(t, "value", string(res.records[0].Value))
	assert.Equal(t, []Header{{Name: "name", Value: []byte("header")}}, res.records[0].Headers)
}

// Goal: no input makes the decoder panic, and what it accepts the generated code
// accepts as well, except for text that is not UTF-8.
func FuzzDecodeResponse(f *testing.F) {
	for _, res := range []*logv1.ConsumeResponse{
		{}, {NextOffset: proto.Uint64(7)},
		{Record: &logv1.Record{Value: []byte("v"), Offset: 3, Timestamp: timestamppb.New(time.Unix(5, 6))}},
		{Records: []*logv1.Record{{Headers: []*logv1.Header{{Name: "n", Value: []byte("v")}}}, {}}},
	} {
		b, err := proto.Marshal(res)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var mine consumeResponse
		var theirs logv1.ConsumeResponse
		if proto.Unmarshal(b, &theirs) == nil {
			require.NoError(t, mine.decode(b))
			if theirs.GetRecord() == nil {
				require.Len(t, mine.records, len(theirs.GetRecords()))
			}
			return
		}
		_ = mine.decode(b)
	})
}

// Goal: our codes and reasons are the contract's, by number and by name, and
// none is missing.
func TestCodesAndReasonsAreTheContracts(t *testing.T) {
	for n, name := range logv1.Reason_name {
		assert.Equal(t, name, "REASON_"+Reason(n).String())
	}
	assert.Len(t, logv1.Reason_name, int(ReasonCanceled)+1)
	assert.Equal(t, Reason(logv1.Reason_REASON_CANCELED), ReasonCanceled)
	assert.Equal(t, Reason(logv1.Reason_REASON_OFFSET_UNWRITTEN), ReasonOffsetUnwritten)
	assert.Equal(t, Reason(logv1.Reason_REASON_UNSUPPORTED), ReasonUnsupported)
	assert.Equal(t, "99", Reason(99).String())
	assert.Equal(t, Code(connect.CodeCanceled), CodeCanceled)
	assert.Equal(t, Code(connect.CodeUnauthenticated), CodeUnauthenticated)
	assert.Equal(t, "data_loss", CodeDataLoss.String())
}

// Goal: pauses stay within the policy's bounds, and their ceiling doubles.
func TestBackoff(t *testing.T) {
	b := backoff{policy: Retry{Attempts: 3, MinDelay: 100, MaxDelay: 1000}}
	for i, ceiling := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		assert.Equal(t, i >= 2, b.exhausted())
		most := time.Duration(0)
		for range 1000 {
			most = max(most, b.pause())
		}
		assert.LessOrEqual(t, most, ceiling)
		assert.Greater(t, most, ceiling*8/10)
	}
	b.policy = Retry{Attempts: 100, MinDelay: 1, MaxDelay: MaxRetryDelay}
	for range 100 { // past every power of two that there is
		b.exhausted()
		assert.LessOrEqual(t, b.pause(), MaxRetryDelay)
	}
	b.reset()
	assert.False(t, b.exhausted())
}

// Goal: a reset that promises that the request was not looked at is told from
// every other failure of a stream, by the type that net/http lets be read.
func TestRefusedStreamIsNothingAppended(t *testing.T) {
	for code, nothing := range map[uint32]bool{refusedStream: true, 0x8: false} {
		e := &Error{Code: CodeUnavailable}
		e.readTransport(streamError{StreamID: 1, Code: code}, nil)
		assert.Equal(t, nothing, e.NothingAppended)
		assert.Equal(t, nothing, e.mayRetryWrite())
	}
}

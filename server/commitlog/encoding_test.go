package commitlog_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// toProto returns the generated code's form of a record.
func toProto(r commitlog.Record) *logv1.Record {
	m := &logv1.Record{Value: r.Value, Offset: r.Offset, Timestamp: timestamppb.New(r.Time)}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, &logv1.Header{Name: h.Name, Value: h.Value})
	}
	return m
}

// fromProto returns the record that the generated code has decoded.
func fromProto(m *logv1.Record) commitlog.Record {
	r := commitlog.Record{Offset: m.Offset, Time: m.Timestamp.AsTime(), Value: m.Value}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, commitlog.Header{Name: h.Name, Value: h.Value})
	}
	return r
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	require.NoError(t, err)
	return b
}

// equalRecords says whether two records are equal. Nil and empty bytes are.
func equalRecords(a, b commitlog.Record) bool {
	ok := a.Offset == b.Offset && a.Time.Equal(b.Time) && bytes.Equal(a.Value, b.Value) && len(a.Headers) == len(b.Headers)
	for i := 0; ok && i < len(a.Headers); i++ {
		ok = a.Headers[i].Name == b.Headers[i].Name && bytes.Equal(a.Headers[i].Value, b.Headers[i].Value)
	}
	return ok
}

// edgeRecords are records at the edges of the encoding, by name.
func edgeRecords() map[string]commitlog.Record {
	epoch := time.Unix(0, 0)
	records := map[string]commitlog.Record{
		"nothing":         {Time: epoch},
		"zero time":       {},
		"highest offset":  {Offset: math.MaxUint64, Time: epoch},
		"empty headers":   {Time: epoch, Headers: []commitlog.Header{{}, {}}},
		"no name":         {Time: epoch, Headers: []commitlog.Header{{Value: []byte{0}}}},
		"no header value": {Time: epoch, Headers: []commitlog.Header{{Name: "n"}}},
		"duplicates": {Time: epoch, Headers: []commitlog.Header{
			{Name: "b", Value: []byte("1")}, {Name: "a", Value: []byte("1")}, {Name: "b", Value: []byte("1")}}},
		"long header":      {Time: epoch, Headers: []commitlog.Header{{Name: strings.Repeat("n", 200), Value: make([]byte, 20_000)}}},
		"large value":      {Time: epoch, Value: make([]byte, 1<<20)},
		"last of the year": {Time: time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)},
		"another zone":     {Time: time.Date(2020, 1, 1, 0, 0, 0, 1, time.FixedZone("", -3600))},
		"monotonic":        {Time: time.Now()},
	}
	for name, ns := range map[string]int64{
		"one second": 1e9, "one nanosecond": 1, "second before 1970": -1e9, "nanosecond before 1970": -1,
		"second and a bit before": -1_500_000_000, "now": 1_700_000_000_123_456_789,
	} {
		records["time: "+name] = commitlog.Record{Time: time.Unix(0, ns)}
	}
	for _, n := range []int{1, 127, 128, 16_383, 16_384} { // where lengths and offsets take another byte
		records[fmt.Sprintf("value of %d", n)] = commitlog.Record{Value: make([]byte, n), Time: epoch}
		records[fmt.Sprintf("offset %d", n)] = commitlog.Record{Offset: uint64(n), Time: epoch}
	}
	return records
}

// randomRecord returns any record that the generated code can encode.
func randomRecord(r *rand.Rand) commitlog.Record {
	blob := func(most int) []byte {
		b := make([]byte, r.IntN(most+1)*r.IntN(2))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	rec := commitlog.Record{
		Offset: r.Uint64() >> r.IntN(65),
		Time:   time.Unix(int64(r.Uint64()>>r.IntN(65))>>(12+r.IntN(52)), int64(r.IntN(1e9)*r.IntN(2))),
		Value:  blob(300),
	}
	for range r.IntN(5) * r.IntN(2) {
		name := strings.Repeat([]string{"", "a", "é", "\x00", "日本"}[r.IntN(5)], r.IntN(80))
		rec.Headers = append(rec.Headers, commitlog.Header{Name: name, Value: blob(200)})
	}
	return rec
}

// requireEncoding holds the encoding of a record to the generated code's.
func requireEncoding(t *testing.T, r commitlog.Record) {
	t.Helper()
	message := marshal(t, &logv1.ConsumeResponse{Record: toProto(r)})
	want := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	want = append(want, message...)

	got := commitlog.AppendEnvelope([]byte("before"), &r)
	require.Equal(t, "before", string(got[:6]))
	got = got[6:]
	require.True(t, bytes.Equal(want, got), "%+v: want % x, got % x", r, want, got)
	require.Equal(t, len(got), commitlog.EnvelopeSize(&r))

	envelope, rest, err := commitlog.CutEnvelope(append(got, "after"...))
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, envelope))
	require.Equal(t, "after", string(rest))

	b, err := commitlog.RecordBytes(envelope)
	require.NoError(t, err)
	require.True(t, bytes.Equal(marshal(t, toProto(r)), b))
	decoded, err := commitlog.DecodeRecord(b)
	require.NoError(t, err)
	require.True(t, equalRecords(r, decoded), "%+v decodes as %+v", r, decoded)
}

// Goal: an envelope is, byte for byte, the message prefix and what the
// generated code makes of a response with the record; its size is foretold; it
// decodes to the same record. Shown for records at every edge.
func TestEnvelopeEdges(t *testing.T) {
	for name, r := range edgeRecords() {
		t.Run(name, func(t *testing.T) { requireEncoding(t, r) })
	}
}

// Goal: the same for random records, whose seed a failure prints.
func TestEnvelopeRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		requireEncoding(t, randomRecord(r))
	}
}

// Goal: a batch is, byte for byte, what the generated code makes of a response
// with the records, and a run decodes to them in order.
func TestBatch(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for n := range 50 {
		want := &logv1.ConsumeResponse{}
		run := commitlog.Run{Next: uint64(n)}
		var records []commitlog.Record
		for range n {
			rec := randomRecord(r)
			records = append(records, rec)
			want.Records = append(want.Records, toProto(rec))
			run.Envelopes = commitlog.AppendEnvelope(run.Envelopes, &rec)
		}
		got, err := commitlog.AppendBatch([]byte("before"), run.Envelopes)
		require.NoError(t, err)
		require.Equal(t, "before"+string(marshal(t, want)), string(got))

		i := 0
		for rec, err := range run.All() {
			require.NoError(t, err)
			require.True(t, equalRecords(records[i], rec))
			i++
		}
		require.Equal(t, n, i)
	}
}

// Goal: an iteration over a run can stop early, and ends with an error at the
// first bytes that are no record.
func TestRunAll(t *testing.T) {
	r := commitlog.Record{Value: []byte("a"), Time: time.Unix(1, 0)}
	good := commitlog.AppendEnvelope(nil, &r)
	for range (commitlog.Run{Envelopes: good}).All() {
		break
	}
	for name, bad := range map[string][]byte{
		"cut prefix":   good[:4],
		"cut envelope": good[:len(good)-1],
		"no record":    {0, 0, 0, 0, 0},
		"bad record":   {0, 0, 0, 0, 3, 0x12, 1, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			var last error
			for _, err := range (commitlog.Run{Envelopes: append(bytes.Clone(good), bad...)}).All() {
				n, last = n+1, err
			}
			require.Equal(t, 2, n)
			require.ErrorIs(t, last, commitlog.ErrEncoding)
		})
	}
}

// Goal: fields that a later version may add, of every wire type, at the top, in
// the timestamp and in a header, are skipped, as are known fields of another
// wire type; what is known is kept.
func TestUnknownFieldsAreSkipped(t *testing.T) {
	var unknown []byte
	for _, n := range []protowire.Number{3, 4, 7, 15, 16, 1000, protowire.MaxValidNumber} {
		unknown = protowire.AppendVarint(protowire.AppendTag(unknown, n, protowire.VarintType), math.MaxUint64)
		unknown = protowire.AppendFixed64(protowire.AppendTag(unknown, n, protowire.Fixed64Type), 1)
		unknown = protowire.AppendBytes(protowire.AppendTag(unknown, n, protowire.BytesType), []byte("x"))
		unknown = protowire.AppendFixed32(protowire.AppendTag(unknown, n, protowire.Fixed32Type), 1)
	}
	mixed := func(known ...[]byte) []byte { // known fields with the unknown around each
		b := bytes.Clone(unknown)
		for _, k := range known {
			b = append(append(b, k...), unknown...)
		}
		return b
	}
	field := func(n protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), b)
	}
	number := func(n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
	}
	b := mixed(
		field(1, []byte("value")), number(1, 5), field(2, []byte("no offset")), number(2, 77), number(6, 1),
		field(5, mixed(number(1, 1234), field(1, nil), number(2, 5678))),
		field(6, mixed(field(1, []byte("name")), field(2, []byte("v")), number(2, 9))),
		field(6, unknown),
	)
	got, err := commitlog.DecodeRecord(b)
	require.NoError(t, err)
	want := commitlog.Record{Value: []byte("value"), Offset: 77, Time: time.Unix(1234, 5678),
		Headers: []commitlog.Header{{Name: "name", Value: []byte("v")}, {}}}
	assert.True(t, equalRecords(want, got), "%+v", got)

	generated := &logv1.Record{}
	require.NoError(t, proto.Unmarshal(b, generated))
	assert.True(t, equalRecords(fromProto(generated), got))
}

// Goal: what is not a whole envelope is refused by every function that takes
// one, without a panic.
func TestNotAnEnvelope(t *testing.T) {
	good := commitlog.AppendEnvelope(nil, &commitlog.Record{Value: []byte("value"), Time: time.Unix(1, 1)})
	bad := map[string][]byte{
		"compressed":        append([]byte{1}, good[1:]...),
		"empty message":     {0, 0, 0, 0, 0},
		"tag alone":         {0, 0, 0, 0, 1, 0x12},
		"another field":     append(append(bytes.Clone(good[:5]), 0x1a), good[6:]...),
		"record too long":   append(append(bytes.Clone(good[:6]), good[6]+1), good[7:]...),
		"record too short":  append(append(bytes.Clone(good[:6]), good[6]-1), good[7:]...),
		"endless length":    append([]byte{0, 0, 0, 0, 12, 0x12}, bytes.Repeat([]byte{0xff}, 11)...),
		"length of 4 GiB":   {0, 0xff, 0xff, 0xff, 0xff, 0x12},
		"length of 2^64 -1": append([]byte{0, 0, 0, 0, 11, 0x12}, binary.AppendUvarint(nil, math.MaxUint64)...),
	}
	for n := 1; n < len(good); n++ {
		bad[fmt.Sprintf("cut at %d", n)] = good[:n]
	}
	for name, b := range bad {
		t.Run(name, func(t *testing.T) {
			if envelope, _, err := commitlog.CutEnvelope(b); err == nil {
				_, err = commitlog.RecordBytes(envelope)
				require.ErrorIs(t, err, commitlog.ErrEncoding)
			} else {
				require.ErrorIs(t, err, commitlog.ErrEncoding)
			}
			_, err := commitlog.AppendBatch(nil, b)
			require.ErrorIs(t, err, commitlog.ErrEncoding)
			_, err = commitlog.AppendBatch(nil, append(bytes.Clone(good), b...))
			require.ErrorIs(t, err, commitlog.ErrEncoding)
		})
	}
}

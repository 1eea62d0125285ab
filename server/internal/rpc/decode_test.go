package rpc_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/internal/rpc"
)

// produceSeeds are requests as they travel, well-formed and not.
func produceSeeds(tb testing.TB) map[string][]byte {
	encode := func(m *logv1.ProduceRequest) []byte {
		data, err := proto.Marshal(m)
		require.NoError(tb, err)
		return data
	}
	plain := encode(&logv1.ProduceRequest{Log: "a", ExpectedOffset: ptr(uint64(7)), Records: many("one", "", "three").GetRecords(),
		Producer: &logv1.Producer{Id: "p", Epoch: 1, Sequence: 2}})
	headers := many("one", "two", "three")
	headers.Records[1].Headers = []*logv1.Header{{Name: "n", Value: []byte("v")}, {Name: "n"}}
	headers.Records[2].Offset = 9
	field := func(number protowire.Number, content string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), content)
	}
	twice := field(3, string(field(1, "first"))+string(field(1, "last")))
	group := protowire.AppendTag(protowire.AppendTag(nil, 99, protowire.StartGroupType), 99, protowire.EndGroupType)
	return map[string][]byte{
		"plain":                    plain,
		"headers":                  encode(headers),
		"nothing":                  nil,
		"one":                      encode(many("one")),
		"record and records":       append(encode(many("a", "b")), field(1, string(field(1, "single")))...),
		"record in pieces":         bytes.Join([][]byte{field(1, string(field(1, "x"))), plain, field(1, string(field(1, "y")))}, nil),
		"log twice":                bytes.Join([][]byte{field(2, "x"), plain, field(2, "y")}, nil),
		"value twice":              append(bytes.Clone(twice), plain...),
		"value of another type":    append(field(3, "\x08\x01"), plain...),
		"records of another type":  append(protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 5), plain...),
		"unknown field":            append(field(77, "what"), plain...),
		"unknown group":            append(group, plain...),
		"unknown in a record":      append(field(3, string(field(1, "v"))+string(field(50, "w"))), plain...),
		"longer varint":            append([]byte{0x9a, 0x00, 0x04, 0x0a, 0x82, 0x00, 'h', 'i'}, plain...),
		"cut":                      plain[:len(plain)-3],
		"cut in a record":          append(field(3, "\x0a\x05abc"), plain...),
		"log that is not UTF-8":    append(field(2, "\xff"), plain...),
		"header that is not UTF-8": append(field(3, string(field(6, string(field(1, "\xff"))))), plain...),
		"field 0":                  append([]byte{0x02, 0x00}, plain...),
		"end of no group":          append(protowire.AppendTag(nil, 5, protowire.EndGroupType), plain...),
	}
}

// sameDecoded holds our decoding of a request to the library's: the same message, or
// an error of the same words. Nothing of it may lie in the bytes that came, which
// the library uses again.
func sameDecoded(t *testing.T, data []byte) {
	t.Helper()
	var want, got logv1.ProduceRequest
	failed := proto.Unmarshal(data, &want)
	ours := bytes.Clone(data)
	err := rpc.DecodeProduce(ours, &got)
	for i := range ours {
		ours[i] = 0xa5
	}
	if failed != nil {
		require.Error(t, err)
		require.Equal(t, words(failed), words(err))
		return
	}
	require.NoError(t, err)
	require.True(t, proto.Equal(&want, &got), "%v is not %v", &got, &want)
}

// words are an error's, without the spaces, which the library makes differ from build
// to build.
func words(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// Goal: a produce is decoded as the protocol library decodes it, whatever its bytes.
func TestProduceIsDecodedAsByTheLibrary(t *testing.T) {
	t.Parallel()
	for name, data := range produceSeeds(t) {
		t.Run(name, func(t *testing.T) { sameDecoded(t, data) })
	}
}

// Goal: the same for what nobody thought of.
func FuzzDecodeProduce(f *testing.F) {
	for _, data := range produceSeeds(f) {
		f.Add(data)
	}
	f.Fuzz(sameDecoded)
}

// What is compared is the library and ours for 140 records of 100 bytes, a message of
// about 16 KiB as producers send it.
func BenchmarkDecodeProduce(b *testing.B) {
	values := make([]string, 140)
	for i := range values {
		values[i] = strings.Repeat("x", 100)
	}
	data, err := proto.Marshal(many(values...))
	require.NoError(b, err)
	for _, c := range []struct {
		name   string
		decode func(data []byte, req *logv1.ProduceRequest) error
	}{
		{"library", func(data []byte, req *logv1.ProduceRequest) error { return proto.Unmarshal(data, req) }},
		{"ours", rpc.DecodeProduce},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var req logv1.ProduceRequest
				if err := c.decode(data, &req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

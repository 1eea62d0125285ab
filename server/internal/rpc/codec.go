package rpc

import (
	"net/http"
	"strings"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectgzip"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
)

// protocolOptions are what the protocol library is told: how messages are
// encoded, compressed and bounded in bytes.
func protocolOptions(l Limits, messageBytes int) []connecthttp.Option {
	parts := partCount{l.Batch}
	return []connecthttp.Option{
		connecthttp.WithCodecs(
			countingCodec{connectproto.NewBinaryCodec(), parts.binary, decodeRecords},
			countingCodec{newJSONCodec(), parts.json, nil},
		),
		connecthttp.WithCompressors(connectgzip.New()),
		connecthttp.WithCompressMinBytes(l.CompressBytes),
		connecthttp.WithReadMaxBytes(messageBytes),
	}
}

// newJSONCodec returns a JSON codec for people with curl: zero values are
// printed, so that the first record's offset is seen, and a field that does not
// exist is an error, so that a slip of the pen is seen too.
func newJSONCodec() connect.StableCodec {
	codec := connectproto.NewJSONCodec()
	codec.MarshalOptions.EmitDefaultValues = true
	codec.UnmarshalOptions.DiscardUnknown = false
	return codec
}

// isJSON says whether the messages of a request are JSON, in whichever protocol.
func isJSON(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	_, kind, _ = strings.Cut(strings.ToLower(strings.TrimSpace(kind)), "/")
	return kind == "json" || strings.HasSuffix(kind, "+json")
}

package proglog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// The messages that carry records are encoded and decoded here, straight from
// and to [Record]: the generated types would cost several allocations for each
// record. Everything else goes through the generated code.

// produceRequest is an encoded log.v1.ProduceRequest.
type produceRequest []byte

// consumeResponse is a decoded log.v1.ConsumeResponse.
type consumeResponse struct {
	records []Record
	tail    bool   // next_offset was set: the response reached the tail
	next    uint64 // next_offset
}

// codec is the binary codec with the two types above beside the generated ones.
type codec struct{ *connectproto.BinaryCodec }

// MarshalWrite writes msg to dst.
func (c codec) MarshalWrite(ctx context.Context, dst io.Writer, msg any) error {
	if req, ok := msg.(produceRequest); ok {
		_, err := dst.Write(req)
		return err
	}
	return c.BinaryCodec.MarshalWrite(ctx, dst, msg)
}

// UnmarshalRead reads msg from src. What it leaves in a consumeResponse shares
// nothing with src.
func (c codec) UnmarshalRead(ctx context.Context, src io.Reader, msg any) error {
	res, ok := msg.(*consumeResponse)
	if !ok {
		return c.BinaryCodec.UnmarshalRead(ctx, src, msg)
	}
	// The transport hands over the buffer that it read the message into; to
	// read it into another one would be a copy for nothing.
	buf, ok := src.(*bytes.Buffer)
	if !ok {
		buf = new(bytes.Buffer)
		if _, err := buf.ReadFrom(src); err != nil {
			return err
		}
	}
	return res.decode(buf.Bytes())
}

// Numbers of the fields in log/v1/log.proto.
const (
	fieldRequestRecord   = 1
	fieldRequestLog      = 2
	fieldRequestRecords  = 3
	fieldRequestExpected = 4
	fieldRequestProducer = 5

	fieldProducerID       = 1
	fieldProducerEpoch    = 2
	fieldProducerSequence = 3

	fieldResponseRecord  = 2
	fieldResponseRecords = 3
	fieldResponseNext    = 4

	fieldValue     = 1
	fieldOffset    = 2
	fieldTimestamp = 5
	fieldHeaders   = 6

	fieldHeaderName  = 1
	fieldHeaderValue = 2

	fieldSeconds = 1
	fieldNanos   = 2
)

// appendLog appends the name of the log that a request is for.
func appendLog(b []byte, log string) []byte {
	if log == "" {
		return b
	}
	b = protowire.AppendTag(b, fieldRequestLog, protowire.BytesType)
	return protowire.AppendString(b, log)
}

// appendExpected appends the offset that the first record must get.
func appendExpected(b []byte, offset uint64) []byte {
	b = protowire.AppendTag(b, fieldRequestExpected, protowire.VarintType)
	return protowire.AppendVarint(b, offset)
}

// appendRecord appends a record as the given field of a ProduceRequest.
func appendRecord(b []byte, field protowire.Number, r *Record) []byte {
	size := bytesSize(fieldValue, len(r.Value))
	for i := range r.Headers {
		size += protowire.SizeTag(fieldHeaders) + protowire.SizeBytes(headerSize(&r.Headers[i]))
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	if len(r.Value) > 0 {
		b = protowire.AppendTag(b, fieldValue, protowire.BytesType)
		b = protowire.AppendBytes(b, r.Value)
	}
	for i := range r.Headers {
		h := &r.Headers[i]
		b = protowire.AppendTag(b, fieldHeaders, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(headerSize(h)))
		if h.Name != "" {
			b = protowire.AppendTag(b, fieldHeaderName, protowire.BytesType)
			b = protowire.AppendString(b, h.Name)
		}
		if len(h.Value) > 0 {
			b = protowire.AppendTag(b, fieldHeaderValue, protowire.BytesType)
			b = protowire.AppendBytes(b, h.Value)
		}
	}
	return b
}

func headerSize(h *Header) int {
	return bytesSize(fieldHeaderName, len(h.Name)) + bytesSize(fieldHeaderValue, len(h.Value))
}

// bytesSize returns the size of a bytes field, which is left out when empty.
func bytesSize(field protowire.Number, n int) int {
	if n == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(n)
}

// decode reads an encoded ConsumeResponse.
func (m *consumeResponse) decode(b []byte) error {
	*m = consumeResponse{}
	return eachField(b, func(num protowire.Number, f field) (err error) {
		switch {
		case (num == fieldResponseRecord || num == fieldResponseRecords) && f.isBytes():
			m.records = append(m.records, Record{})
			return m.records[len(m.records)-1].decode(f.bytes)
		case num == fieldResponseNext:
			m.tail, m.next = true, f.varint
		}
		return nil
	})
}

func (r *Record) decode(b []byte) error {
	return eachField(b, func(num protowire.Number, f field) error {
		switch {
		case num == fieldValue && f.isBytes():
			r.Value = bytes.Clone(f.bytes)
		case num == fieldOffset:
			r.Offset = f.varint
		case num == fieldTimestamp && f.isBytes():
			return decodeTime(f.bytes, &r.Time)
		case num == fieldHeaders && f.isBytes():
			r.Headers = append(r.Headers, Header{})
			return r.Headers[len(r.Headers)-1].decode(f.bytes)
		}
		return nil
	})
}

func (h *Header) decode(b []byte) error {
	return eachField(b, func(num protowire.Number, f field) error {
		switch {
		case num == fieldHeaderName && f.isBytes():
			h.Name = string(f.bytes)
		case num == fieldHeaderValue && f.isBytes():
			h.Value = bytes.Clone(f.bytes)
		}
		return nil
	})
}

// decodeTime reads an encoded google.protobuf.Timestamp.
func decodeTime(b []byte, t *time.Time) error {
	var seconds, nanos int64
	err := eachField(b, func(num protowire.Number, f field) error {
		switch num {
		case fieldSeconds:
			seconds = int64(f.varint)
		case fieldNanos:
			nanos = int64(int32(f.varint))
		}
		return nil
	})
	*t = time.Unix(seconds, nanos).UTC()
	return err
}

// field is one field of an encoded message: bytes or a number.
type field struct {
	typ    protowire.Type
	bytes  []byte
	varint uint64
}

func (f *field) isBytes() bool { return f.typ == protowire.BytesType }

// eachField calls visit with every field of an encoded message, in order. It
// passes over types that this contract does not use.
func eachField(b []byte, visit func(protowire.Number, field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("read a field's tag: %w", protowire.ParseError(n))
		}
		b = b[n:]
		f := field{typ: typ}
		switch typ {
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return fmt.Errorf("read field %d: %w", num, protowire.ParseError(n))
		}
		b = b[n:]
		if err := visit(num, f); err != nil {
			return err
		}
	}
	return nil
}

// The procedures whose messages are the ones above. The generated client knows
// only the generated types.

func produceSpec() connect.Spec {
	return connect.Spec{StreamType: connect.StreamTypeUnary, Procedure: logv1connect.LogProduceProcedure}
}

func produceStreamSpec() connect.Spec {
	return connect.Spec{StreamType: connect.StreamTypeBidi, Procedure: logv1connect.LogProduceStreamProcedure}
}

func consumeSpec() connect.Spec {
	return connect.Spec{
		StreamType: connect.StreamTypeUnary, Procedure: logv1connect.LogConsumeProcedure,
		IdempotencyLevel: connect.IdempotencyNoSideEffects,
	}
}

func consumeStreamSpec() connect.Spec {
	return connect.Spec{StreamType: connect.StreamTypeServer, Procedure: logv1connect.LogConsumeStreamProcedure}
}

package rpc

import (
	"bytes"
	"context"
	"io"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/encoding/protowire"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// A countingCodec counts the records and headers of a produce before it decodes
// them. An empty one takes two bytes of a message and a hundred decoded, so that
// without it a message within its limit would cost a hundred times its bytes
// until the records are counted.
type countingCodec struct {
	connect.StableCodec
	count   func(data []byte) error
	records func(data []byte) (records []*logv1.Record, rest []byte, ok bool) // nil, or [decodeRecords]
}

// UnmarshalRead implements [connect.Codec].
func (c countingCodec) UnmarshalRead(ctx context.Context, src io.Reader, msg any) error {
	req, ok := msg.(*logv1.ProduceRequest)
	if !ok {
		return c.StableCodec.UnmarshalRead(ctx, src, msg)
	}
	buf, ok := src.(*bytes.Buffer) // what the protocol library hands over
	if !ok {
		buf = new(bytes.Buffer)
		if _, err := buf.ReadFrom(src); err != nil {
			return err
		}
	}
	if err := c.count(buf.Bytes()); err != nil {
		return err
	}
	if c.records != nil {
		if records, rest, ok := c.records(buf.Bytes()); ok {
			if err := c.StableCodec.UnmarshalRead(ctx, bytes.NewBuffer(rest), msg); err != nil {
				return err
			}
			req.Records = records
			return nil
		}
	}
	return c.StableCodec.UnmarshalRead(ctx, buf, msg)
}

// The fields of a produce that may repeat, in log.v1.
const (
	fieldRecord  protowire.Number = 1 // ProduceRequest.record; pieces of it are joined
	fieldRecords protowire.Number = 3 // ProduceRequest.records
	fieldHeaders protowire.Number = 6 // Record.headers
)

// A partCount counts the parts of a produce and refuses those over the limits,
// with the error that the limits themselves have.
type partCount struct{ limits commitlog.Limits }

func (p partCount) records(n int) error {
	if n > p.limits.BatchRecords {
		return &commitlog.TooLargeError{What: "batch records", Size: uint64(n), Limit: uint64(p.limits.BatchRecords)}
	}
	return nil
}

func (p partCount) headers(n int) error {
	if n > p.limits.Headers {
		return &commitlog.TooLargeError{What: "headers", Size: uint64(n), Limit: uint64(p.limits.Headers)}
	}
	return nil
}

// binary counts in a ProduceRequest as it travels. What cannot be read is left to
// the decoder, which tells what is wrong with it.
func (p partCount) binary(data []byte) error {
	records, single := 0, 0
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil
		}
		data = data[n:]
		if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
			return nil
		}
		value := data[:n]
		data = data[n:]
		if kind != protowire.BytesType || number != fieldRecord && number != fieldRecords {
			continue
		}
		record, _ := protowire.ConsumeBytes(value)
		headers := headersOf(record)
		if number == fieldRecord {
			single += headers
			headers = single
		} else {
			records++
		}
		if err := p.records(records); err != nil {
			return err
		}
		if err := p.headers(headers); err != nil {
			return err
		}
	}
	return nil
}

// headersOf counts the headers of a Record as it travels.
func headersOf(record []byte) (headers int) {
	for len(record) > 0 {
		number, kind, n := protowire.ConsumeTag(record)
		if n < 0 {
			break
		}
		record = record[n:]
		if n = protowire.ConsumeFieldValue(number, kind, record); n < 0 {
			break
		}
		record = record[n:]
		if number == fieldHeaders && kind == protowire.BytesType {
			headers++
		}
	}
	return headers
}

// jsonDepth is how deep a produce nests in JSON: the message, its records, one of
// them, its headers, one of those. What is deeper is not a produce.
const jsonDepth = 5

// json counts in a ProduceRequest in JSON: the objects in each of its lists. Of
// these the outermost is that of the records, and those within are headers. What
// is not JSON is left to the decoder.
func (p partCount) json(data []byte) error {
	var objects [jsonDepth + 1]int // in what is open, by its depth
	depth := 0
	open := func() {
		if depth++; depth <= jsonDepth {
			objects[depth] = 0
		}
	}
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i += stringLength(data[i:]) - 1
		case '[':
			open()
		case '{':
			if depth <= jsonDepth {
				objects[depth]++
			}
			var err error
			switch {
			case depth == 2:
				err = p.records(objects[2])
			case depth > 2 && depth <= jsonDepth:
				err = p.headers(objects[depth])
			}
			if err != nil {
				return err
			}
			open()
		case ']', '}':
			if depth--; depth < 0 {
				return nil
			}
		}
	}
	return nil
}

// stringLength is the length of the JSON string that data begins with, its quotes
// included; all of data if it does not end.
func stringLength(data []byte) int {
	for i := 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

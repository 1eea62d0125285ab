package rpc

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// fieldValue is Record.value in log.v1.
const fieldValue protowire.Number = 1

// pooledFrom is how many records a produce needs to be decoded here. The library is
// as good for one.
const pooledFrom = 2

// decodeRecords decodes the `records` of a ProduceRequest into memory that they share:
// one array of records, and one copy of data in which their values lie. The library
// makes two objects for each. rest is the other fields, for the library. ok is false
// if there are few records, or anything is wrong with the message: then the library
// has to decode all of it, and tells what is wrong.
func decodeRecords(data []byte) (records []*logv1.Record, rest []byte, ok bool) {
	n := countRecords(data)
	if n < pooledFrom {
		return nil, nil, false
	}
	data = bytes.Clone(data) // the library uses its buffer again
	all := make([]logv1.Record, n)
	records = make([]*logv1.Record, 0, n)
	for len(data) > 0 {
		number, kind, tag := protowire.ConsumeTag(data)
		size := protowire.ConsumeFieldValue(number, kind, data[tag:])
		if number != fieldRecords || kind != protowire.BytesType {
			rest = append(rest, data[:tag+size]...)
			data = data[tag+size:]
			continue
		}
		content, _ := protowire.ConsumeBytes(data[tag : tag+size])
		data = data[tag+size:]
		r := &all[len(records)]
		records = append(records, r)
		if value, plain := valueOf(content); plain {
			r.Value = value
		} else if proto.Unmarshal(content, r) != nil {
			return nil, nil, false
		}
	}
	return records, rest, true
}

// countRecords counts the records of a ProduceRequest as it travels; 0 if it cannot be
// read.
func countRecords(data []byte) (n int) {
	for len(data) > 0 {
		number, kind, size := protowire.ConsumeField(data)
		if size < 0 {
			return 0
		}
		if number == fieldRecords && kind == protowire.BytesType {
			n++
		}
		data = data[size:]
	}
	return n
}

// valueOf returns the value of a Record as it travels if it has nothing else.
func valueOf(record []byte) (value []byte, plain bool) {
	number, kind, tag := protowire.ConsumeTag(record)
	if tag < 0 || number != fieldValue || kind != protowire.BytesType {
		return nil, false
	}
	value, n := protowire.ConsumeBytes(record[tag:])
	if n < 0 || tag+n != len(record) {
		return nil, false
	}
	return value[:len(value):len(value)], true
}

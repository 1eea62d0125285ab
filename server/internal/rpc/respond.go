package rpc

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// This file is the one place where a run becomes messages. A run is already
// encoded as a stream of single records travels: to those who speak protobuf it
// goes as it is, and a batch of it with its prefixes and tags exchanged. Only
// JSON needs messages.

// newMessage returns a record as a message. It refers to the record's bytes.
func newMessage(r commitlog.Record) *logv1.Record {
	m := &logv1.Record{
		Value:     r.Value,
		Offset:    r.Offset,
		Timestamp: timestamppb.New(r.Time),
	}
	if len(r.Headers) > 0 {
		m.Headers = make([]*logv1.Header, len(r.Headers))
		for i, h := range r.Headers {
			m.Headers[i] = &logv1.Header{Name: h.Name, Value: h.Value}
		}
	}
	return m
}

// batchResponse returns the whole run in one response. With binary it is for the
// binary codec alone, and takes the run's bytes over: the records stand in the
// message as they are encoded, as fields that are not looked into, which that
// codec writes as they are.
func batchResponse(run commitlog.Run, binary bool) (*logv1.ConsumeResponse, error) {
	res := &logv1.ConsumeResponse{}
	if run.Tail {
		res.NextOffset = &run.Next
	}
	if binary {
		records, err := commitlog.AppendBatch(run.Envelopes[:0], run.Envelopes) // it only gets shorter
		if err != nil {
			return nil, err
		}
		res.ProtoReflect().SetUnknown(records)
		return res, nil
	}
	res.Records = make([]*logv1.Record, 0, run.Next-run.First)
	for r, err := range run.All() {
		if err != nil {
			return nil, err
		}
		res.Records = append(res.Records, newMessage(r))
	}
	return res, nil
}

// singleResponses calls send with a response for each record of the run, in
// order; last marks the one after which nothing is ready.
func singleResponses(run commitlog.Run, send func(res *logv1.ConsumeResponse, last bool) error) error {
	for r, err := range run.All() {
		if err != nil {
			return err
		}
		res := &logv1.ConsumeResponse{Record: newMessage(r)}
		last := r.Offset+1 == run.Next
		if last && run.Tail {
			res.NextOffset = &run.Next
		}
		if err := send(res, last); err != nil {
			return err
		}
	}
	return nil
}

// ackResponse returns an ack as a message.
func ackResponse(a commitlog.Ack) *logv1.ProduceResponse {
	return &logv1.ProduceResponse{
		Offset:     a.First,
		NextOffset: a.Next,
		Timestamp:  timestamppb.New(a.Time),
		Duplicate:  a.Duplicate,
	}
}

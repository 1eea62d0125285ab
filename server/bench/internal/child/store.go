package child

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
	plog "github.com/proglog/proglog/server/log"
)

// A store is what a front serves: one log.
type store interface {
	// append appends requests, each all or none, and answers them in order.
	append(ctx context.Context, requests []*logv1.ProduceRequest) ([]*logv1.ProduceResponse, error)
	// read returns messages from an offset on, at least one if it exists.
	read(ctx context.Context, from uint64) ([]*logv1.ConsumeResponse, error)
	// raw is read for a front that sends bytes: a run of stored envelopes.
	raw(ctx context.Context, from uint64, buf []byte) (run []byte, next uint64, err error)
	// wait returns when there is a record at the offset.
	wait(ctx context.Context, offset uint64) error
	next() uint64
	close() error
}

func openStore(c Config) (store, error) {
	switch c.Store {
	case Memory:
		return &memory{more: make(chan struct{})}, nil
	case Engine:
		e, err := plog.Open(c.Dir, plog.Options{})
		if err != nil {
			return nil, err
		}
		l, err := e.Log(context.Background(), "")
		return &engine{engine: e, log: l}, err
	}
	return nil, fmt.Errorf("no store is called %q", c.Store)
}

// engine is our engine behind somebody else's front: what is between the two
// servers is the front alone.
type engine struct {
	engine *plog.Engine
	log    commitlog.CommitLog
}

func (e *engine) append(ctx context.Context, requests []*logv1.ProduceRequest) ([]*logv1.ProduceResponse, error) {
	batches := make([]commitlog.Batch, len(requests))
	for i, r := range requests {
		records := recordsOf(r)
		batches[i].Records = make([]commitlog.Record, len(records))
		for j, one := range records {
			batches[i].Records[j].Value = one.GetValue()
		}
	}
	acks, err := e.log.Append(ctx, batches...)
	if err != nil {
		return nil, err
	}
	answers := make([]*logv1.ProduceResponse, len(acks))
	for i, a := range acks {
		answers[i] = &logv1.ProduceResponse{Offset: a.First, NextOffset: a.Next, Timestamp: timestamppb.New(a.Time)}
	}
	return answers, nil
}

// recordsOf are the records of a request, be it one or a batch.
func recordsOf(r *logv1.ProduceRequest) []*logv1.Record {
	if r.Record != nil {
		return []*logv1.Record{r.Record}
	}
	return r.GetRecords()
}

// readBytes is how much a front reads at a time.
const readBytes = 256 << 10

func (e *engine) read(ctx context.Context, from uint64) ([]*logv1.ConsumeResponse, error) {
	run, _, err := e.raw(ctx, from, nil)
	var messages []*logv1.ConsumeResponse
	for err == nil && len(run) > 0 {
		var envelope []byte
		if envelope, run, err = commitlog.CutEnvelope(run); err != nil {
			break
		}
		m := &logv1.ConsumeResponse{}
		if err = proto.Unmarshal(envelope[commitlog.EnvelopePrefix:], m); err == nil {
			messages = append(messages, m)
		}
	}
	return messages, err
}

func (e *engine) raw(ctx context.Context, from uint64, buf []byte) ([]byte, uint64, error) {
	run, err := e.log.Read(ctx, from, commitlog.ReadLimit{Bytes: readBytes}, buf)
	return run.Envelopes, run.Next, err
}

func (e *engine) wait(ctx context.Context, offset uint64) error {
	_, err := e.log.Wait(ctx, offset)
	return err
}

func (e *engine) next() uint64 { return e.log.Bounds().Next }
func (e *engine) close() error { return e.engine.Close() }

// memory keeps messages ready to be sent, which is the most that a server without
// our format can have: it reads nothing, checks nothing and builds nothing.
type memory struct {
	mu       sync.RWMutex
	messages []*logv1.ConsumeResponse
	more     chan struct{} // closed by the next append
}

func (m *memory) append(_ context.Context, requests []*logv1.ProduceRequest) ([]*logv1.ProduceResponse, error) {
	now := timestamppb.New(time.Now())
	m.mu.Lock()
	defer m.mu.Unlock()
	answers := make([]*logv1.ProduceResponse, len(requests))
	for i, r := range requests {
		answers[i] = &logv1.ProduceResponse{Offset: uint64(len(m.messages)), Timestamp: now}
		for _, one := range recordsOf(r) {
			record := &logv1.Record{Value: one.GetValue(), Offset: uint64(len(m.messages)), Timestamp: now}
			m.messages = append(m.messages, &logv1.ConsumeResponse{Record: record})
		}
		answers[i].NextOffset = uint64(len(m.messages))
	}
	close(m.more)
	m.more = make(chan struct{})
	return answers, nil
}

func (m *memory) read(_ context.Context, from uint64) ([]*logv1.ConsumeResponse, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if from >= uint64(len(m.messages)) {
		return nil, fmt.Errorf("offset %d of %d", from, len(m.messages))
	}
	return m.messages[from:], nil
}

func (m *memory) raw(_ context.Context, from uint64, buf []byte) ([]byte, uint64, error) {
	messages, err := m.read(context.Background(), from)
	buf = buf[:0]
	for _, one := range messages {
		if len(buf) >= readBytes {
			break
		}
		buf = commitlog.AppendEnvelope(buf, &commitlog.Record{
			Value: one.Record.Value, Offset: one.Record.Offset, Time: one.Record.Timestamp.AsTime(),
		})
		from++
	}
	return buf, from, err
}

func (m *memory) wait(ctx context.Context, offset uint64) error {
	for {
		m.mu.RLock()
		there, more := uint64(len(m.messages)) > offset, m.more
		m.mu.RUnlock()
		if there {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *memory) next() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return uint64(len(m.messages))
}

func (*memory) close() error { return nil }

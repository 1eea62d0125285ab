package rpc

import (
	"encoding/binary"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
)

// A sender sends the responses of a ConsumeStream. Whatever it was given before
// is flushed when a run reaches the tail, and with headers and beats.
type sender interface {
	// headers begins the response, if it has not begun.
	headers() error
	// send sends a run, or as much of it as fills responses, and returns the
	// offset from which to go on.
	send(run commitlog.Run) (next uint64, err error)
	// beat tells where the tail is.
	beat(next uint64) error
}

// newSender returns how a stream is answered. Those who speak protobuf get records
// as they are stored, past the protocol library, which costs a hundredth of what
// encoding and enveloping each does. Others get messages from the library: JSON,
// and batches that can be compressed.
func newSender(c *conn, stream logv1connect.LogConsumeStreamServerStream, r *reading, limits Limits) sender {
	if c == nil || !c.binary || r.records > 0 && c.gzip {
		return &messages{conn: c, stream: stream, reading: r, stall: limits.Stall}
	}
	return &stored{conn: c, begin: stream.SendHeaders, reading: r, stall: limits.Stall}
}

// takesGzip says whether a client accepts streams whose messages are compressed.
func takesGzip(h http.Header) bool {
	return strings.Contains(h.Get("Grpc-Accept-Encoding"), "gzip") || strings.Contains(h.Get("Connect-Accept-Encoding"), "gzip")
}

// messages is a sender by way of the protocol library.
type messages struct {
	*conn
	stream  logv1connect.LogConsumeStreamServerStream
	reading *reading
	stall   time.Duration
}

func (m *messages) headers() error { return m.stream.SendHeaders() }

func (m *messages) send(run commitlog.Run) (next uint64, err error) {
	if m.reading.records == 0 {
		return run.Next, singleResponses(run, m.one)
	}
	return m.reading.batches(run, func(batch commitlog.Run, last bool) error {
		res, err := batchResponse(batch, m.conn != nil && m.binary)
		if err != nil {
			return err
		}
		return m.one(res, last)
	})
}

func (m *messages) beat(next uint64) error {
	return m.one(&logv1.ConsumeResponse{NextOffset: &next}, true)
}

// one sends a response, and flushes it if it is the last that is ready.
func (m *messages) one(res *logv1.ConsumeResponse, last bool) error {
	if m.conn != nil {
		m.hold(!last)
		m.writeWithin(m.stall)
	}
	return m.stream.Send(res)
}

// stored is a sender of what is encoded already. Nothing that it sends is
// compressed.
type stored struct {
	conn    *conn
	begin   func() error // sends the headers; nil: they are on their way
	reading *reading
	stall   time.Duration
}

func (s *stored) headers() error {
	if s.begin == nil {
		return nil
	}
	begin := s.begin
	s.begin = nil
	return begin()
}

func (s *stored) send(run commitlog.Run) (next uint64, err error) {
	if err := s.headers(); err != nil {
		return 0, err
	}
	if s.reading.records > 0 {
		next, err = s.reading.batches(run, s.batch)
	} else {
		next, err = run.Next, s.single(run)
	}
	if err == nil && run.Tail {
		s.conn.flush()
	}
	return next, err
}

// single sends each record of a run as a message. All but the last of a run that
// reached the tail, whose message says so, are such messages as they are.
func (s *stored) single(run commitlog.Run) error {
	if !run.Tail {
		return s.conn.writeRaw(run.Envelopes, s.stall)
	}
	before, last, err := run.Cut(int(run.Next - run.First - 1))
	if err != nil {
		return err
	}
	if err := s.conn.writeRaw(before.Envelopes, s.stall); err != nil {
		return err
	}
	return s.message(last.Envelopes[commitlog.EnvelopePrefix:], run.Next, true)
}

func (s *stored) batch(run commitlog.Run, _ bool) error {
	records, err := commitlog.AppendBatch(run.Envelopes[:0], run.Envelopes) // it only gets shorter
	if err != nil {
		return err
	}
	return s.message(records, run.Next, run.Tail)
}

func (s *stored) beat(next uint64) error {
	if err := s.message(nil, next, true); err != nil {
		return err
	}
	s.conn.flush()
	return nil
}

// message sends a ConsumeResponse of encoded fields, and with the offset behind
// the tail if it has reached it.
func (s *stored) message(fields []byte, next uint64, tail bool) error {
	var end []byte
	if tail {
		var room [1 + binary.MaxVarintLen64]byte
		end = protowire.AppendTag(room[:0], fieldNextOffset, protowire.VarintType)
		end = protowire.AppendVarint(end, next)
	}
	prefix := make([]byte, commitlog.EnvelopePrefix, commitlog.EnvelopePrefix+len(end))
	binary.BigEndian.PutUint32(prefix[1:], uint32(len(fields)+len(end)))
	for _, part := range [][]byte{prefix, fields, end} {
		if err := s.conn.writeRaw(part, s.stall); err != nil {
			return err
		}
	}
	return nil
}

// fieldNextOffset is ConsumeResponse.next_offset.
const fieldNextOffset protowire.Number = 4

// batches calls send with as many records of a run as were asked for, again and
// again; last marks the one behind which nothing is ready. What is left at the
// end of a run and would fill no response is for the next one, with what follows
// it. It returns the offset from which to go on.
func (r *reading) batches(run commitlog.Run, send func(batch commitlog.Run, last bool) error) (next uint64, err error) {
	first := run.First
	for run.First < run.Next {
		batch, rest, err := run.Cut(r.records)
		if err != nil {
			return 0, err
		}
		full := batch.Next-batch.First == uint64(r.records)
		if !full && batch.First > first && !batch.Tail && batch.Next < r.until {
			break
		}
		if err := send(batch, rest.First == rest.Next); err != nil {
			return 0, err
		}
		run = rest
	}
	return run.First, nil
}

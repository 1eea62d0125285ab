package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/commitlog"
)

// TCP is the same job on bare connections, with the same engine behind it: what is
// left of a server when nothing carries its messages. It is a floor, not a rival.
type TCP struct{}

// Name implements [peer.Peer].
func (TCP) Name() string { return NameTCP }

// About implements [peer.Peer].
func (TCP) About() string {
	return "lengths and values on bare connections, the same engine behind them; a connection per caller; a consumer gets what is stored and cuts it into values; an ack stands on a sync"
}

// Open implements [peer.Peer].
func (TCP) Open(dir string, load peer.Load) (peer.Subject, error) {
	if err := checkLoad(load); err != nil {
		return nil, err
	}
	s, err := startChild(child.Config{Kind: child.TCP, Dir: filepath.Join(dir, "data"), Store: child.Engine}, load)
	if err != nil {
		return nil, err
	}
	return &tcpSubject{served: s}, nil
}

type tcpSubject struct {
	*served
	mu    sync.Mutex
	conns []net.Conn
}

// connect opens a connection for a purpose. It is closed with the subject.
func (s *tcpSubject) connect(kind byte) (net.Conn, error) {
	c, err := net.Dial("tcp", s.process.Ready)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	_, err = c.Write([]byte{kind})
	return c, err
}

// Close implements [peer.Subject].
func (s *tcpSubject) Close() error {
	for _, c := range s.conns {
		_ = c.Close() // some are closed already
	}
	return s.stop()
}

// Writer implements [peer.Subject].
func (s *tcpSubject) Writer(_ int, batch *peer.Batch) peer.Writer {
	w := &tcpWriter{value: batch.Values[0]}
	w.conn, w.err = s.connect(child.TCPProduce)
	return w
}

type tcpWriter struct {
	conn  net.Conn
	err   error // of the connection's beginning
	value []byte
	buf   []byte
}

// Append implements [peer.Writer].
func (w *tcpWriter) Append(int) (uint64, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.buf = append(binary.LittleEndian.AppendUint64(w.buf[:0], uint64(len(w.value))), w.value...)
	if _, err := w.conn.Write(w.buf); err != nil {
		return 0, err
	}
	return readNumber(w.conn)
}

func readNumber(r io.Reader) (uint64, error) {
	var b [8]byte
	_, err := io.ReadFull(r, b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}

// Count implements [peer.Subject].
func (s *tcpSubject) Count() (uint64, error) {
	c, err := s.connect(child.TCPCount)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return readNumber(c)
}

// Value implements [peer.Subject].
func (s *tcpSubject) Value(at peer.Place, buf []byte) ([]byte, error) {
	c, err := s.connect(child.TCPRead)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(binary.LittleEndian.AppendUint64(nil, at.Offset)); err != nil {
		return nil, err
	}
	n, err := readNumber(c)
	if err != nil || n > commitlog.MaxValueBytes {
		return nil, errors.Join(err, fmt.Errorf("a value of %d bytes", n))
	}
	buf = append(buf[:0], make([]byte, n)...)
	_, err = io.ReadFull(c, buf)
	return buf, err
}

// Pump implements [peer.Pipelined]. Records go out in order on one connection.
func (s *tcpSubject) Pump(ctx context.Context, flow *peer.Flow) error {
	c, err := s.connect(child.TCPProduce)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	numbers := make(chan uint64, flow.Window)
	send := func(context.Context) error {
		defer close(numbers)
		var buf []byte
		for {
			first, values := flow.Take(1)
			if values == nil {
				return nil
			}
			buf = append(binary.LittleEndian.AppendUint64(buf[:0], uint64(len(values[0]))), values[0]...)
			numbers <- first // there is room: as much as may be in flight
			if _, err := c.Write(buf); err != nil {
				return err
			}
		}
	}
	answers := bufio.NewReader(c)
	receive := func(context.Context) error {
		for n := range numbers {
			if _, err := readNumber(answers); err != nil {
				return err
			}
			flow.Ack(n, 1)
		}
		return nil
	}
	return pipeline(ctx, send, receive)
}

// streamBuffer is what a consumer takes from its connection at a time.
const streamBuffer = 256 << 10

// Stream implements [peer.Streaming].
func (s *tcpSubject) Stream(ctx context.Context, n uint64, each func([]byte) error) error {
	c, err := s.connect(child.TCPStream)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if _, err := c.Write(make([]byte, 8)); err != nil {
		return err
	}
	in := bufio.NewReaderSize(c, streamBuffer)
	var envelope []byte
	for range n {
		head, err := in.Peek(commitlog.EnvelopePrefix)
		if err != nil {
			return err
		}
		size := commitlog.EnvelopePrefix + int(binary.BigEndian.Uint32(head[1:]))
		envelope = append(envelope[:0], make([]byte, size)...)
		if _, err := io.ReadFull(in, envelope); err != nil {
			return err
		}
		record, err := commitlog.RecordBytes(envelope)
		if err != nil {
			return err
		}
		decoded, err := commitlog.DecodeRecord(record)
		if err != nil {
			return err
		}
		if err := each(decoded.Value); err != nil {
			return err
		}
	}
	return nil
}

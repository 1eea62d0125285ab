package child

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// What a connection to the TCP child is for is its first byte. Numbers are 64 bits,
// little endian.
const (
	// TCPProduce: then again and again a length and a value, each answered with
	// its offset.
	TCPProduce = 'p'
	// TCPStream: then an offset; stored envelopes come from there on, for ever.
	TCPStream = 's'
	// TCPRead: then again and again an offset, answered with a length and the
	// value there.
	TCPRead = 'r'
	// TCPCount is answered with the next offset.
	TCPCount = 'c'
)

// serveTCP is the least that can carry the job: no protocol, nothing decoded, no
// errors told. It is what others are measured against, not a way to serve.
func serveTCP(ctx context.Context, s store) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	tellReady(listener.Addr().String())
	for {
		c, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_ = tcpConn{store: s, Reader: bufio.NewReaderSize(c, 64<<10), out: c}.serve(ctx) // the client sees that it is gone
		}()
	}
}

type tcpConn struct {
	store store
	*bufio.Reader
	out io.Writer
}

func (c tcpConn) serve(ctx context.Context) error {
	kind, err := c.ReadByte()
	if err != nil {
		return err
	}
	switch kind {
	case TCPProduce:
		return c.produce(ctx)
	case TCPStream:
		return c.stream(ctx)
	case TCPRead:
		return c.read(ctx)
	case TCPCount:
		return c.number(c.store.next())
	}
	return errors.New("unknown kind of connection")
}

func (c tcpConn) number(n uint64) error {
	return binary.Write(c.out, binary.LittleEndian, n)
}

// produce appends all that has arrived at a time, and answers in order.
func (c tcpConn) produce(ctx context.Context) error {
	for {
		first, err := c.value()
		if err != nil {
			return err
		}
		group := []*logv1.ProduceRequest{first}
		for c.Buffered() > 0 && len(group) < queueLength {
			next, err := c.value()
			if err != nil {
				return err
			}
			group = append(group, next)
		}
		answers, err := c.store.append(ctx, group)
		if err != nil {
			return err
		}
		var out []byte
		for _, a := range answers {
			out = binary.LittleEndian.AppendUint64(out, a.Offset)
		}
		if _, err := c.out.Write(out); err != nil {
			return err
		}
	}
}

func (c tcpConn) value() (*logv1.ProduceRequest, error) {
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(head[:])
	if n > commitlog.MaxValueBytes {
		return nil, errors.New("a value that is too large")
	}
	value := make([]byte, n)
	_, err := io.ReadFull(c, value)
	return &logv1.ProduceRequest{Record: &logv1.Record{Value: value}}, err
}

func (c tcpConn) stream(ctx context.Context) error {
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	var buf []byte
	for at := binary.LittleEndian.Uint64(head[:]); ; {
		if err := c.store.wait(ctx, at); err != nil {
			return err
		}
		run, next, err := c.store.raw(ctx, at, buf)
		if err != nil {
			return err
		}
		if _, err := c.out.Write(run); err != nil {
			return err
		}
		at, buf = next, run
	}
}

func (c tcpConn) read(ctx context.Context) error {
	var head [8]byte
	for {
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return err
		}
		messages, err := front{store: c.store}.consume(ctx, &logv1.ConsumeRequest{Offset: binary.LittleEndian.Uint64(head[:])})
		if err != nil {
			return err
		}
		value := messages.Record.GetValue()
		if err := errors.Join(c.number(uint64(len(value))), writeAll(c.out, value)); err != nil {
			return err
		}
	}
}

func writeAll(w io.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}

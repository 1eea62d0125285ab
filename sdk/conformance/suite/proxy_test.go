package suite

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// echo is a server that sends back what it gets, and a proxy before it.
func echo(t *testing.T) (*Proxy, func() net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	p, err := NewProxy(func() string { return listener.Addr().String() })
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p, func() net.Conn {
		c, err := net.Dial("tcp", p.Addr)
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

func do(t *testing.T, p *Proxy, fault string, n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, p.Do(ctx, fault, n, 0))
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
}

func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

// silent checks that nothing comes, for a moment, and the connection stays.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Millisecond)))
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "something came, or the connection ended")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
}

// Goal: without faults nothing changes, not even for much at once, and ends of
// both directions go through.
func TestProxyCarries(t *testing.T) {
	_, dial := echo(t)
	c := dial()
	much := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // more than a queue holds
	go func() {
		_, _ = c.Write(much)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(much, got))
}

// Goal: what is held comes later, whole; connections stay open meanwhile.
func TestProxyHolds(t *testing.T) {
	for _, fault := range []string{"hold answers", "hold requests", "blackhole", "freeze"} {
		t.Run(fault, func(t *testing.T) {
			p, dial := echo(t)
			c := dial()
			say(t, c, "a")
			hear(t, c, "a")
			do(t, p, fault, 0)
			say(t, c, "bc")
			if fault != "hold answers" {
				do(t, p, "held", 2)
			}
			silent(t, c)
			if fault == "freeze" {
				other := dial()
				say(t, other, "x")
				hear(t, other, "x")
			}
			do(t, p, "heal", 0)
			hear(t, c, "bc")
		})
	}
}

// Goal: a cut comes behind exactly so many bytes, once.
func TestProxyCuts(t *testing.T) {
	p, dial := echo(t)
	c := dial()
	do(t, p, "cut answers", 3)
	say(t, c, "abcdef")
	got, err := io.ReadAll(c)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	assert.LessOrEqual(t, len(got), 3) // a reset may overtake what was sent
	c = dial()
	say(t, c, "abcdef")
	hear(t, c, "abcdef")
}

// Goal: each way to end connections looks to a client as it does in real life.
func TestProxyEnds(t *testing.T) {
	p, dial := echo(t)
	c := dial()
	say(t, c, "a")
	hear(t, c, "a")
	do(t, p, "reset", 0)
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)

	c = dial()
	say(t, c, "a")
	hear(t, c, "a")
	do(t, p, "close", 0)
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)

	do(t, p, "refuse", 0)
	_, err = net.Dial("tcp", p.Addr)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	do(t, p, "heal", 0)
	c = dial()
	say(t, c, "a")
	hear(t, c, "a")

	require.ErrorContains(t, p.Do(t.Context(), "nonsense", 0, 0), "nonsense")
}

// Goal: a delay delays, and changes nothing else.
func TestProxyDelays(t *testing.T) {
	p, dial := echo(t)
	c := dial()
	do(t, p, "delay", 20)
	began := time.Now()
	say(t, c, "abc")
	hear(t, c, "abc")
	assert.GreaterOrEqual(t, time.Since(began), 40*time.Millisecond, "once in each direction")
}

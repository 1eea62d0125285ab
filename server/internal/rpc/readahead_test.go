package rpc_test

import (
	"crypto/rand"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/rpc"
)

// pair returns the two ends of a TCP connection, the first of which reads ahead.
func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	far, err = net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	near, err = listener.Accept()
	require.NoError(t, err)
	near = rpc.ReadAhead(near)
	t.Cleanup(func() {
		_ = near.Close()
		_ = far.Close()
	})
	return near, far
}

// Goal: whatever is asked for at a time, and however it comes, each byte is read once,
// in order, and then the end.
func TestReadAheadReadsAll(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	sent := make([]byte, 1<<20)
	_, err := rand.Read(sent)
	require.NoError(t, err)
	go func() {
		for left, n := sent, 1; len(left) > 0; n = n*7%40_000 + 1 {
			n = min(n, len(left))
			if _, err := far.Write(left[:n]); !assert.NoError(t, err) {
				return
			}
			left = left[n:]
		}
		assert.NoError(t, far.(*net.TCPConn).CloseWrite())
	}()
	var got []byte
	for n := 1; ; n = n*5%30_000 + 1 {
		p := make([]byte, n)
		read, err := near.Read(p)
		got = append(got, p[:read]...)
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			break
		}
	}
	require.Equal(t, len(sent), len(got))
	require.True(t, string(sent) == string(got), "other bytes came")
}

// Goal: what asks for little does not wait for more, and a deadline ends a wait.
func TestReadAheadWaitsForNothingElse(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	for range 3 {
		_, err := far.Write([]byte("123456789"))
		require.NoError(t, err)
		p := make([]byte, 9)
		_, err = io.ReadFull(near, p)
		require.NoError(t, err)
		assert.Equal(t, "123456789", string(p))
	}
	require.NoError(t, near.SetReadDeadline(time.Now()))
	_, err := near.Read(make([]byte, 9))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout())
	require.NoError(t, near.SetReadDeadline(time.Time{}))
	require.NoError(t, near.Close())
	_, err = near.Read(make([]byte, 9))
	require.ErrorIs(t, err, net.ErrClosed)
}

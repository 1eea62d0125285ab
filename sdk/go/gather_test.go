package proglog_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

// gathered returns the two ends of a connection, the first of which gathers. Nothing
// is sent over it before the second end reads.
func gathered(t *testing.T) (near, far net.Conn) {
	t.Helper()
	inner, far := net.Pipe()
	near = proglog.Gather(&watchedConn{Conn: inner, closed: make(chan struct{})})
	t.Cleanup(func() {
		_ = near.Close()
		_ = far.Close()
	})
	return near, far
}

// watchedConn tells when it is closed.
type watchedConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *watchedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Goal: what many write at once arrives complete, each write in one piece and those of
// one writer in order, also when it is far more than the connection holds.
func TestGatheredWritesArriveInOrder(t *testing.T) {
	near, far := gathered(t)
	const writers, each = 8, 2000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				message := make([]byte, 8+w*10)
				binary.BigEndian.PutUint32(message, uint32(w))
				binary.BigEndian.PutUint32(message[4:], uint32(n))
				got, err := near.Write(message)
				assert.NoError(t, err)
				assert.Equal(t, len(message), got)
			}
		})
	}
	seen := make([]uint32, writers)
	for range writers * each {
		var head [8]byte
		_, err := io.ReadFull(far, head[:])
		require.NoError(t, err)
		w, n := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
		require.Less(t, w, uint32(writers))
		require.Equal(t, seen[w], n)
		seen[w]++
		_, err = io.CopyN(io.Discard, far, int64(w)*10)
		require.NoError(t, err)
	}
	wg.Wait()
}

// Goal: writes while one is sent go out with one system call.
func TestWritesAreSentTogether(t *testing.T) {
	near, far := gathered(t)
	_, err := near.Write([]byte("first"))
	require.NoError(t, err)
	one := make([]byte, 1)
	_, err = io.ReadFull(far, one) // its sending has begun, and goes on when more is read
	require.NoError(t, err)
	for range 100 {
		_, err := near.Write([]byte("0123456789"))
		require.NoError(t, err)
	}
	rest := make([]byte, 4)
	_, err = io.ReadFull(far, rest)
	require.NoError(t, err)
	n, err := far.Read(make([]byte, 4096)) // a pipe gives what one write has left
	require.NoError(t, err)
	assert.Equal(t, 1000, n)
}

// Goal: whoever writes more than is held waits, until the other side reads, a deadline
// passes or the connection is closed.
func TestAFullConnectionHoldsWritersUp(t *testing.T) {
	fill := func(t *testing.T) (near, far net.Conn, done chan error) {
		near, far = gathered(t)
		done = make(chan error, 1)
		started := make(chan struct{})
		go func() {
			close(started)
			var err error
			for range 3 { // one is being sent, one is held
				_, err = near.Write(make([]byte, proglog.GatherBytes))
			}
			done <- err
		}()
		<-started
		return near, far, done
	}
	ended := func(t *testing.T, done chan error) error {
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Second):
			require.Fail(t, "the write did not end")
			return nil
		}
	}
	t.Run("read", func(t *testing.T) {
		_, far, done := fill(t)
		_, err := io.CopyN(io.Discard, far, 3*proglog.GatherBytes)
		require.NoError(t, err)
		require.NoError(t, ended(t, done))
	})
	t.Run("deadline", func(t *testing.T) {
		near, _, done := fill(t)
		require.NoError(t, near.SetWriteDeadline(time.Now().Add(time.Millisecond)))
		require.ErrorIs(t, ended(t, done), os.ErrDeadlineExceeded)
	})
	t.Run("closed", func(t *testing.T) {
		near, _, done := fill(t)
		require.NoError(t, near.Close())
		require.ErrorIs(t, ended(t, done), net.ErrClosed)
	})
}

// Goal: a write that failed is told to the next one, and ends the reading side.
func TestAFailedWriteEndsTheConnection(t *testing.T) {
	near, far := gathered(t)
	require.NoError(t, far.Close())
	_, err := near.Write([]byte("lost"))
	require.NoError(t, err)
	_, err = near.Read(make([]byte, 1))
	require.Error(t, err)
	require.Eventually(t, func() bool {
		_, err := near.Write([]byte("more"))
		return errors.Is(err, io.ErrClosedPipe)
	}, 10*time.Second, time.Millisecond)
}

// Goal: Close sends what was written, ends reads at once, and leaves nothing behind,
// also when the other side does not read.
func TestCloseSendsTheRest(t *testing.T) {
	for _, reads := range []bool{true, false} {
		inner, far := net.Pipe()
		watched := &watchedConn{Conn: inner, closed: make(chan struct{})}
		near := proglog.Gather(watched)
		read := make(chan error, 1)
		go func() {
			_, err := near.Read(make([]byte, 1))
			read <- err
		}()
		_, err := near.Write([]byte("goodbye"))
		require.NoError(t, err)
		require.NoError(t, near.SetWriteDeadline(time.Now())) // as TLS does after its last message
		require.NoError(t, near.Close())
		require.ErrorIs(t, <-read, net.ErrClosed)
		_, err = near.Write([]byte("late"))
		require.ErrorIs(t, err, net.ErrClosed)
		if reads {
			got, err := io.ReadAll(far)
			require.NoError(t, err)
			assert.Equal(t, "goodbye", string(got))
		}
		select {
		case <-watched.closed:
		case <-time.After(10 * time.Second):
			require.Fail(t, "the connection was not closed")
		}
		_ = far.Close()
	}
}

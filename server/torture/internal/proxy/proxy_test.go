package proxy

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// echo answers each line with itself, and tells of those that it got.
func echo(t *testing.T) (addr string, got <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	lines := make(chan string, 16)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for scanner := bufio.NewScanner(conn); scanner.Scan(); {
					lines <- scanner.Text()
					if _, err := conn.Write(append(scanner.Bytes(), '\n')); err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String(), lines
}

// Goal: bytes pass; muted, requests pass and answers are lost with the connection; the
// next connection works.
func TestMuteAndCut(t *testing.T) {
	addr, got := echo(t)
	p, err := New(addr)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	dial := func() (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "http://"))
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		return conn, bufio.NewReader(conn)
	}
	say := func(conn net.Conn, line string) {
		_, err := conn.Write([]byte(line + "\n"))
		require.NoError(t, err)
		require.Equal(t, line, <-got)
	}

	conn, answers := dial()
	defer conn.Close()
	say(conn, "one")
	line, err := answers.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "one\n", line)

	p.Mute()
	say(conn, "two") // it arrives
	p.Cut()
	_, err = answers.ReadString('\n')
	require.Error(t, err)

	again, answers := dial()
	defer again.Close()
	say(again, "three")
	line, err = answers.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "three\n", line)
}

package proglog_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// startSilent accepts connections, on which nothing is ever read or answered. It
// tells of each.
func startSilent(t *testing.T) (url string, accepted <-chan struct{}) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	all := make(chan struct{}, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				for _, c := range conns {
					_ = c.Close()
				}
				return
			}
			conns = append(conns, conn)
			all <- struct{}{}
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return "http://" + listener.Addr().String(), all
}

// startStalling forwards connections to a server until it is told to stall: then it
// reads nothing more.
func startStalling(t *testing.T, f *fakeLog) (url string, stalled *atomic.Bool) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	stalled = new(atomic.Bool)
	var running sync.WaitGroup
	over := make(chan struct{})
	pipe := func(to, from net.Conn) {
		buf := make([]byte, 4096)
		for {
			n, err := from.Read(buf)
			if stalled.Load() {
				<-over
			}
			if err != nil {
				_ = to.Close()
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
	}
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", f.url[len("http://"):])
			if err != nil {
				_ = conn.Close()
				return
			}
			running.Go(func() { pipe(server, conn); _ = conn.Close() })
			running.Go(func() { pipe(conn, server); _ = server.Close() })
		}
	})
	t.Cleanup(func() { close(over); _ = listener.Close(); f.conns.cut(); running.Wait() })
	return "http://" + listener.Addr().String(), stalled
}

// within fails unless something is over in good time.
func within(t *testing.T, what string, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s is not over", what)
		return nil
	}
}

// going starts something and returns the channel that its error comes by.
func going(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// sendOne sends a record and waits for what becomes of it, whoever tells.
func sendOne(ctx context.Context, p *proglog.Producer) error {
	future, err := p.Send(ctx, record("a"))
	if err == nil {
		_, err = future.Wait(ctx)
	}
	return err
}

// requireClosed checks the error of what the Close of its client has ended.
func requireClosed(t *testing.T, what string, err error) {
	t.Helper()
	require.ErrorIs(t, err, proglog.ErrClosed, what)
	assert.Equal(t, proglog.CodeCanceled, proglog.CodeOf(err), "%s: %v", what, err)
	assert.ErrorContains(t, err, "client is closed", what)
}

// Goal: Close ends what runs: a follower at the tail, a call that waits, and
// producers, whose errors say what became of the records.
func TestCloseEndsWhatRuns(t *testing.T) {
	f := startFake(t, func(f *fakeLog) { f.heartbeat = true })
	f.fill(2)
	ctx := t.Context()
	c := connectTo(t, f.url)
	read := make(chan struct{})
	follower := going(func() (last error) {
		for record, err := range c.Follow(ctx) {
			if last = err; err == nil && record.Offset == 1 {
				close(read)
			}
		}
		return last
	})
	<-read
	arrived := make(chan struct{}, 2)
	gate := make(chan struct{})
	t.Cleanup(func() { close(gate) })
	f.hookProduce(func(int, *logv1.ProduceRequest) (func() error, error) {
		arrived <- struct{}{}
		<-gate
		return nil, nil
	})
	f.set(func() {
		f.onUnary = func(int) error { arrived <- struct{}{}; <-gate; return nil }
	})
	shared := going(func() error { _, err := c.Produce(ctx, record("a")); return err })
	<-arrived
	waiting := going(func() error { _, err := c.Consume(ctx, 9, proglog.Wait(time.Minute)); return err })
	<-arrived
	p, err := c.NewProducer(ctx, proglog.Linger(time.Hour))
	require.NoError(t, err)
	future, err := p.Send(ctx, record("b"))
	require.NoError(t, err)

	require.NoError(t, c.Close())
	requireClosed(t, "follower", within(t, "follower", follower))
	requireClosed(t, "consume", within(t, "consume", waiting))
	err = within(t, "produce", shared)
	requireClosed(t, "produce", err)
	requireOutcome(t, err, proglog.ErrOutcomeUnknown)
	_, err = future.Wait(ctx)
	requireClosed(t, "what lingers", err)
	requireOutcome(t, err, proglog.ErrNothingAppended)
	<-p.Done()
	requireClosed(t, "producer", p.Err())
	_, err = p.Send(ctx, record("c"))
	requireClosed(t, "send", err)
	requireOutcome(t, err, proglog.ErrNothingAppended)
}

// Goal: Close ends everything on a network that says nothing: nobody answered yet.
func TestCloseInSilence(t *testing.T) {
	url, accepted := startSilent(t)
	c := connectTo(t, url)
	ctx := t.Context()
	running := map[string]<-chan error{
		"describe": going(func() error { _, err := c.DescribeLog(ctx, ""); return err }),
		"follow": going(func() (last error) {
			for _, err := range c.Follow(ctx) {
				last = err
			}
			return last
		}),
		"list": going(func() (last error) {
			for _, err := range c.Logs(ctx, "") {
				last = err
			}
			return last
		}),
		"alone": going(func() error { _, err := c.Produce(ctx, record("a"), proglog.Alone()); return err }),
	}
	nothing := map[string]<-chan error{}
	for _, name := range []string{"shared 1", "shared 2", "shared 3"} {
		nothing[name] = going(func() error { _, err := c.Produce(ctx, record("a")); return err })
	}
	p, err := c.NewProducer(ctx)
	require.NoError(t, err)
	nothing["send"] = going(func() error { return sendOne(ctx, p) })
	<-accepted
	require.Eventually(t, func() bool { return p.WaitingSenders() == 1 }, 10*time.Second, time.Millisecond)

	closing := going(c.Close)
	require.NoError(t, within(t, "close", closing))
	for name, done := range running {
		requireClosed(t, name, within(t, name, done))
	}
	for name, done := range nothing {
		err := within(t, name, done)
		requireClosed(t, name, err)
		requireOutcome(t, err, proglog.ErrNothingAppended)
	}
	requireClosed(t, "flush", within(t, "flush", going(func() error { <-p.Done(); return p.Flush(ctx) })))
}

// Goal: Close of a producer keeps to its context on a network that says nothing.
func TestProducerClosesInSilence(t *testing.T) {
	url, accepted := startSilent(t)
	p, err := connectTo(t, url).NewProducer(t.Context())
	require.NoError(t, err)
	sent := going(func() error { return sendOne(t.Context(), p) })
	<-accepted
	require.Eventually(t, func() bool { return p.WaitingSenders() == 1 }, 10*time.Second, time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = within(t, "close", going(func() error { return p.Close(ctx) }))
	assert.Equal(t, proglog.CodeCanceled, proglog.CodeOf(err), "%v", err)
	requireOutcome(t, within(t, "send", sent), proglog.ErrNothingAppended)
}

// Goal: a connection whose other side stopped reading, with everything full on the
// way, holds up neither the Close of a producer nor that of the client.
func TestCloseWhenNothingIsRead(t *testing.T) {
	for _, whole := range []bool{false, true} {
		f := startFake(t)
		url, stalled := startStalling(t, f)
		c := connectTo(t, url)
		p, err := c.NewProducer(t.Context(), proglog.MaxInFlight(64, 64<<20))
		require.NoError(t, err)
		require.NoError(t, sendOne(t.Context(), p))
		stalled.Store(true)
		value := make([]byte, 1<<20)
		var last proglog.Future
		for range 32 {
			last, err = p.Send(t.Context(), proglog.Record{Value: value})
			require.NoError(t, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if whole {
			require.NoError(t, within(t, "close of the client", going(c.Close)))
		} else {
			require.Error(t, within(t, "close of the producer", going(func() error { return p.Close(ctx) })))
		}
		require.Error(t, within(t, "producer", going(func() error { <-p.Done(); return p.Err() })))
		_, err = last.Wait(t.Context())
		require.Error(t, err)
		outcome := p.Outcome()
		assert.Equal(t, uint64(32), outcome.Unknown+outcome.NotInLog)
		assert.Zero(t, outcome.Pending)
	}
}

// Goal: the connections of a client end with it, so that a server does not keep
// them for nobody.
func TestCloseClosesConnections(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	c := connectTo(t, "http://"+listener.Addr().String())
	call := going(func() error { _, err := c.DescribeLog(t.Context(), ""); return err })
	conn, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, c.Close())
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = io.Copy(io.Discard, conn)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	requireClosed(t, "describe", within(t, "describe", call))
}

// Goal: the end of a call by its context is told as what it is, with the caller's
// own cause.
func TestHowContextsEnd(t *testing.T) {
	url, _ := startSilent(t)
	c := connectTo(t, url)
	mine := io.ErrNoProgress
	for _, row := range []struct {
		code proglog.Code
		ctx  func() (context.Context, context.CancelFunc)
		is   []error
	}{
		{proglog.CodeDeadlineExceeded, func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 10*time.Millisecond)
		}, []error{context.DeadlineExceeded}},
		{proglog.CodeCanceled, func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(10*time.Millisecond, func() { cancel(mine) })
			return ctx, func() { cancel(nil) }
		}, []error{context.Canceled, mine}},
	} {
		for name, call := range map[string]func(context.Context) error{
			"describe": func(ctx context.Context) error { _, err := c.DescribeLog(ctx, ""); return err },
			"produce":  func(ctx context.Context) error { _, err := c.Produce(ctx, record("a")); return err },
			"alone":    func(ctx context.Context) error { _, err := c.Produce(ctx, record("a"), proglog.Alone()); return err },
			"follow": func(ctx context.Context) (last error) {
				for _, err := range c.Follow(ctx) {
					last = err
				}
				return last
			},
		} {
			ctx, cancel := row.ctx()
			err := within(t, name, going(func() error { return call(ctx) }))
			cancel()
			assert.Equal(t, row.code, proglog.CodeOf(err), "%s: %v", name, err)
			for _, is := range row.is {
				assert.ErrorIs(t, err, is, name)
			}
		}
	}
}

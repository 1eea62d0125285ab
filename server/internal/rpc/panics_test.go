package rpc_test

import (
	"context"
	"regexp"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

// Goal: a panic of a handler, in whichever goroutine, becomes INTERNAL with an
// incident whose log line has the stack, and the server goes on.
func TestPanics(t *testing.T) {
	t.Parallel()
	f := &faulty{
		append: func(context.Context, commitlog.CommitLog, []commitlog.Batch) ([]commitlog.Ack, error) { panic(secret) },
		read:   func(uint64) error { panic(secret) },
	}
	s := serveFaulty(t, f, rpc.Options{})
	c, ctx := s.grpc(t), ctxWithPatience(t)
	check := func(err error) {
		t.Helper()
		detail := requireError(t, err, connect.CodeInternal, logv1.Reason_REASON_INTERNAL)
		require.False(t, detail.GetNothingAppended())
		require.NotContains(t, err.Error(), "secret")
		line := regexp.MustCompile(`.*` + detail.GetIncident() + `.*`).FindString(s.logs.String())
		require.Contains(t, line, "secret")
		require.Contains(t, line, "faults_test.go")
	}
	_, err := c.Produce(ctx, one("a"))
	check(err)
	_, err = c.Consume(ctx, &logv1.ConsumeRequest{})
	check(err)
	stream, err := c.ProduceStream(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(one("a")))
	_, err = stream.Receive()
	check(err)
}

// Goal: a panic while a stream's request is being received ends that stream, and
// not the server.
func TestPanicInReceive(t *testing.T) {
	t.Parallel()
	s := serveFaulty(t, &faulty{open: func() { panic(secret) }}, rpc.Options{})
	stream, err := s.grpc(t).ProduceStream(ctxWithPatience(t))
	require.NoError(t, err)
	require.NoError(t, stream.Send(one("a")))
	_, err = stream.Receive()
	requireError(t, err, connect.CodeInternal, logv1.Reason_REASON_INTERNAL)
	require.NotContains(t, err.Error(), "secret")
}

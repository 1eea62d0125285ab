package origin

import (
	"context"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/proglog/proglog/sdk/conformance/proglogtest"

	logv1 "github.com/proglog/proglog/sdk/conformance/origin/gen/log/v1"
)

// callLimit bounds a test that would otherwise wait for ever on a server that
// does not answer.
const callLimit = 60 * time.Second

// client starts a server and returns a client of it.
func client(t *testing.T) (context.Context, logv1.LogClient) {
	t.Helper()
	server := proglogtest.Start(t)
	conn, err := grpc.NewClient(server.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	t.Cleanup(cancel)
	return ctx, logv1.NewLogClient(conn)
}

func produce(ctx context.Context, t *testing.T, c logv1.LogClient, value string) uint64 {
	t.Helper()
	ack, err := c.Produce(ctx, &logv1.ProduceRequest{Record: &logv1.Record{Value: []byte(value)}})
	require.NoError(t, err)
	return ack.GetOffset()
}

// requireRecord fails unless the response holds a record, and that one.
func requireRecord(t *testing.T, got *logv1.ConsumeResponse, offset uint64, value string) {
	t.Helper()
	require.NotNil(t, got.GetRecord())
	require.Equal(t, offset, got.GetRecord().GetOffset())
	require.Equal(t, value, string(got.GetRecord().GetValue()))
}

// Goal: a record that was produced is consumed, at offset 0 in an empty log, and
// an empty value is a record too.
func TestProduceThenConsume(t *testing.T) {
	ctx, c := client(t)
	for offset, value := range []string{"hello world", "", "third"} {
		require.Equal(t, uint64(offset), produce(ctx, t, c, value))
	}
	for offset, value := range []string{"hello world", "", "third"} {
		got, err := c.Consume(ctx, &logv1.ConsumeRequest{Offset: uint64(offset)})
		require.NoError(t, err)
		requireRecord(t, got, uint64(offset), value)
	}
}

// Goal: Consume of an offset that is not there fails with OUT_OF_RANGE, in an
// empty log, at the end, and far beyond.
func TestConsumePastTheEnd(t *testing.T) {
	ctx, c := client(t)
	refused := func(offset uint64) {
		t.Helper()
		_, err := c.Consume(ctx, &logv1.ConsumeRequest{Offset: offset})
		require.Error(t, err)
		require.Equal(t, codes.OutOfRange, status.Code(err), "%v", err)
	}
	refused(0)
	last := produce(ctx, t, c, "hello world")
	refused(last + 1)
	refused(1 << 63)
}

// Goal: a request without a record is refused and appends nothing.
func TestNoRecord(t *testing.T) {
	ctx, c := client(t)
	_, err := c.Produce(ctx, &logv1.ProduceRequest{})
	require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
	require.Equal(t, uint64(0), produce(ctx, t, c, "the first"))
}

// Goal: two records sent over one ProduceStream are acked in order with their
// offsets, the stream ends OK after the half-close, and ConsumeStream gives both
// back. The client sends offsets as the origin's did; the server ignores them.
func TestProduceStreamAndConsumeStream(t *testing.T) {
	ctx, c := client(t)
	values := []string{"first message", "second message"}

	in, err := c.ProduceStream(ctx)
	require.NoError(t, err)
	for offset, value := range values {
		record := &logv1.Record{Value: []byte(value), Offset: uint64(offset) + 7}
		require.NoError(t, in.Send(&logv1.ProduceRequest{Record: record}))
		ack, err := in.Recv()
		require.NoError(t, err)
		require.Equal(t, uint64(offset), ack.GetOffset())
	}
	require.NoError(t, in.CloseSend())
	_, err = in.Recv()
	require.ErrorIs(t, err, io.EOF, "the stream must end OK")

	out, err := c.ConsumeStream(ctx, &logv1.ConsumeRequest{})
	require.NoError(t, err)
	for offset, value := range values {
		got, err := out.Recv()
		require.NoError(t, err)
		requireRecord(t, got, uint64(offset), value)
	}
}

// Goal: a tail that stands at the end receives what is produced later, and never
// a response without a record. Method: the tail has received the last record
// there is before each of the next ones is produced.
func TestTailReceivesWhatIsProducedLater(t *testing.T) {
	ctx, c := client(t)
	require.Equal(t, uint64(0), produce(ctx, t, c, "0"))
	tail, err := c.ConsumeStream(ctx, &logv1.ConsumeRequest{})
	require.NoError(t, err)
	for offset := range uint64(20) {
		got, err := tail.Recv()
		require.NoError(t, err)
		requireRecord(t, got, offset, strconv.FormatUint(offset, 10))
		produce(ctx, t, c, strconv.FormatUint(offset+1, 10))
	}
}

// Goal: an offset beyond the end is waited for: the first response is the record
// at that very offset.
func TestTailBeyondTheEnd(t *testing.T) {
	ctx, c := client(t)
	tail, err := c.ConsumeStream(ctx, &logv1.ConsumeRequest{Offset: 3})
	require.NoError(t, err)
	for _, value := range []string{"0", "1", "2", "3"} {
		produce(ctx, t, c, value)
	}
	got, err := tail.Recv()
	require.NoError(t, err)
	requireRecord(t, got, 3, "3")
}

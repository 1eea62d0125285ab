package main

import (
	"fmt"
	"path/filepath"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// Goal: a flipped bit costs DATA_LOSS for exactly its records, by each protocol,
// whether they are asked for one by one, in a batch or by a stream that runs into
// them; all others are read, and appends go on. Method: the real server on a
// directory whose segment was changed while it was stopped.
func TestDamageByEveryProtocol(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	served := startServe(t, "--data-dir", dir)
	c := newClient(t, served.addr)
	value := func(offset uint64) string { return fmt.Sprintf("the value at %d", offset) }
	for i := range uint64(3) { // each request is a frame
		_, err := c.Produce(t.Context(), &logv1.ProduceRequest{Records: []*logv1.Record{{Value: []byte(value(2 * i))}, {Value: []byte(value(2*i + 1))}}})
		require.NoError(t, err)
	}
	code, log := served.end(t)
	require.Equal(t, exitOK, code, log)
	flipValue(t, filepath.Join(dir, "segments"), value(3))

	s := startProcess(t, dir, 0)
	next := uint64(6)
	for _, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			c := p.client(t, s.addr)
			damaged := func(err error) {
				t.Helper()
				detail := requireReason(t, err, logv1.Reason_REASON_DATA_DAMAGED)
				require.Equal(t, connect.CodeDataLoss.String(), connect.CodeOf(err).String())
				require.Equal(t, uint64(2), detail.GetFirstOffset())
				require.Equal(t, uint64(4), detail.GetNextOffset())
				require.False(t, detail.GetNothingAppended())
			}
			for _, maxRecords := range []uint32{0, 9} {
				for offset := range uint64(6) {
					res, err := c.Consume(t.Context(), &logv1.ConsumeRequest{Offset: offset, MaxRecords: maxRecords})
					if offset == 2 || offset == 3 {
						damaged(err)
						continue
					}
					require.NoError(t, err)
					records := res.GetRecords()
					if maxRecords == 0 {
						records = []*logv1.Record{res.GetRecord()}
					}
					for i, r := range records {
						require.Equal(t, offset+uint64(i), r.GetOffset())
						if r.GetOffset() < 6 {
							require.Equal(t, value(r.GetOffset()), string(r.GetValue()))
						}
					}
				}
				stream, err := c.ConsumeStream(t.Context(), &logv1.ConsumeRequest{MaxRecords: maxRecords})
				require.NoError(t, err)
				for offset := uint64(0); offset < 2; {
					res, err := stream.Receive()
					require.NoError(t, err)
					for _, r := range append(res.GetRecords(), res.GetRecord()) {
						if r != nil {
							require.Equal(t, offset, r.GetOffset())
							require.Equal(t, value(offset), string(r.GetValue()))
							offset++
						}
					}
				}
				_, err = stream.Receive()
				damaged(err)
			}
			ack, err := c.Produce(t.Context(), &logv1.ProduceRequest{Record: &logv1.Record{}})
			require.NoError(t, err)
			require.Equal(t, next, ack.GetOffset())
			next++
		})
	}
}

package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// Goal: the same on the real server, whose acknowledgements survive a SIGKILL:
// with a disk that is too full for it, each retry has its outcome, reads and
// restarts go on, and with room again the refused request is taken under its
// number. Method: the bound on the free space is set beyond any disk.
func TestEveryOutcomeOfARetryAcrossKills(t *testing.T) {
	dir := t.TempDir()
	s := startProcess(t, dir, 0, "--create-on-produce", "*")
	type row struct {
		protocol protocol
		stream   bool
		sealed   bool
		log      string
		acks     []*logv1.ProduceResponse
	}
	var rows []*row
	for _, p := range protocols() {
		for _, stream := range []bool{false, true} {
			for _, sealed := range []bool{false, true} {
				if stream && !p.http2 {
					continue // it needs both directions at once
				}
				rows = append(rows, &row{protocol: p, stream: stream, sealed: sealed, log: fmt.Sprint("log/", len(rows))})
			}
		}
	}
	admin := newAdminClient(t, s.addr)
	for _, row := range rows {
		r := &retrier{client: row.protocol.client(t, s.addr), log: row.log, stream: row.stream}
		for i := range uint64(6) {
			row.acks = append(row.acks, r.accept(t, r.request(3, i), 2*i))
		}
		if row.sealed {
			_, err := admin.PutLog(t.Context(), &logv1.PutLogRequest{Log: row.log, Sealed: new(true)})
			require.NoError(t, err)
		}
	}
	for _, full := range []bool{false, true} {
		s.kill()
		var args []string
		if full {
			args = []string{"--min-free-bytes", "1000000000GiB"}
		}
		s = startProcess(t, dir, 0, args...)
		for _, row := range rows {
			t.Run(fmt.Sprintf("%s, stream=%v, sealed=%v, full=%v", row.protocol.name, row.stream, row.sealed, full), func(t *testing.T) {
				r := &retrier{client: row.protocol.client(t, s.addr), log: row.log, stream: row.stream}
				r.outcomes(t, state{sealed: row.sealed, full: full}, row.acks)
				res, err := r.client.Consume(t.Context(), &logv1.ConsumeRequest{Log: row.log, MaxRecords: 99})
				require.NoError(t, err)
				require.Len(t, res.GetRecords(), 12)
				require.Equal(t, uint64(12), res.GetNextOffset(), "nothing of it was appended")
			})
		}
	}
	s.kill()
	s = startProcess(t, dir, 0)
	for _, row := range rows {
		if !row.sealed {
			r := &retrier{client: row.protocol.client(t, s.addr), log: row.log, stream: row.stream}
			r.accept(t, r.request(3, 6), 12)
			r.accept(t, r.request(4, 0), 14)
		}
	}
}

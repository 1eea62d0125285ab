package main

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// Goal: 3,000 callers who write to as many logs at the same time are all
// answered by a server that may open 1,024 files: what one group touches does not
// have to be open at once. Otherwise the first group after a sync runs out of
// files, and the storage counts as failed until a restart.
func TestManyLogsAtOnce(t *testing.T) {
	const callers, connections = 3000, 4
	s := startProcess(t, t.TempDir(), 1024, "--create-on-produce", "tenant/")
	var clients []logv1connect.LogClient
	for range connections {
		c := newClient(t, s.addr)
		// Calls that find a connection share it; else each would make one.
		_, err := c.GetLog(t.Context(), &logv1.GetLogRequest{})
		require.NoError(t, err)
		clients = append(clients, c)
	}
	for range 2 { // they are made, and then written to again
		var wg sync.WaitGroup
		failed := make(chan error, callers)
		for i := range callers {
			wg.Go(func() {
				req := &logv1.ProduceRequest{Log: fmt.Sprint("tenant/", i), Record: &logv1.Record{}}
				if _, err := clients[i%connections].Produce(t.Context(), req); err != nil {
					failed <- err
				}
			})
		}
		wg.Wait()
		close(failed)
		require.NoError(t, <-failed, "%d of %d calls failed", len(failed)+1, callers)
	}
}

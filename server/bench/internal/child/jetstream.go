package child

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// serveJetStream runs nats-server as its own program does, with JetStream's file
// store. sync_interval: always makes it sync before it acks, as we do; its default
// is to sync every two minutes.
func serveJetStream(ctx context.Context, c Config) error {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: c.Dir, SyncAlways: c.SyncAlways,
		// As many bytes as the disk has: by default it takes part of it, and
		// refuses when a test's disk is small.
		JetStreamMaxStore: 1 << 40, JetStreamMaxMemory: 1 << 30,
	})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		return errors.New("nats-server does not listen")
	}
	tellReady(s.ClientURL())
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

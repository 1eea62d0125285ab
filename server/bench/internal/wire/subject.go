// Package wire holds the peers that are servers: ours, and what it is compared
// with, each in a process of its own, with its data in the directory that is
// measured, and reached over loopback through the client that it comes with.
package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/process"
)

// callLimit bounds one call: a peer that answers later is broken, not slow.
const callLimit = 30 * time.Second

// errRole reports a job that a peer cannot be given.
var errRole = errors.New("the peer does not do that")

// served is what all subjects of this package have: the server's process.
type served struct {
	process *process.Process
	ctx     context.Context // of all calls
	cancel  context.CancelFunc
	load    peer.Load
}

// startChild starts a server of package child.
func startChild(c child.Config, load peer.Load) (*served, error) {
	cmd, err := child.Command(c)
	if err != nil {
		return nil, err
	}
	s := newServed(load)
	if s.process, err = process.Start(s.ctx, cmd, child.Ready); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func newServed(load peer.Load) *served {
	s := &served{load: load}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// CPU implements [peer.Served].
func (s *served) CPU() (time.Duration, error) { return s.process.CPU() }

// Kill ends the server at once.
func (s *served) Kill() { s.process.Kill() }

// stop ends the server, in order if it can.
func (s *served) stop() (err error) {
	if s.process != nil {
		err = s.process.Stop()
	}
	s.cancel()
	return err
}

// checkLoad refuses loads that servers of this package are not asked to carry.
func checkLoad(load peer.Load) error {
	if load.Logs != 1 {
		return fmt.Errorf("%w: servers are measured with one log, not %d", errRole, load.Logs)
	}
	return nil
}

// pipeline runs the two halves of a producer: one sends, one takes answers. The
// failure of either ends both.
func pipeline(ctx context.Context, send, receive func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var sendErr error
	wg.Go(func() {
		if sendErr = send(ctx); sendErr != nil {
			cancel()
		}
	})
	err := receive(ctx)
	if err != nil {
		cancel()
	}
	wg.Wait()
	return errors.Join(sendErr, err)
}

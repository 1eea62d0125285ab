package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/proglog/proglog/server/torture/internal/load"
	"github.com/proglog/proglog/server/torture/internal/process"
)

// Lock starts servers on a directory that one has open under load: they have to leave
// at once, say why, and change nothing. Then the first is killed: what it leaves of its
// lock must keep nobody out.
func Lock(ctx context.Context, env *Env, seed uint64, cycles int) (tally Tally, err error) {
	dir, err := env.fresh("lock")
	if err != nil {
		return tally, err
	}
	s, err := newStorm(ctx, env, dir, seed)
	if s != nil {
		defer s.close()
	}
	if err != nil {
		return tally, err
	}
	return s.run(ctx, seed, cycles, s.openTwice)
}

// openTwice is one cycle.
func (s *storm) openTwice(ctx context.Context, seed uint64) error {
	began := time.Now()
	random := rand.New(rand.NewPCG(seed, 13))
	l, err := load.Start(ctx, s.server.URL(), seed, s.logs)
	if err != nil {
		return err
	}
	defer l.Abort()
	s.load = l
	if err := l.AwaitAcks(ctx, minAcks); err != nil {
		return err
	}
	if err := s.intrude(ctx, random); err != nil {
		return err
	}
	// One that is stopped does not answer, but still has its directory.
	if err := s.server.Pause(); err != nil {
		return err
	}
	if err := s.intrude(ctx, random); err != nil {
		return fmt.Errorf("beside a server that is stopped: %w", err)
	}
	if err := s.server.Resume(); err != nil {
		return err
	}
	if err := l.AwaitEach(ctx); err != nil {
		return fmt.Errorf("after others tried to open the directory: %w", err)
	}
	s.server.Kill()
	if err := s.start(ctx, random); err != nil {
		return fmt.Errorf("with the LOCK of a server that was killed: %w", err)
	}
	return s.finish(ctx, seed, "four more servers, SIGKILL and start", began, random)
}

// intrude starts two servers at the same time on the directory that is open.
func (s *storm) intrude(ctx context.Context, random *rand.Rand) error {
	c := s.config(random)
	c.Listen = ""
	results := make(chan error, 2)
	for range cap(results) {
		go func() {
			other, err := process.Start(ctx, c)
			if err == nil {
				other.Kill()
				results <- errors.New("a second server opened the data directory")
				return
			}
			exit, ok := errors.AsType[*process.ExitError](err)
			if !ok || exit.Cause == nil || !strings.Contains(exit.Log, "another process serves this data directory") {
				results <- fmt.Errorf("a second server does not say why it cannot start: %w", err)
				return
			}
			results <- nil
		}()
	}
	return errors.Join(<-results, <-results)
}

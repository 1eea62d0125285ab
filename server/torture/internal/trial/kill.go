package trial

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/proglog/proglog/server/torture/internal/process"
)

// Kill kills the server at random moments, on one data directory that goes on:
// SIGKILL as it runs, after a SIGSTOP, again while it starts; at times it is only
// stopped for a while before, or drained.
func Kill(ctx context.Context, env *Env, seed uint64, cycles int) (tally Tally, err error) {
	dir, err := env.fresh("kill")
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
	return s.run(ctx, seed, cycles, func(ctx context.Context, seed uint64) error { return s.cycle(ctx, seed, killed) })
}

// Verify kills the server while a trim may be under way, and has the binary check what
// it left before it is started again: a crash leaves no damage.
func Verify(ctx context.Context, env *Env, seed uint64, cycles int) (tally Tally, err error) {
	dir, err := env.fresh("verify")
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
	return s.run(ctx, seed, cycles, func(ctx context.Context, seed uint64) error { return s.cycle(ctx, seed, killedAndVerified) })
}

func killedAndVerified(ctx context.Context, s *storm, random *rand.Rand) (string, error) {
	after := time.Duration(random.Int64N(int64(400 * time.Millisecond)))
	pause(ctx, after)
	s.server.Kill()
	return fmt.Sprintf("SIGKILL after %v, verify", after), process.Verify(ctx, s.env.Bin, s.dataDir)
}

// killed is the fault of Kill.
func killed(ctx context.Context, s *storm, random *rand.Rand) (string, error) {
	after := time.Duration(random.Int64N(int64(400 * time.Millisecond)))
	pause(ctx, after)
	short := time.Duration(random.Int64N(int64(150 * time.Millisecond)))
	switch kind := random.IntN(10); kind {
	default:
		s.server.Kill()
		return fmt.Sprintf("SIGKILL after %v", after), nil
	case 0:
		did := fmt.Sprintf("SIGSTOP after %v for %v, SIGCONT, SIGKILL", after, short)
		if err := s.server.Pause(); err != nil {
			return did, err
		}
		pause(ctx, short)
		if err := s.server.Resume(); err != nil {
			return did, err
		}
		pause(ctx, short)
		s.server.Kill()
		return did, nil
	case 1:
		did := fmt.Sprintf("SIGSTOP after %v, SIGKILL %v later", after, short)
		if err := s.server.Pause(); err != nil {
			return did, err
		}
		pause(ctx, short)
		s.server.Kill()
		return did, nil
	case 2, 3:
		s.server.Kill()
		did := fmt.Sprintf("SIGKILL after %v", after)
		for n := 1 + random.IntN(3); n > 0; n-- {
			in := time.Duration(random.Int64N(int64(60 * time.Millisecond)))
			did += fmt.Sprintf(", again %v into the start", in)
			if err := process.StartAndKill(ctx, s.config(random), in); err != nil {
				return did, err
			}
		}
		return did, nil
	case 4:
		return fmt.Sprintf("SIGTERM after %v", after), s.server.Stop()
	}
}

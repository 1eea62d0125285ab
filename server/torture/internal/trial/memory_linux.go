package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/proglog/proglog/server/torture/internal/load"

	proglog "github.com/proglog/proglog/sdk/go"
)

const (
	// memoryLimit is what the cgroup gives the server. Of it the Go runtime takes
	// memoryGo, which an operator says by GOMEMLIMIT, and requests memoryRequests.
	memoryLimit    = 256 << 20
	memoryGo       = 192 << 20
	memoryRequests = 48 << 20
)

// Memory offers the server more than its memory, which a cgroup limits: it must refuse
// with RESOURCE_EXHAUSTED and nothing else, must not be killed, and keeps what it
// acknowledged.
func Memory(ctx context.Context, env *Env, seed uint64, cycles int) (tally Tally, err error) {
	group, err := newCgroup()
	if err != nil {
		return tally, &Unavailable{Why: err.Error()}
	}
	defer func() { err = errors.Join(err, group.remove()) }()
	dir, err := env.fresh("memory")
	if err != nil {
		return tally, err
	}
	s, err := newStorm(ctx, env, dir, seed,
		"--max-value-bytes", "1MiB", "--max-batch-bytes", "1MiB", "--journal-file-bytes", "4MiB",
		"--max-request-memory", strconv.Itoa(memoryRequests), "--queue-bytes", "16MiB")
	if s != nil {
		defer s.close() // before the group is removed
	}
	if err != nil {
		return tally, err
	}
	// From the second start on; the limit is put on the process when it is there.
	s.vars = []string{fmt.Sprintf("GOMEMLIMIT=%d", memoryGo)}
	s.server.Kill()
	if err := s.start(ctx, rand.New(rand.NewPCG(seed, 19))); err != nil {
		return tally, err
	}
	client, err := proglog.New(s.server.URL())
	if err != nil {
		return tally, err
	}
	defer client.Close()
	if _, err := client.CreateLog(ctx, pressLog, proglog.Retain(proglog.Retention{MaxBytes: 64 << 20})); err != nil {
		return tally, err
	}
	return s.run(ctx, seed, cycles, func(ctx context.Context, seed uint64) error { return s.press(ctx, group, seed) })
}

// press is one cycle.
func (s *storm) press(ctx context.Context, group *cgroup, seed uint64) error {
	began := time.Now()
	random := rand.New(rand.NewPCG(seed, 17))
	if err := group.add(s.server.Pid()); err != nil {
		return err
	}
	l, err := load.Start(ctx, s.server.URL(), seed, s.logs)
	if err != nil {
		return err
	}
	defer l.Abort()
	s.load = l
	if err := l.AwaitAcks(ctx, minAcks); err != nil {
		return err
	}
	taken, refused, err := pressHard(ctx, s.server.URL())
	if err != nil {
		return fmt.Errorf("under pressure: %w", err)
	}
	select {
	case <-s.server.Exited():
		return errors.New("the server is gone: killed for its memory, or ended by itself")
	default:
	}
	peak, err := group.peak()
	if err != nil {
		return err
	}
	did := fmt.Sprintf("%d requests of %d MiB taken, %d refused, at most %d of %d MiB used", taken, pressValue>>20, refused, peak>>20, memoryLimit>>20)
	return s.finish(ctx, seed, did, began, random)
}

// cgroup limits the memory of processes, in either version of the kernel's interface.
type cgroup struct {
	dir    string
	peakAs string // the file that tells the most that was used
}

func newCgroup() (*cgroup, error) {
	for _, version := range []struct{ parent, limit, peak string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"},
		{"/sys/fs/cgroup", "memory.max", "memory.peak"},
	} {
		dir, err := os.MkdirTemp(version.parent, "proglog-torture-")
		if err != nil {
			continue
		}
		g := &cgroup{dir: dir, peakAs: version.peak}
		if err := os.WriteFile(filepath.Join(dir, version.limit), []byte(strconv.Itoa(memoryLimit)), 0o600); err == nil {
			return g, nil
		}
		if err := g.remove(); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("a cgroup that limits memory cannot be made: that needs root and a writable /sys/fs/cgroup")
}

func (g *cgroup) add(pid int) error {
	return os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600)
}

func (g *cgroup) peak() (int64, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, g.peakAs))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// remove removes the group. Processes that were killed leave it a little later than
// their parent hears of it.
func (g *cgroup) remove() error {
	for deadline := time.Now().Add(5 * time.Second); ; {
		err := os.Remove(g.dir)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/proglog/proglog/server/torture/internal/disk"
	"github.com/proglog/proglog/server/torture/internal/load"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

const (
	// smallDisk is the size of the disk that is filled up.
	smallDisk = 384 << 20
	// minFree is --min-free-bytes of this trial: more than a server writes between
	// two looks at the free space.
	minFree = 64 << 20
	// roomLimit is how long appends may be refused once there is room again.
	roomLimit = 2 * time.Second
)

// FullAsShipped returns the trial that fills a file system up under a server with
// its default limits, but for the sizes of records, which the load needs: its journal's
// files are far larger than those of the other trials.
func FullAsShipped(kind string) func(context.Context, *Env, uint64, int) (Tally, error) {
	return func(ctx context.Context, env *Env, seed uint64, cycles int) (Tally, error) {
		asShipped := *env
		asShipped.asShipped = true
		return Full(kind, false)(ctx, &asShipped, seed, cycles)
	}
}

// Full returns the trial that fills a small file system up under load. If it is
// sudden, another program takes all that is free between two writes of the server;
// otherwise so much that less is left than the server wants to be.
func Full(kind string, sudden bool) func(context.Context, *Env, uint64, int) (Tally, error) {
	return func(ctx context.Context, env *Env, seed uint64, cycles int) (tally Tally, err error) {
		if err := disk.Check(kind); err != nil {
			return tally, &Unavailable{Why: err.Error()}
		}
		dir, err := env.fresh("full-" + kind)
		if err != nil {
			return tally, err
		}
		size := int64(smallDisk)
		if kind == "xfs" {
			size = powerDisk
		}
		d, err := disk.Make(ctx, dir, kind, size)
		if d != nil {
			defer func() { err = errors.Join(err, d.Unmount()) }()
		}
		if err != nil {
			return tally, err
		}
		s, err := newStorm(ctx, env, filepath.Join(d.Dir, "data"), seed, "--min-free-bytes", fmt.Sprint(minFree))
		if s != nil {
			defer s.close()
		}
		if err != nil {
			return tally, err
		}
		return s.run(ctx, seed, cycles, func(ctx context.Context, seed uint64) error { return s.fill(ctx, d, seed, sudden) })
	}
}

// fill is one cycle: the disk gets full; appends are refused, reads are served; at
// times the server is stopped or killed then, and started on the full disk, where
// it serves reads; there is room again; appends go on by themselves.
func (s *storm) fill(ctx context.Context, d *disk.Disk, seed uint64, sudden bool) error {
	began := time.Now()
	random := rand.New(rand.NewPCG(seed, 5))
	l, err := load.Start(ctx, s.server.URL(), seed, s.logs)
	if err != nil {
		return err
	}
	defer l.Abort()
	s.load = l
	if err := l.AwaitAcks(ctx, minAcks); err != nil {
		return fmt.Errorf("before the fault: %w", err)
	}
	pause(ctx, time.Duration(random.Int64N(int64(200*time.Millisecond))))
	defer func() { err = errors.Join(err, d.Empty()) }()
	// At times the rest goes in one moment, at times there is just less than the
	// server wants to be left: it has to refuse before it meets the end.
	leave := int64(0)
	if !sudden {
		leave = minFree / 2
	}
	if err := d.Fill(leave); err != nil {
		return err
	}
	p := newProbe(s.server.URL(), s.logs[0])
	defer p.close()
	did := "a full " + d.FS
	reasons := []logv1.Reason{logv1.Reason_REASON_STORAGE_FULL}
	if sudden {
		did = "a suddenly full " + d.FS
		// A write that the server could not foresee to fail may end appends until a
		// restart, but nothing else.
		reasons = append(reasons, logv1.Reason_REASON_STORAGE_FAILED)
	}
	reason, err := p.awaitRefusal(ctx, reasons...)
	if err != nil {
		return fmt.Errorf("on %s: %w", did, err)
	}
	did += fmt.Sprintf(", %v", reason)
	if err := d.Fill(0); err != nil {
		return err
	}
	if err := readable(ctx, s.server, s.logs, false); err != nil {
		return fmt.Errorf("on %s: %w", did, err)
	}
	poisoned := reason == logv1.Reason_REASON_STORAGE_FAILED
	if poisoned || random.IntN(3) > 0 {
		// Twice: the first start may have spent what space was kept for it.
		for range 2 {
			restarted, err := s.restartFull(ctx, d, random, poisoned)
			did += ", " + restarted
			if err != nil {
				return fmt.Errorf("on %s: %w", did, err)
			}
			poisoned = false
		}
	}
	if err := d.Empty(); err != nil {
		return err
	}
	took, err := p.awaitAck(ctx, roomLimit, logv1.Reason_REASON_STORAGE_FULL)
	if err != nil {
		return fmt.Errorf("on %s, with room again: %w", did, err)
	}
	return s.finish(ctx, seed, fmt.Sprintf("%s, room: appends after %.2f s", did, took.Seconds()), began, random)
}

// restartFull ends the server on a full disk and starts it there again. Either way it
// has to serve reads. One that is poisoned cannot end well; every other exits with 0,
// also if there was no room for its last checkpoint.
func (s *storm) restartFull(ctx context.Context, d *disk.Disk, random *rand.Rand, poisoned bool) (did string, err error) {
	if random.IntN(2) == 0 {
		did = "SIGKILL"
		s.server.Kill()
	} else {
		did = "SIGTERM"
		if err := s.server.Stop(); err != nil {
			if !poisoned {
				return did, err
			}
			did += " with exit code 1"
		}
	}
	if err := d.Fill(0); err != nil { // the end may have left some room
		return did, err
	}
	did += " and start"
	if err := s.start(ctx, random); err != nil {
		return did, err
	}
	return did, readable(ctx, s.server, s.logs, false)
}

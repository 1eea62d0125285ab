package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proglog/proglog/server/torture/internal/disk"
	"github.com/proglog/proglog/server/torture/internal/load"
	"github.com/proglog/proglog/server/torture/internal/process"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// failLimit is how long the chosen sectors may take to be written to, under load.
const failLimit = 20 * time.Second

// Sectors returns the trial in which chosen sectors refuse to be written: those of the
// journal, those of segments, or all.
func Sectors(kind string) func(context.Context, *Env, uint64, int) (Tally, error) {
	return func(ctx context.Context, env *Env, seed uint64, cycles int) (tally Tally, err error) {
		if err := disk.CheckFaulty(kind); err != nil {
			return tally, &Unavailable{Why: err.Error()}
		}
		dir, err := env.fresh("eio-" + kind)
		if err != nil {
			return tally, err
		}
		d, err := disk.MakeFaulty(ctx, dir, kind, powerDisk)
		if d != nil {
			defer func() { err = errors.Join(err, d.Close()) }()
		}
		if err != nil {
			return tally, err
		}
		s, err := newStorm(ctx, env, filepath.Join(d.Dir, "data"), seed)
		if s != nil {
			defer s.close()
		}
		if err != nil {
			return tally, err
		}
		return s.run(ctx, seed, cycles, func(ctx context.Context, seed uint64) error { return s.breakSectors(ctx, d, seed) })
	}
}

// breakSectors is one cycle. Sectors fail; once the server has met one it takes no more
// appends, and reads go on. The device heals, the server is killed and started over the
// same page cache, which may hold what the device has not; load and audit. Then the
// power is cut, so that only what the device has is left, and the audit is made once
// more.
func (s *storm) breakSectors(ctx context.Context, d *disk.Faulty, seed uint64) error {
	began := time.Now()
	random := rand.New(rand.NewPCG(seed, 11))
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
	did, err := s.failSectors(ctx, d, random)
	if err != nil {
		return fmt.Errorf("%s: %w", did, err)
	}
	s.server.Kill()
	did += fmt.Sprintf(" (%d writes)", d.Heal())
	// A write of the file system's own may have been among them. After that it neither
	// reads nor writes, and only a new mount ends it.
	if err := d.Works(); err != nil {
		did += fmt.Sprintf(", after which the file system gave up (%v)", err)
		if err := d.Replug(ctx); err != nil {
			return err
		}
	}
	refusals, err := s.startAfterErrors(ctx, random)
	if err != nil {
		return fmt.Errorf("after %s: %w", did, err)
	}
	if refusals > 0 {
		did += fmt.Sprintf(", %d starts refused", refusals)
	}
	if err := s.finish(ctx, seed, did, began, random); err != nil {
		return err
	}
	if err := d.Cut(); err != nil {
		return err
	}
	s.server.Kill()
	if err := d.Replug(ctx); err != nil {
		return err
	}
	if err := s.start(ctx, random); err != nil {
		return fmt.Errorf("after %s and a power cut: %w", did, err)
	}
	if _, err := s.audit(ctx); err != nil {
		return fmt.Errorf("after %s and a power cut: %w", did, err)
	}
	return nil
}

// startAfterErrors starts the server where writes have failed. Linux reports a failure
// that the killed server did not hear of to the next one that syncs the file; a start
// that refuses for it is right to, and the one after it has to succeed.
func (s *storm) startAfterErrors(ctx context.Context, random *rand.Rand) (refusals int, err error) {
	const most = 16 // each may hear of another file
	for {
		err := s.start(ctx, random)
		exit, ok := errors.AsType[*process.ExitError](err)
		if !ok || refusals == most || !strings.Contains(exit.Log, unix.EIO.Error()) {
			return refusals, err
		}
		refusals++
	}
}

// failSectors has sectors fail until the server has met one, and holds it to what it has
// to do then.
func (s *storm) failSectors(ctx context.Context, d *disk.Faulty, random *rand.Rand) (did string, err error) {
	journal, err := d.Extents("data/journal/*.journal")
	if err != nil {
		return "find the journal", err
	}
	var marks [][]byte
	for _, log := range s.logs {
		marks = append(marks, log.History.Mark())
	}
	var refuse func(at int64, data []byte) bool
	damaged := false // what is in segments may not be readable until the restart
	switch random.IntN(5) {
	case 0, 1:
		did = "EIO on the journal"
		refuse = func(at int64, data []byte) bool { return disk.Overlaps(journal, at, len(data)) }
	case 2, 3:
		// By what is in them: where a segment will lie is not known before it is written.
		// What the page cache then drops, only the journal has.
		did, damaged = "EIO on segments", true
		refuse = func(at int64, data []byte) bool {
			return !disk.Overlaps(journal, at, len(data)) && disk.Contains(marks, data)
		}
	default:
		did, damaged = "EIO on everything", true
		refuse = func(int64, []byte) bool { return true }
	}
	s.load.Forgive(damaged)
	first := d.Fail(refuse)
	timer := time.NewTimer(failLimit)
	defer timer.Stop()
	select {
	case <-first:
	case <-timer.C:
		return did, errors.New("nothing was written to the chosen sectors: the rig proves nothing")
	}
	p := newProbe(s.server.URL(), s.logs[0])
	defer p.close()
	if _, err := p.awaitRefusal(ctx, logv1.Reason_REASON_STORAGE_FAILED); err != nil {
		return did, err
	}
	var refused []time.Duration
	for _, log := range s.logs {
		refused = append(refused, log.History.Now())
	}
	if err := readable(ctx, s.server, s.logs, damaged); err != nil {
		return did, err
	}
	if _, err := p.awaitRefusal(ctx, logv1.Reason_REASON_STORAGE_FAILED); err != nil {
		return did, err
	}
	for i, log := range s.logs {
		if n := log.History.AckedOf(refused[i]); n > 0 {
			return did, fmt.Errorf("%d requests on log %q were sent after the storage had failed, and acknowledged", n, log.Name)
		}
	}
	return did, nil
}

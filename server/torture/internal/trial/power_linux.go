package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/proglog/proglog/server/torture/internal/disk"
	"github.com/proglog/proglog/server/torture/internal/process"
)

// powerDisk is the size of the disk whose power is cut; xfs takes no less.
const powerDisk = 512 << 20

// Power returns the trial that cuts the power of a real file system under load, on
// one data directory that goes on.
func Power(kind string) func(context.Context, *Env, uint64, int) (Tally, error) {
	return func(ctx context.Context, env *Env, seed uint64, cycles int) (tally Tally, err error) {
		if err := disk.Check(kind); err != nil {
			return tally, &Unavailable{Why: err.Error()}
		}
		dir, err := env.fresh("power-" + kind)
		if err != nil {
			return tally, err
		}
		d, err := disk.Make(ctx, dir, kind, powerDisk)
		if d != nil {
			defer func() { err = errors.Join(err, d.Unmount()) }()
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
		cut := powerCut(d)
		return s.run(ctx, seed, cycles, func(ctx context.Context, seed uint64) error { return s.cycle(ctx, seed, cut) })
	}
}

// powerCut is the fault: the disk loses what was not synced, the server is killed,
// and the file system mounted again. At times the server is killed and started
// first, so that recovery meets what a killed process left in the page cache; at
// times the power goes again while it recovers.
func powerCut(d *disk.Disk) fault {
	return func(ctx context.Context, s *storm, random *rand.Rand) (string, error) {
		after := time.Duration(random.Int64N(int64(400 * time.Millisecond)))
		did := fmt.Sprintf("power cut of %s after %v", d.FS, after)
		kept, err := writeCanary(filepath.Join(d.Dir, "kept"), true)
		if err != nil {
			return did, err
		}
		pause(ctx, after)
		if random.IntN(4) == 0 {
			s.server.Kill()
			in := time.Duration(random.Int64N(int64(80 * time.Millisecond)))
			did = fmt.Sprintf("SIGKILL, and power cut of %s %v into the start", d.FS, in)
			if err := process.StartAndKill(ctx, s.config(random), in); err != nil {
				return did, err
			}
		}
		for again := random.IntN(4) == 0; ; again = false {
			gone, err := writeCanary(filepath.Join(d.Dir, "gone"), false)
			if err != nil {
				return did, err
			}
			// Until it is killed the server runs on over a dead disk, of which it must
			// make no ack. What it tells readers then nobody would hear.
			s.load.Forgive(true)
			if err := d.Cut(); err != nil {
				return did, err
			}
			s.server.Kill()
			if err := d.Replug(ctx); err != nil {
				return did, err
			}
			if err := checkCanaries(d, kept, gone); err != nil || !again {
				return did, err
			}
			in := time.Duration(random.Int64N(int64(80 * time.Millisecond)))
			did += fmt.Sprintf(", again %v into the start", in)
			if err := process.StartAndKill(ctx, s.config(random), in); err != nil {
				return did, err
			}
		}
	}
}

// writeCanary writes a file, with a sync of it and its directory or without.
func writeCanary(name string, synced bool) (content []byte, err error) {
	content = bytes.Repeat([]byte("canary "), 8<<10)
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	_, err = file.Write(content)
	if synced {
		err = errors.Join(err, file.Sync(), syncDir(filepath.Dir(name)))
	}
	return content, errors.Join(err, file.Close())
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// checkCanaries holds the cut itself to account: one that keeps what was not synced
// proves nothing, and one that loses what was is no power cut.
func checkCanaries(d *disk.Disk, kept, gone []byte) error {
	got, err := os.ReadFile(filepath.Join(d.Dir, "kept"))
	if err != nil || !bytes.Equal(got, kept) {
		return fmt.Errorf("the rig is broken: a synced file did not survive the cut (%d bytes, %w)", len(got), err)
	}
	got, err = os.ReadFile(filepath.Join(d.Dir, "gone"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("the rig is broken: %w", err)
	case bytes.Equal(got, gone):
		return errors.New("the rig is broken: a file that was not synced survived the cut")
	}
	return os.Remove(filepath.Join(d.Dir, "gone"))
}

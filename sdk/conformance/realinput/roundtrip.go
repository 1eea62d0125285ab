package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// roundTrip produces the input as a file, consumes it, and prints the figures.
func (r *run) roundTrip(ctx context.Context) error {
	dataDir := filepath.Join(r.dir, "roundtrip")
	s, err := r.serve(ctx, dataDir, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer s.kill()

	began := time.Now()
	p, err := r.produce(ctx, s.addr, nil, r.input.path)
	if err != nil {
		return err
	}
	if err := p.complete(); err != nil {
		return err
	}
	r.speed("produce", time.Since(began))

	began = time.Now()
	if err := r.whole(ctx, s.addr); err != nil {
		return err
	}
	r.speed("consume", time.Since(began))

	memory := s.peakMemory()
	if err := r.finish(ctx, s, dataDir); err != nil {
		return err
	}
	journal, other, err := diskUse(dataDir)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "server      %s of memory at most; on the disk %s, and %s of journal files, which are used again\n",
		megabytes(memory), megabytes(other), megabytes(journal))
	return nil
}

// speed prints how long all of the input took one way.
func (r *run) speed(way string, took time.Duration) {
	fmt.Fprintf(r.out, "%-11s %.2f s, %.1f MB/s, %.0f lines/s\n", way, took.Seconds(),
		float64(r.input.bytes)/1e6/took.Seconds(), float64(r.input.lines)/took.Seconds())
}

// finish drains a server and verifies its data directory.
func (r *run) finish(ctx context.Context, s *server, dataDir string) error {
	if err := s.stop(); err != nil {
		return err
	}
	return r.verify(ctx, dataDir)
}

// diskUse returns the bytes of the journal files in a data directory, whose
// number is bounded, and those of everything else.
func diskUse(dataDir string) (journal, other int64, err error) {
	err = filepath.WalkDir(dataDir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if filepath.Ext(name) == ".journal" {
			journal += info.Size()
		} else {
			other += info.Size()
		}
		return nil
	})
	return journal, other, err
}

// megabytes formats a number of bytes; 0 stands for one that is not known.
func megabytes(n int64) string {
	if n == 0 {
		return "? MB"
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

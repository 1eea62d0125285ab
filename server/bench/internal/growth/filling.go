package growth

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	plog "github.com/proglog/proglog/server/log"
)

// A filling is what one goroutine wrote to a subject.
type filling struct {
	batch  *peer.Batch
	writer peer.Writer
	places []peer.Place // of each batch
}

// fillers is how many goroutines fill a data directory that has many logs.
const fillers = 64

// fill appends so many batches to every log, all to one log from one goroutine,
// and reports how long that took.
func fill(s peer.Subject, load peer.Load, batches int) ([]*filling, time.Duration, error) {
	all := make([]*filling, min(load.Logs, fillers))
	errs := make([]error, len(all))
	for i := range all {
		b := peer.NewBatch(i, load.Batch, load.ValueBytes)
		all[i] = &filling{batch: b, writer: s.Writer(i, b)}
	}
	began := time.Now()
	var wg sync.WaitGroup
	for i, f := range all {
		wg.Go(func() {
			for log := i; log < load.Logs && errs[i] == nil; log += len(all) {
				errs[i] = f.append(log, batches)
			}
		})
	}
	wg.Wait()
	return all, time.Since(began), errors.Join(errs...)
}

func (f *filling) append(log, batches int) error {
	for range batches {
		f.batch.Stamp(f.seq(len(f.places)))
		offset, err := f.writer.Append(log)
		if err != nil {
			return err
		}
		f.places = append(f.places, peer.Place{Log: log, Offset: offset})
	}
	return nil
}

// seq is the number of the first record of the n-th batch.
func (f *filling) seq(n int) uint64 { return uint64(n * len(f.batch.Values)) }

// check opens the directory anew and reads every record.
func check(dir string, options plog.Options, load peer.Load, all []*filling) (err error) {
	s, err := peer.Engine{Options: options}.Open(dir, load)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var want uint64
	for _, f := range all {
		want += f.seq(len(f.places))
		if err := f.check(s); err != nil {
			return fmt.Errorf("%w: %w", measure.ErrLost, err)
		}
	}
	if n, err := s.Count(); err != nil || n != want {
		return errors.Join(err, fmt.Errorf("%w: %d were acked, %d are there", measure.ErrLost, want, n))
	}
	return nil
}

func (f *filling) check(s peer.Subject) (err error) {
	var buf []byte
	for i, at := range f.places {
		for j := range f.batch.Values {
			place := peer.Place{Log: at.Log, Offset: at.Offset + uint64(j)}
			if buf, err = s.Value(place, buf); err == nil {
				err = f.batch.Check(buf, f.seq(i)+uint64(j))
			}
			if err != nil {
				return fmt.Errorf("log %d, offset %d: %w", place.Log, place.Offset, err)
			}
		}
	}
	return nil
}

// diskBytes is what all files below dir take on the disk, directories included.
func diskBytes(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		n += st.Blocks * 512
		return nil
	})
	return n, err
}

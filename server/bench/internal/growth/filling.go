package growth

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	plog "github.com/proglog/proglog/server/log"
)

// A filling is an engine with one writer, and all that it wrote.
type filling struct {
	load    peer.Load
	subject peer.Subject
	batch   *peer.Batch
	writer  peer.Writer
	places  []peer.Place // of each batch
}

func newFilling(dir string, options plog.Options, load peer.Load) (*filling, error) {
	s, err := peer.Engine{Options: options}.Open(dir, load)
	if err != nil {
		return nil, err
	}
	f := &filling{load: load, subject: s, batch: peer.NewBatch(0, load.Batch, load.ValueBytes)}
	f.writer = s.Writer(0, f.batch)
	return f, nil
}

func (f *filling) append(log int) error {
	f.batch.Stamp(uint64(len(f.places) * f.load.Batch))
	offset, err := f.writer.Append(log)
	f.places = append(f.places, peer.Place{Log: log, Offset: offset})
	return err
}

// check opens the directory anew and reads every record.
func (f *filling) check(dir string, options plog.Options) (err error) {
	s, err := peer.Engine{Options: options}.Open(dir, f.load)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	n, err := s.Count()
	if err != nil {
		return err
	}
	if want := uint64(len(f.places) * f.load.Batch); n != want {
		return fmt.Errorf("%w: %d were acked, %d are there", measure.ErrLost, want, n)
	}
	var buf []byte
	for i, at := range f.places {
		for j := range f.load.Batch {
			place := peer.Place{Log: at.Log, Offset: at.Offset + uint64(j)}
			if buf, err = s.Value(place, buf); err == nil {
				err = f.batch.Check(buf, uint64(i*f.load.Batch+j))
			}
			if err != nil {
				return fmt.Errorf("%w: log %d, offset %d: %w", measure.ErrLost, place.Log, place.Offset, err)
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

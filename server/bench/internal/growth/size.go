package growth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
)

// Size is how one log does at a size, beside raw I/O at that size.
type Size struct {
	Bytes int64 // of values
	Heap  int64 // at rest, of the log opened anew and read all over, above what was before

	Append, Read       float64   // records a second, medians of the rounds
	AppendRaw, ReadRaw []float64 // in each round: our rate beside that of raw I/O
}

// What a log that grows is filled with.
const (
	SizeValueBytes = 1 << 10
	fillBatch      = 1000 // of the filling
	SizeBatch      = 100  // of the appends that are measured
)

// Sizes are five sizes up to the largest, each twice the one before.
func Sizes(largest int64) (list []int64) {
	for shift := 4; shift >= 0; shift-- {
		list = append(list, largest>>shift)
	}
	return list
}

// MeasureSizes fills one log, and at each size, in each round, measures for so long
// appends beside a bare loop of write and fdatasync, and reads at random beside bare
// reads of as many bytes from the log's own files. Values that were read are checked.
func MeasureSizes(ctx context.Context, dir string, sizes []int64, rounds int, each time.Duration) (list []Size, err error) {
	err = within(dir, func(own string) error {
		g, err := newGrowing(own, each)
		if err != nil {
			return err
		}
		for _, size := range sizes {
			one, err := g.at(ctx, size, rounds)
			if err != nil {
				return errors.Join(err, g.close())
			}
			list = append(list, one)
		}
		return g.close()
	})
	if err != nil {
		return nil, fmt.Errorf("a log that grows: %w", err)
	}
	return list, nil
}

// growing is a log that grows, and the bare loop beside it.
type growing struct {
	dir      string // of our engine
	each     time.Duration
	baseline uint64 // heap
	log, raw peer.Subject
	filler   *appender
	ours     *appender
	bare     *appender
	random   *rand.Rand
	records  uint64
}

// An appender appends a batch again and again.
type appender struct {
	batch  *peer.Batch
	writer peer.Writer
}

func newAppender(s peer.Subject, b *peer.Batch) *appender {
	return &appender{batch: b, writer: s.Writer(0, b)}
}

func newGrowing(own string, each time.Duration) (_ *growing, err error) {
	// Before the heap is looked at: they are ours, and not the log's.
	fill, ours, raw := peer.NewBatch(0, fillBatch, SizeValueBytes), peer.NewBatch(0, SizeBatch, SizeValueBytes), peer.NewBatch(0, SizeBatch, SizeValueBytes)
	g := &growing{dir: filepath.Join(own, "log"), each: each, baseline: heapAtRest(), random: rand.New(rand.NewPCG(1, 2))}
	bare := filepath.Join(own, "bare")
	if err := errors.Join(os.Mkdir(g.dir, 0o700), os.Mkdir(bare, 0o700)); err != nil {
		return nil, err
	}
	if err := g.open(fill, ours); err != nil {
		return nil, err
	}
	if g.raw, err = (peer.Bare{}).Open(bare, sizeLoad); err != nil {
		return nil, errors.Join(err, g.log.Close())
	}
	g.bare = newAppender(g.raw, raw)
	return g, nil
}

var sizeLoad = peer.Load{Logs: 1, Writers: 1, Batch: SizeBatch, ValueBytes: SizeValueBytes}

// open opens our engine's log.
func (g *growing) open(fill, ours *peer.Batch) error {
	log, err := (peer.Engine{}).Open(g.dir, sizeLoad)
	if err != nil {
		return err
	}
	g.log, g.filler, g.ours = log, newAppender(log, fill), newAppender(log, ours)
	return nil
}

// heapOpened opens the log anew, so that nothing waits for its segment (that has a
// limit of its own, and its own measurement), reads all over it, and returns the heap.
func (g *growing) heapOpened() (int64, error) {
	if err := g.log.Close(); err != nil {
		return 0, err
	}
	if err := g.open(g.filler.batch, g.ours.batch); err != nil {
		return 0, err
	}
	if _, _, err := g.reads(); err != nil {
		return 0, err
	}
	return max(0, int64(heapAtRest())-int64(g.baseline)), nil
}

func (g *growing) close() error { return errors.Join(g.log.Close(), g.raw.Close()) }

// heap is what is in use after a collection, in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// heapAtRest is the same without what pools hold, which they keep over one collection.
func heapAtRest() uint64 {
	runtime.GC()
	return heap()
}

// at fills the log up to a size and measures there.
func (g *growing) at(ctx context.Context, size int64, rounds int) (s Size, err error) {
	for int64(g.records)*SizeValueBytes < size {
		if err := errors.Join(ctx.Err(), g.append(g.filler)); err != nil {
			return s, err
		}
	}
	s.Bytes = int64(g.records) * SizeValueBytes
	var appends, reads []float64
	for range rounds {
		if err := errors.Join(ctx.Err(), measure.Settle(g.dir)); err != nil {
			return s, err
		}
		ours, err := g.rate(SizeBatch, func() error { return g.append(g.ours) })
		if err != nil {
			return s, err
		}
		raw, err := g.rate(SizeBatch, func() error { _, err := g.bare.writer.Append(0); return err })
		if err != nil {
			return s, err
		}
		appends, s.AppendRaw = append(appends, ours), append(s.AppendRaw, ours/raw)
		if err := measure.Settle(g.dir); err != nil {
			return s, err
		}
		ours, raw, err = g.reads()
		if err != nil {
			return s, err
		}
		reads, s.ReadRaw = append(reads, ours), append(s.ReadRaw, ours/raw)
	}
	s.Append, s.Read = measure.Median(appends), measure.Median(reads)
	s.Heap, err = g.heapOpened()
	return s, err
}

func (g *growing) append(a *appender) error {
	a.batch.Stamp(g.records)
	first, err := a.writer.Append(0)
	if err == nil && first != g.records {
		err = fmt.Errorf("%w: record %d got the offset %d", measure.ErrLost, g.records, first)
	}
	g.records += uint64(len(a.batch.Values))
	return err
}

// rate is how many records a second a loop comes to.
func (g *growing) rate(records int, do func() error) (float64, error) {
	n, began := 0, time.Now()
	for n == 0 || time.Since(began) < g.each {
		if err := do(); err != nil {
			return 0, err
		}
		n += records
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// reads measures reads of single records at random, ours and bare ones.
func (g *growing) reads() (ours, raw float64, err error) {
	reader := g.log.(peer.Readable).Reader()
	ours, err = g.rate(1, func() error {
		offset := g.random.Uint64N(g.records)
		value, err := reader.At(offset)
		if err == nil {
			err = g.ours.batch.Check(value, offset)
		}
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	files, err := openAll(filepath.Join(g.dir, "segments"))
	if err == nil {
		buf := make([]byte, SizeValueBytes)
		raw, err = g.rate(1, func() error {
			f := files[g.random.IntN(len(files))]
			_, err := f.f.ReadAt(buf, g.random.Int64N(f.size-SizeValueBytes+1))
			return err
		})
	}
	for _, f := range files {
		err = errors.Join(err, f.f.Close())
	}
	return ours, raw, err
}

type sized struct {
	f    *os.File
	size int64
}

// openAll opens the files of a directory that hold a value at least.
func openAll(dir string) (files []sized, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return files, err
		}
		info, err := f.Stat()
		if err != nil || info.Size() < SizeValueBytes {
			if err = errors.Join(err, f.Close()); err != nil {
				return files, err
			}
			continue
		}
		files = append(files, sized{f, info.Size()})
	}
	if len(files) == 0 {
		err = fmt.Errorf("no segments in %s", dir)
	}
	return files, err
}

// Package growth measures what does not take part in a contest: how much disk
// our engine takes when it is new and when it has many logs, and how long it
// takes to open, alone and for each segment.
package growth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	plog "github.com/proglog/proglog/server/log"
)

// Fresh is what a new data directory takes.
type Fresh struct {
	Make  time.Duration // until it takes appends
	Open  time.Duration // the second time
	Bytes int64         // on the disk
}

// MeasureFresh makes a data directory in each round.
func MeasureFresh(dir string, rounds int) (Fresh, error) {
	var made, opened []float64
	var f Fresh
	for range rounds {
		err := within(dir, func(own string) error {
			d, err := open(own, plog.Options{})
			if err != nil {
				return err
			}
			made = append(made, float64(d))
			if f.Bytes, err = diskBytes(own); err != nil {
				return err
			}
			d, err = open(own, plog.Options{})
			opened = append(opened, float64(d))
			return err
		})
		if err != nil {
			return Fresh{}, fmt.Errorf("a fresh data directory: %w", err)
		}
	}
	f.Make, f.Open = time.Duration(measure.Median(made)), time.Duration(measure.Median(opened))
	return f, nil
}

// Opening is how long a directory with sealed segments takes to open.
type Opening struct {
	Segments int
	Open     time.Duration
}

// segmentBytes makes each record of a value of that size seal a segment.
const segmentBytes = 4096

// MeasureOpening makes one log of so many small sealed segments, closes it, and
// opens it in each round. Every record is then read.
func MeasureOpening(dir string, segments, rounds int) (Opening, error) {
	options := plog.Options{SegmentBytes: segmentBytes}
	o := Opening{Segments: segments}
	load := peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: segmentBytes}
	err := within(dir, func(own string) error {
		subject, err := peer.Engine{Options: options}.Open(own, load)
		if err != nil {
			return err
		}
		all, _, err := fill(subject, load, segments+1) // the last one is active
		if err = errors.Join(err, subject.Close()); err != nil {
			return err
		}
		var opened []float64
		for range rounds {
			d, err := open(own, options)
			if err != nil {
				return err
			}
			opened = append(opened, float64(d))
		}
		o.Open = time.Duration(measure.Median(opened))
		return check(own, options, load, all)
	})
	if err != nil {
		return Opening{}, fmt.Errorf("open %d segments: %w", segments, err)
	}
	return o, nil
}

// Small is what many small logs take.
type Small struct {
	Logs   int
	Create time.Duration // of all
	Fill   time.Duration
	Close  time.Duration
	Open   time.Duration
	Bytes  int64 // on the disk, beside the journal
}

// What each small log holds.
const (
	SmallRecords    = 10
	SmallValueBytes = 100
)

// MeasureSmall makes so many small logs, closes the directory and opens it
// again. Every record is then read.
func MeasureSmall(dir string, logs int) (Small, error) {
	s := Small{Logs: logs}
	load := peer.Load{Logs: logs, Writers: fillers, Batch: SmallRecords, ValueBytes: SmallValueBytes}
	err := within(dir, func(own string) error {
		began := time.Now()
		subject, err := peer.Engine{}.Open(own, load)
		if err != nil {
			return err
		}
		s.Create = time.Since(began)
		all, filled, err := fill(subject, load, 1)
		s.Fill = filled
		began = time.Now()
		err = errors.Join(err, subject.Close())
		s.Close = time.Since(began)
		if err != nil {
			return err
		}
		if s.Bytes, err = diskBytes(own); err != nil {
			return err
		}
		journal, err := diskBytes(filepath.Join(own, "journal"))
		if err != nil {
			return err
		}
		s.Bytes -= journal
		if s.Open, err = open(own, plog.Options{}); err != nil {
			return err
		}
		return check(own, plog.Options{}, load, all)
	})
	if err != nil {
		return Small{}, fmt.Errorf("%d small logs: %w", logs, err)
	}
	return s, nil
}

// within runs do in a directory of its own.
func within(dir string, do func(own string) error) error {
	own, err := os.MkdirTemp(dir, "growth-*")
	if err != nil {
		return err
	}
	return errors.Join(do(own), os.RemoveAll(own))
}

// open opens a data directory until it takes appends, and closes it.
func open(dir string, options plog.Options) (time.Duration, error) {
	began := time.Now()
	e, err := plog.Open(dir, options)
	if err != nil {
		return 0, err
	}
	_, err = e.Log(context.Background(), "")
	d := time.Since(began)
	return d, errors.Join(err, e.Close())
}

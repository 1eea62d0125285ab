package measure

import (
	"errors"
	"os"

	"github.com/proglog/proglog/server/bench/internal/peer"
)

// A stand is an entrant at work.
type stand struct {
	dir     string
	subject peer.Subject
	main    *crew // the one that is measured
	beside  *crew // nil unless there is a load beside
	primer  *crew // nil unless there are several logs
}

// newStand opens a subject in a directory of its own below dir. Where there are
// several logs each gets its first record, which makes it a file in most stores
// and is not what a running server does.
func newStand(e Entrant, dir string) (_ *stand, err error) {
	s := &stand{}
	if s.dir, err = os.MkdirTemp(dir, "stand-*"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}()
	all := e.Load
	if e.Beside.Writers > 0 {
		all.Logs++
		all.Writers += e.Beside.Writers
	}
	if s.subject, err = e.Peer.Open(s.dir, all); err != nil {
		return nil, err
	}
	s.main = newCrew(s.subject, e.Load, 0, 0)
	if e.Beside.Writers > 0 {
		beside := e.Beside
		beside.Logs = 1
		s.beside = newCrew(s.subject, beside, e.Load.Writers, e.Load.Logs)
	}
	if e.Load.Logs > 1 {
		s.primer = newCrew(s.subject, peer.Load{Logs: e.Load.Logs, Writers: primers, Batch: 1, ValueBytes: e.Load.ValueBytes}, all.Writers, 0)
		if err := s.primer.prime(); err != nil {
			return nil, errors.Join(err, s.subject.Close())
		}
	}
	return s, nil
}

// primers is how many goroutines put the first records into logs.
const primers = 64

// run is one run of one entrant.
func (s *stand) run(e Effort) (Sample, error) {
	limits := bounds{time: e.Time, bytes: e.Bytes}
	finish, err := s.startBeside(e)
	if err != nil {
		return Sample{}, err
	}
	had := s.main.acked()
	run, err := begin(s.subject)
	if err != nil {
		return Sample{}, err
	}
	latencies, err := s.main.run(&limits)
	records := s.main.acked() - had
	sample, timeErr := run.end(latencies, records, records*uint64(s.main.load.ValueBytes))
	bytes, besideErr := finish()
	if err := errors.Join(err, timeErr, besideErr); err != nil {
		return Sample{}, err
	}
	sample.BesideBytes = bytes
	return sample, nil
}

// BesideBytes is how much more than the measured load the one beside may write.
const BesideBytes = 16

// startBeside starts the load beside, if there is one, and returns when it is at
// work. finish ends it and tells how many bytes it wrote.
func (s *stand) startBeside(e Effort) (finish func() (uint64, error), err error) {
	if s.beside == nil {
		return func() (uint64, error) { return 0, nil }, nil
	}
	had := s.beside.acked()
	// It has to outlast the measured one, which ends a little after its time.
	limits := bounds{time: 4 * e.Time, bytes: BesideBytes * e.Bytes, begun: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := s.beside.run(&limits)
		done <- err
	}()
	select {
	case <-limits.begun:
	case err := <-done:
		return nil, err // it failed: nothing else ends it before its first ack
	}
	return func() (uint64, error) {
		limits.stop.Store(true)
		err := <-done
		return (s.beside.acked() - had) * uint64(s.beside.load.ValueBytes), err
	}, nil
}

// verify says whether all that was acked is there.
func (s *stand) verify() error {
	crews := []*crew{s.main}
	for _, c := range []*crew{s.beside, s.primer} {
		if c != nil {
			crews = append(crews, c)
		}
	}
	return verify(s.subject, crews...)
}

func (s *stand) close() error {
	return errors.Join(s.subject.Close(), os.RemoveAll(s.dir))
}

package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/proglog/proglog/server/commitlog"
	plog "github.com/proglog/proglog/server/log"
)

// Engine is our engine.
type Engine struct {
	Options plog.Options
}

// Name implements [Peer].
func (Engine) Name() string { return "proglog" }

// About implements [Peer].
func (Engine) About() string {
	return "our engine, this tree, as it comes: an ack stands on one synchronous direct write to the journal that all logs share"
}

// Open implements [Peer].
func (p Engine) Open(dir string, load Load) (Subject, error) {
	e, err := plog.Open(dir, p.Options)
	if err != nil {
		return nil, err
	}
	s := &engineSubject{engine: e, logs: make([]commitlog.CommitLog, load.Logs)}
	if err := s.create(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return s, nil
}

type engineSubject struct {
	engine *plog.Engine
	logs   []commitlog.CommitLog
}

// creators is how many goroutines make logs: enough that they share syncs.
const creators = 256

// create makes the logs, or finds them.
func (s *engineSubject) create() error {
	errs := make([]error, creators)
	var wg sync.WaitGroup
	for c := range creators {
		wg.Go(func() {
			for i := c; i < len(s.logs) && errs[c] == nil; i += creators {
				s.logs[i], _, errs[c] = s.engine.Put(context.Background(), fmt.Sprintf("bench/%05d", i), commitlog.Change{})
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *engineSubject) Writer(_ int, batch *Batch) Writer {
	w := &engineWriter{logs: s.logs, batches: []commitlog.Batch{{}}}
	for _, v := range batch.Values {
		w.batches[0].Records = append(w.batches[0].Records, commitlog.Record{Value: v})
	}
	return w
}

type engineWriter struct {
	logs    []commitlog.CommitLog
	batches []commitlog.Batch
}

func (w *engineWriter) Append(log int) (uint64, error) {
	acks, err := w.logs[log].Append(context.Background(), w.batches...)
	if err != nil {
		return 0, err
	}
	return acks[0].First, nil
}

func (s *engineSubject) Count() (n uint64, _ error) {
	for _, l := range s.logs {
		b := l.Bounds()
		n += b.Next - b.First
	}
	return n, nil
}

func (s *engineSubject) Value(at Place, buf []byte) ([]byte, error) {
	r := engineReader{log: s.logs[at.Log], buf: buf}
	return r.At(at.Offset)
}

func (s *engineSubject) Close() error { return s.engine.Close() }

func (s *engineSubject) Reader() Reader { return &engineReader{log: s.logs[0]} }

type engineReader struct {
	log commitlog.CommitLog
	buf []byte
}

func (r *engineReader) At(offset uint64) ([]byte, error) {
	run, err := r.log.Read(context.Background(), offset, commitlog.ReadLimit{Records: 1}, r.buf)
	if err != nil {
		return nil, err
	}
	r.buf = run.Envelopes
	envelope, _, err := commitlog.CutEnvelope(run.Envelopes)
	if err != nil {
		return nil, err
	}
	record, err := commitlog.RecordBytes(envelope)
	if err != nil {
		return nil, err
	}
	decoded, err := commitlog.DecodeRecord(record)
	if err == nil && decoded.Offset != offset {
		err = fmt.Errorf("the record at offset %d says that it has offset %d", offset, decoded.Offset)
	}
	return decoded.Value, err
}

func (r *engineReader) Run(offset uint64) (records, bytes int, err error) {
	run, err := r.log.Read(context.Background(), offset, commitlog.ReadLimit{Bytes: RunBytes}, r.buf)
	r.buf = run.Envelopes
	return int(run.Next - run.First), len(run.Envelopes), err
}

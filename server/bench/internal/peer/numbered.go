package peer

import (
	"encoding/binary"
	"sync"
	"time"
)

// A numbered store is one that wants the numbers of its records told, one after the
// other. It is one log; others are not what its peers are for.
type numberedStore interface {
	// write makes a record durable.
	write(n uint64, record []byte) error
	read(n uint64) ([]byte, error)
	count() (uint64, error)
	close() error
}

// stampedBytes is the record's time, which all peers keep in front of a value.
const stampedBytes = 8

// numbered is the subject of such a store.
type numbered struct {
	store numberedStore
	// inOrder: records have to be written in the order of their numbers, so that
	// no two can wait for one sync.
	inOrder bool
	mu      sync.Mutex
	next    uint64 // store's first number is 1
}

func (s *numbered) Writer(_ int, batch *Batch) Writer {
	return &numberedWriter{subject: s, values: batch.Values}
}

type numberedWriter struct {
	subject *numbered
	values  [][]byte
	record  []byte
}

// Append implements [Writer] for batches of one.
func (w *numberedWriter) Append(int) (uint64, error) {
	w.record = binary.LittleEndian.AppendUint64(w.record[:0], uint64(time.Now().UnixNano()))
	w.record = append(w.record, w.values[0]...)
	return w.subject.append(w.record)
}

func (s *numbered) append(record []byte) (uint64, error) {
	s.mu.Lock()
	s.next++
	n := s.next
	if s.inOrder {
		defer s.mu.Unlock()
		return n, s.store.write(n, record)
	}
	s.mu.Unlock()
	return n, s.store.write(n, record)
}

func (s *numbered) Count() (uint64, error) { return s.store.count() }

func (s *numbered) Value(at Place, _ []byte) ([]byte, error) {
	record, err := s.store.read(at.Offset)
	if err != nil {
		return nil, err
	}
	return record[min(stampedBytes, len(record)):], nil
}

func (s *numbered) Close() error { return s.store.close() }

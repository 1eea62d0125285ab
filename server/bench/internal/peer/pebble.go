package peer

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Pebble is CockroachDB's key-value store, used as its documentation has it: with
// default options, a Set with Sync for each record, called by as many goroutines as
// there are. It commits in groups, and an ack stands on a sync of its log.
type Pebble struct{ Version string }

// Name implements [Peer].
func (Pebble) Name() string { return "pebble" }

// About implements [Peer].
func (p Pebble) About() string {
	return "pebble " + p.Version + " with its defaults: Set with Sync, a record to a key; group commit; an ack stands on a sync"
}

// Open implements [Peer].
func (Pebble) Open(dir string, load Load) (Subject, error) {
	if load.Logs != 1 || load.Batch != 1 {
		return nil, errShape
	}
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}})
	if err != nil {
		return nil, err
	}
	return &numbered{store: pebbleStore{db}}, nil
}

// errShape reports a load that a peer is not asked to carry.
var errShape = errors.New("this peer takes one log and one record at a time")

// quiet drops what pebble tells of its work; what is fatal ends the bench.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("pebble: "+format, args...))
}

type pebbleStore struct{ db *pebble.DB }

func pebbleKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func (s pebbleStore) write(n uint64, record []byte) error {
	return s.db.Set(pebbleKey(n), record, pebble.Sync)
}

func (s pebbleStore) read(n uint64) ([]byte, error) {
	value, closer, err := s.db.Get(pebbleKey(n))
	if err != nil {
		return nil, err
	}
	kept := append([]byte(nil), value...)
	return kept, closer.Close()
}

func (s pebbleStore) count() (n uint64, err error) {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return 0, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	return n, it.Close()
}

func (s pebbleStore) close() error { return s.db.Close() }

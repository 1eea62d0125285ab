package peer

import "github.com/tidwall/wal"

// Tidwall is tidwall/wal with its defaults, which sync each write. Records have to
// come in the order of their numbers, and it offers nothing to let callers share a
// sync, so that each waits for those before it.
type Tidwall struct{ Version string }

// Name implements [Peer].
func (Tidwall) Name() string { return "tidwall/wal" }

// About implements [Peer].
func (p Tidwall) About() string {
	return "tidwall/wal " + p.Version + " with its defaults: a Write for each record, one after the other; an ack stands on a sync"
}

// Open implements [Peer].
func (Tidwall) Open(dir string, load Load) (Subject, error) {
	if load.Logs != 1 || load.Batch != 1 {
		return nil, errShape
	}
	log, err := wal.Open(dir, nil)
	if err != nil {
		return nil, err
	}
	return &numbered{store: tidwallStore{log}, inOrder: true}, nil
}

type tidwallStore struct{ log *wal.Log }

func (s tidwallStore) write(n uint64, record []byte) error { return s.log.Write(n, record) }
func (s tidwallStore) read(n uint64) ([]byte, error)       { return s.log.Read(n) }
func (s tidwallStore) count() (uint64, error)              { return s.log.LastIndex() }
func (s tidwallStore) close() error                        { return s.log.Close() }

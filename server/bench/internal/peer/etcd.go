package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// EtcdWAL is the write-ahead log of etcd, as its server uses it: a Save of each
// entry, which syncs. Entries have to come in the order of their numbers, and only
// the caller could put several into one Save, as raft does for etcd; each caller
// here waits for those before it.
type EtcdWAL struct{ Version string }

// Name implements [Peer].
func (EtcdWAL) Name() string { return "etcd wal" }

// About implements [Peer].
func (p EtcdWAL) About() string {
	return "the wal of etcd " + p.Version + " with its defaults: a Save for each record, one after the other; an ack stands on a sync"
}

// Open implements [Peer].
func (EtcdWAL) Open(dir string, load Load) (Subject, error) {
	if load.Logs != 1 || load.Batch != 1 {
		return nil, errShape
	}
	s := &etcdStore{dir: filepath.Join(dir, "wal")}
	var err error
	if s.wal, err = wal.Create(zap.NewNop(), s.dir, nil); err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	return &numbered{store: s, inOrder: true}, nil
}

type etcdStore struct {
	dir string
	wal *wal.WAL

	mu      sync.Mutex
	entries []*raftpb.Entry // what was read back so far
}

func (s *etcdStore) write(n uint64, record []byte) error {
	term := uint64(1)
	return s.wal.Save(nil, []*raftpb.Entry{{Term: &term, Index: &n, Data: record}})
}

// load reads all entries, for it cannot read one.
func (s *etcdStore) load() (err error) {
	r, err := wal.OpenForRead(zap.NewNop(), s.dir, &walpb.Snapshot{})
	if err != nil {
		return err
	}
	_, _, s.entries, err = r.ReadAll()
	// A wal that is open for reads has no directory to close, and says so.
	if closeErr := r.Close(); err == nil && !errors.Is(closeErr, os.ErrInvalid) {
		err = closeErr
	}
	return err
}

func (s *etcdStore) read(n uint64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > uint64(len(s.entries)) {
		if err := s.load(); err != nil {
			return nil, err
		}
	}
	if n == 0 || n > uint64(len(s.entries)) {
		return nil, fmt.Errorf("entry %d of %d", n, len(s.entries))
	}
	return s.entries[n-1].Data, nil
}

func (s *etcdStore) count() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return 0, err
	}
	return uint64(len(s.entries)), nil
}

func (s *etcdStore) close() error { return s.wal.Close() }

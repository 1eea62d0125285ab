package log

import (
	"fmt"
	"path"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// The one invariant that the journal adds: a journal file is reused only after
// every frame in it is synced in its segment, the table that says so is synced
// and renamed, and the directory is synced.
//
// Method: at every call of a random workload, checkpoints and all their steps
// included, the power is cut so that nothing unsynced survives, every segment
// byte among it; and each journal file that the engine would reuse at that
// moment, or is just reusing, is overwritten. All acked records of all logs must
// be there still.
func TestJournalFileIsReusedOnlyWhenNothingNeedsIt(t *testing.T) {
	t.Parallel()
	reuses, states := 0, 0
	for seed := uint64(1); seed <= 12; seed++ {
		s := newSim(t, seed)
		calls := 0
		s.setHook(func(op vfstest.Op) error {
			if !op.Kind.Changes() || s.engine == nil {
				return nil
			}
			calls++
			var lost []string
			inJournal := path.Dir(op.Name) == journalDir
			switch {
			case inJournal && op.Kind == vfstest.OpWriteAt && op.Off == 0 && op.Len == vfs.BlockSize:
				lost = []string{op.Name} // its new header: the reuse itself
				reuses++
			case inJournal || calls%7 != 0 && path.Base(op.Name) != checkpointName+".tmp":
				return nil
			default:
				lost = s.engine.committer.journal.Reusable()
			}
			states++
			s.checkWithout(s.fs.CrashKeepNone(), lost)
			return nil
		})
		require.NoError(t, s.open())
		for range 150 {
			require.NoError(t, s.append(s.names[s.rng.IntN(len(s.names))]))
			if s.rng.IntN(50) == 0 {
				require.NoError(t, s.create(string(rune('a'+len(s.names)))))
			}
		}
		s.setHook(nil)
		s.close()
	}
	require.Greater(t, reuses, 20, "the workload reuses journal files")
	require.Greater(t, states, 100)
}

// checkWithout opens what a crash left, without some journal files, and
// compares it with what was acked.
func (s *sim) checkWithout(fs *vfstest.Mem, files []string) {
	s.t.Helper()
	for _, name := range files {
		f, err := fs.Open(name, vfs.Buffered)
		if err != nil {
			continue // not yet durable: a file being made
		}
		size, err := f.Size()
		require.NoError(s.t, err)
		junk := make([]byte, size)
		for i := range junk {
			junk[i] = byte(i * 7)
		}
		_, err = f.WriteAt(junk, 0)
		require.NoError(s.t, err)
		require.NoError(s.t, f.Sync())
		require.NoError(s.t, f.Close())
	}
	s.after(fs).check(fmt.Sprintf("without %v", files))
}

package log

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// A step is one call of a checkpoint, or of what the journal does with a file.
type step struct {
	name string
	is   func(op vfstest.Op) bool
}

func call(kind vfstest.Kind, pattern string) func(vfstest.Op) bool {
	return func(op vfstest.Op) bool {
		matched, err := path.Match(pattern, op.Name)
		return err == nil && matched && op.Kind == kind && op.Phase == vfstest.Before
	}
}

const journalFile = journalDir + "/*.journal"

// A power cut at each step of a checkpoint and of the use of a journal file, by
// name; and one at the first such step of the recovery from it.
//
// Method: a workload with all of them runs once; at every call that is the step,
// and again once that call is done, what a power cut may leave is opened: with
// nothing kept that was not synced, with all, and with what is drawn.
func TestCrashAtEachStep(t *testing.T) {
	t.Parallel()
	journalWrite := func(header, during bool) func(vfstest.Op) bool {
		return func(op vfstest.Op) bool {
			return op.Kind == vfstest.OpWriteAt && path.Dir(op.Name) == journalDir && op.Len < 64<<10 &&
				(op.Off == 0) == header && (op.Phase == vfstest.During) == during
		}
	}
	steps := []step{
		{"checkpoint/segments are synced", call(vfstest.OpSync, segmentsDir+"/*.seg")},
		{"checkpoint/all files are synced at once", call(vfstest.OpSyncAll, ".")},
		{"checkpoint/their directory is synced", call(vfstest.OpSyncDir, segmentsDir)},
		{"checkpoint/an index is made", call(vfstest.OpCreate, segmentsDir+"/*.idx")},
		{"checkpoint/an index is written", call(vfstest.OpWriteAt, segmentsDir+"/*.idx")},
		{"checkpoint/the old temporary table is removed", call(vfstest.OpRemove, checkpointName+".tmp")},
		{"checkpoint/the table is made", call(vfstest.OpCreate, checkpointName+".tmp")},
		{"checkpoint/the table is written", call(vfstest.OpWriteAt, checkpointName+".tmp")},
		{"checkpoint/the table is synced", call(vfstest.OpSync, checkpointName+".tmp")},
		{"checkpoint/the table is renamed", call(vfstest.OpRename, checkpointName+".tmp")},
		{"checkpoint/the root is synced", call(vfstest.OpSyncDir, ".")},
		{"journal file/it is made", call(vfstest.OpCreate, journalFile)},
		{"journal file/it is filled with zeros", func(op vfstest.Op) bool {
			return op.Kind == vfstest.OpWriteAt && path.Dir(op.Name) == journalDir && op.Len == 64<<10
		}},
		{"journal file/it is synced", call(vfstest.OpSync, journalFile)},
		{"journal file/its directory is synced", call(vfstest.OpSyncDir, journalDir)},
		{"journal file/its header is about to be written", journalWrite(true, false)},
		{"journal file/its header is being written", journalWrite(true, true)},
		{"journal file/a group is about to be written", journalWrite(false, false)},
		{"journal file/a group is being written", journalWrite(false, true)},
		{"segment/it is made", call(vfstest.OpCreate, segmentsDir+"/*.seg")},
		{"segment/it is written", call(vfstest.OpWriteAt, segmentsDir+"/*.seg")},
		{"segment/it is removed", call(vfstest.OpRemove, segmentsDir+"/*.seg")},
		{"recovery/a segment is cut", call(vfstest.OpTruncate, segmentsDir+"/*.seg")},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			t.Parallel()
			met := 0
			crashAt(t, step, &met, strings.HasPrefix(step.name, "recovery"))
			require.Positive(t, met, "the workload has this step")
		})
	}
}

// crashAt runs the script and crashes it at a step, or crashes it every now and
// then and crashes the recovery at the step.
func crashAt(t *testing.T, at step, met *int, inRecovery bool) {
	s := newSim(t, 4)
	calls := 0
	check := func(s *sim, op vfstest.Op) {
		*met++
		for kind := range 6 {
			left := s.after(crashed(s.fs, kind, uint64(*met)))
			if inRecovery || *met%10 != 1 {
				left.check(fmt.Sprintf("%s, %v, crash kind %d", at.name, op, kind))
				continue
			}
			// The recovery is cut off at its own first step of the name.
			left.setHook(func(op vfstest.Op) error {
				if left.crasher.State() == nil && !at.is(op) {
					return nil
				}
				if left.crasher.State() == nil {
					left.crasher = vfstest.CrashAt(left.fs, 1, func(m *vfstest.Mem) *vfstest.Mem { return crashed(m, kind, 5) })
				}
				return left.crasher.Hook(op)
			})
			err := left.open()
			state := left.crasher.State()
			if state == nil {
				require.NoError(t, err)
				left.close()
				continue
			}
			left.close()
			left.after(state).check(fmt.Sprintf("%s, again in recovery, %v, crash kind %d", at.name, op, kind))
		}
	}
	afterwards := false
	s.setHook(func(op vfstest.Op) error {
		switch {
		case !inRecovery && at.is(op):
			check(s, op)
			afterwards = true
		case !inRecovery && afterwards && op.Phase == vfstest.Before:
			check(s, op)
			afterwards = false
		case inRecovery && op.Kind.Changes() && s.engine != nil:
			if calls++; calls%9 != 0 {
				return nil
			}
			one := s.after(crashed(s.fs, calls/9%4, uint64(calls)))
			one.setHook(func(op vfstest.Op) error {
				if at.is(op) {
					check(one, op)
				}
				return nil
			})
			require.NoError(t, one.open())
			one.setHook(nil)
			one.close()
		}
		return nil
	})
	require.NoError(t, s.script())
}

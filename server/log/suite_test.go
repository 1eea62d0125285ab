package log_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/commitlog/commitlogtest"
	plog "github.com/proglog/proglog/server/log"
)

// The engine passes the suite that every engine passes: with its defaults, and
// with segments, journal files and caches so small that every test meets rolls,
// reused journal files, evicted files and dropped indexes.
var variants = []struct {
	name    string
	options plog.Options
}{
	{"Defaults", plog.Options{RetentionEvery: 10 * time.Millisecond}},
	{"Tiny", plog.Options{SegmentBytes: 4096, JournalFileBytes: 8 << 20, JournalFiles: 2, OpenFiles: 2, IndexCacheBytes: 1, GroupBytes: 64 << 10, SealAfter: time.Millisecond, RetentionEvery: 10 * time.Millisecond}},
}

func TestEngineSuite(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			commitlogtest.Run(t, func(t *testing.T) commitlog.Engine {
				e, err := plog.Open(t.TempDir(), v.options)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, e.Close()) })
				return e
			})
		})
	}
}

func TestEngineReopen(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			commitlogtest.RunReopen(t, func(t *testing.T, dir string, now func() time.Time) (commitlog.Engine, func() error) {
				options := v.options
				options.Now = now
				e, err := plog.Open(dir, options)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, e.Close()) })
				return e, e.Close
			})
		})
	}
}

package log

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// Goal: where there is next to no memory for indexes, every record is still found, by
// its offset and by its time: while its segment is written to, when it is sealed, and
// after a restart.
func TestRecordsAreFoundWithLittleMemoryForIndexes(t *testing.T) {
	t.Parallel()
	const records = 3000
	fs := vfstest.NewMem()
	options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	options.SegmentBytes, options.JournalFileBytes, options.TailBytes = 2<<20, 1<<20, 4<<20
	options.IndexCacheBytes = 1
	open := func() (*Engine, *Log) {
		e, err := Open("mem", options)
		require.NoError(t, err)
		return e, e.named("")
	}
	value := func(n uint64) string { return fmt.Sprintf("%d %s", n, strings.Repeat("x", 1000)) }
	e, l := open()
	check := func(end uint64) {
		for n := uint64(0); n < end; n += 13 {
			run, err := l.Read(t.Context(), n, commitlog.ReadLimit{Records: 1}, nil)
			require.NoError(t, err)
			for rec, err := range run.All() {
				require.NoError(t, err)
				require.Equal(t, value(n), string(rec.Value))
				first, err := l.FindTime(t.Context(), rec.Time)
				require.NoError(t, err)
				require.LessOrEqual(t, first, n)
				require.Greater(t, first+20, n, "few records are of one time")
			}
		}
	}
	for n := range uint64(records) {
		appendTo(t, e, value(n))
		if n%1000 == 900 {
			check(n)
		}
	}
	check(records)
	require.NoError(t, e.Close())
	e, l = open()
	check(records)
	require.NoError(t, e.Close())
}

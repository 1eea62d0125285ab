package commitlog_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// smallLimits are limits that each row of a table can reach.
func smallLimits() commitlog.Limits {
	return commitlog.Limits{ValueBytes: 10, Headers: 3, HeaderBytes: 8, BatchRecords: 4, BatchBytes: 20, ProducerID: 5}
}

func batchOf(records ...commitlog.Record) commitlog.Batch { return commitlog.Batch{Records: records} }

func producedBy(id string, records ...commitlog.Record) commitlog.Batch {
	return commitlog.Batch{Records: records, Producer: &commitlog.Producer{ID: id}}
}

func valueOf(n int) commitlog.Record { return commitlog.Record{Value: make([]byte, n)} }

func headersOf(sizes ...[2]int) commitlog.Record {
	var r commitlog.Record
	for _, s := range sizes {
		r.Headers = append(r.Headers, commitlog.Header{Name: strings.Repeat("n", s[0]), Value: make([]byte, s[1])})
	}
	return r
}

// Goal: each limit admits what is below and at it and refuses what is one over,
// with the size and the limit, wherever in a batch it is; a single record may be
// larger than a batch.
func TestLimitsCheck(t *testing.T) {
	with := func(r commitlog.Record, n int) commitlog.Record {
		r.Value = make([]byte, n)
		return r
	}
	small := valueOf(1)
	for _, c := range []struct {
		name  string
		batch commitlog.Batch
		what  string // empty: admitted
		size  uint64
	}{
		{"empty value", batchOf(commitlog.Record{}), "", 0},
		{"value below", batchOf(valueOf(9)), "", 0},
		{"value at", batchOf(valueOf(10)), "", 0},
		{"value over", batchOf(valueOf(11)), "value bytes", 11},
		{"last value over", batchOf(small, small, valueOf(11)), "value bytes", 11},
		{"headers below", batchOf(headersOf([2]int{}, [2]int{})), "", 0},
		{"headers at", batchOf(headersOf([2]int{}, [2]int{}, [2]int{})), "", 0},
		{"headers over", batchOf(headersOf([2]int{}, [2]int{}, [2]int{}, [2]int{})), "headers", 4},
		{"last headers over", batchOf(small, headersOf([2]int{}, [2]int{}, [2]int{}, [2]int{})), "headers", 4},
		{"header bytes below", batchOf(headersOf([2]int{3, 4})), "", 0},
		{"header bytes at, in names", batchOf(headersOf([2]int{4, 0}, [2]int{4, 0})), "", 0},
		{"header bytes at, in values", batchOf(headersOf([2]int{0, 8})), "", 0},
		{"header bytes over, in both", batchOf(headersOf([2]int{1, 3}, [2]int{4, 1})), "header bytes", 9},
		{"header bytes of each record alone", batchOf(headersOf([2]int{8, 0}), headersOf([2]int{0, 8})), "", 0},
		{"last header bytes over", batchOf(small, headersOf([2]int{0, 9})), "header bytes", 9},
		{"records below", batchOf(small, small, small), "", 0},
		{"records at", batchOf(small, small, small, small), "", 0},
		{"records over", batchOf(small, small, small, small, small), "batch records", 5},
		{"empty records over", batchOf(make([]commitlog.Record, 5)...), "batch records", 5},
		{"batch bytes below", batchOf(valueOf(10), valueOf(9)), "", 0},
		{"batch bytes at", batchOf(valueOf(10), valueOf(10)), "", 0},
		{"batch bytes over", batchOf(valueOf(10), valueOf(10), valueOf(1)), "batch bytes", 21},
		{"batch bytes over, in headers", batchOf(valueOf(10), valueOf(10), headersOf([2]int{1, 0})), "batch bytes", 21},
		{"batch bytes at, in all", batchOf(valueOf(10), with(headersOf([2]int{1, 2}), 7)), "", 0},
		{"producer id below", producedBy("p", valueOf(1)), "", 0},
		{"producer id at", producedBy("ppppp", valueOf(1)), "", 0},
		{"producer id over", producedBy("pppppp", valueOf(1)), "producer id bytes", 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := smallLimits().Check(c.batch)
			if c.what == "" {
				require.NoError(t, err)
				return
			}
			var tooLarge *commitlog.TooLargeError
			require.ErrorAs(t, err, &tooLarge)
			assert.Equal(t, c.what, tooLarge.What)
			assert.Equal(t, c.size, tooLarge.Size)
			limits := smallLimits()
			assert.EqualValues(t, map[string]int{
				"value bytes": limits.ValueBytes, "headers": limits.Headers, "header bytes": limits.HeaderBytes,
				"batch records": limits.BatchRecords, "batch bytes": limits.BatchBytes, "producer id bytes": limits.ProducerID,
			}[c.what], tooLarge.Limit)
			assert.Contains(t, err.Error(), c.what)
		})
	}

	limits := smallLimits()
	limits.BatchBytes = 5
	require.NoError(t, limits.Check(batchOf(with(headersOf([2]int{4, 4}), 10))), "one record may be larger than a batch")
}

// Goal: the default limits are those that users are promised, and valid; each
// limit is held to its range, at its ends and one beyond them.
func TestLimitsValidate(t *testing.T) {
	require.Equal(t, commitlog.Limits{
		ValueBytes: 1 << 20, Headers: 64, HeaderBytes: 16 << 10, BatchRecords: 1000, BatchBytes: 2 << 20, ProducerID: 64,
	}, commitlog.DefaultLimits())
	require.NoError(t, commitlog.DefaultLimits().Validate())
	require.Error(t, commitlog.Limits{}.Validate())

	for name, c := range map[string]struct {
		field       func(*commitlog.Limits) *int
		least, most int
	}{
		"value bytes":       {func(l *commitlog.Limits) *int { return &l.ValueBytes }, 1, 16 << 20},
		"headers":           {func(l *commitlog.Limits) *int { return &l.Headers }, 0, 1 << 10},
		"header bytes":      {func(l *commitlog.Limits) *int { return &l.HeaderBytes }, 0, 64 << 10},
		"batch records":     {func(l *commitlog.Limits) *int { return &l.BatchRecords }, 1, 100_000},
		"batch bytes":       {func(l *commitlog.Limits) *int { return &l.BatchBytes }, 1, 16 << 20},
		"producer id bytes": {func(l *commitlog.Limits) *int { return &l.ProducerID }, 1, 255},
	} {
		t.Run(name, func(t *testing.T) {
			for v, ok := range map[int]bool{
				c.least: true, c.most: true, c.least - 1: false, c.most + 1: false, math.MinInt: false, math.MaxInt: false,
			} {
				l := commitlog.DefaultLimits()
				*c.field(&l) = v
				if ok {
					assert.NoError(t, l.Validate(), "%d", v)
				} else {
					assert.ErrorContains(t, l.Validate(), name, "%d", v)
				}
			}
		})
	}
}

// Goal: names of the promised form are admitted and all others refused: at the
// limits of length, for each kind of byte, for each kind of part.
func TestCheckLogName(t *testing.T) {
	for _, name := range []string{
		"", "a", "Z", "0", "9lives", "orders", "Orders", "a.b", "a_b", "a-b", "a/b", "a/b/c", "a/.b", "a/_b", "a/-b",
		"a..b", "a/...", "a/..b", "a/b..", "a.", "a-", "a_", "a/.../b", "proglog/x", "x_proglog/x", "x/_proglog/y",
		strings.Repeat("x", 199), strings.Repeat("x", 200), strings.Repeat("x/", 99) + "xx",
	} {
		assert.NoError(t, commitlog.CheckLogName(name), "%q", name)
	}
	for _, name := range []string{
		strings.Repeat("x", 201), strings.Repeat("x", 1<<20),
		".", "..", "/", "_", "-", ".a", "_a", "-a", "/a", " a", "_proglog", "_proglog/", "_proglog/x",
		"a/", "a//b", "a/./b", "a/../b", "a/.", "a/..", "a/b/",
		"a b", "a\tb", "a\nb", "a\x00", "a\x7f", "a\\b", "a:b", "a*b", "a?b", "a%2fb", "a>b", "a,b", "a@b", "a~b", "a+b",
		"é", "aé", "a\xff", "a\u200b", "Ａ", "日本",
	} {
		var invalid *commitlog.InvalidLogNameError
		require.ErrorAs(t, commitlog.CheckLogName(name), &invalid, "%q", name)
		assert.NotEmpty(t, invalid.Why)
		assert.Less(t, len(invalid.Error()), 200)
	}
	for c := range 256 { // each byte, where it may stand and where it may not
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		assert.Equal(t, letter, commitlog.CheckLogName(string([]byte{byte(c)})) == nil, "byte %d first", c)
		inside := letter || strings.IndexByte("._-/", byte(c)) >= 0
		assert.Equal(t, inside, commitlog.CheckLogName(string([]byte{'a', byte(c), 'b'})) == nil, "byte %d inside", c)
	}
}

// Goal: a batch that no log can hold is refused as such, whatever the limits.
func TestLimitsCheckRefusesInvalidBatches(t *testing.T) {
	var invalid *commitlog.InvalidBatchError
	require.ErrorAs(t, commitlog.DefaultLimits().Check(commitlog.Batch{}), &invalid)
	record := commitlog.Record{Headers: []commitlog.Header{{Name: "caf\xe9"}}}
	require.ErrorAs(t, commitlog.DefaultLimits().Check(commitlog.Batch{Records: []commitlog.Record{record}}), &invalid)
	require.ErrorAs(t, commitlog.DefaultLimits().Check(producedBy("", valueOf(1))), &invalid)
	record.Headers[0].Name = "café"
	require.NoError(t, commitlog.DefaultLimits().Check(commitlog.Batch{Records: []commitlog.Record{record}}))
}

// Goal: what an engine remembers of producers by default is what users are
// promised.
func TestDefaultDedupWindow(t *testing.T) {
	require.Equal(t, commitlog.DedupWindow{Acks: 256, MaxAge: 168 * time.Hour, Producers: 10_000}, commitlog.DefaultDedupWindow())
}

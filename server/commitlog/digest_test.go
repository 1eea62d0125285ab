package commitlog_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func header(name, value string) commitlog.Header {
	return commitlog.Header{Name: name, Value: []byte(value)}
}

func recordOf(value string, headers ...commitlog.Header) commitlog.Record {
	return commitlog.Record{Value: []byte(value), Headers: headers}
}

// Goal: batches that differ in any value, header, order or border between them
// have different digests.
func TestDigestTellsBatchesApart(t *testing.T) {
	batches := map[string][]commitlog.Record{
		"nothing":                nil,
		"one empty":              {recordOf("")},
		"two empty":              {recordOf(""), recordOf("")},
		"ab, c":                  {recordOf("ab"), recordOf("c")},
		"a, bc":                  {recordOf("a"), recordOf("bc")},
		"c, ab":                  {recordOf("c"), recordOf("ab")},
		"abc":                    {recordOf("abc")},
		"abc, empty":             {recordOf("abc"), recordOf("")},
		"a header":               {recordOf("abc", header("n", "v"))},
		"its border":             {recordOf("abc", header("nv", ""))},
		"its border in front":    {recordOf("abc", header("", "nv"))},
		"an empty header":        {recordOf("abc", header("", ""))},
		"two headers":            {recordOf("abc", header("n", "v"), header("m", "w"))},
		"two headers, exchanged": {recordOf("abc", header("m", "w"), header("n", "v"))},
		"headers of two":         {recordOf("abc", header("n", "v")), recordOf("", header("m", "w"))},
		"headers of the second":  {recordOf("abc"), recordOf("", header("n", "v"), header("m", "w"))},
	}
	seen := map[uint32]string{}
	for name, records := range batches {
		digest := commitlog.Digest(records)
		assert.NotContains(t, seen, digest, "%s and %s", name, seen[digest])
		seen[digest] = name
	}
}

// Goal: what the engine sets and how the caller holds the bytes makes no
// difference. The numbers are fixed, since engines store them.
func TestDigestOfTheSameIsTheSame(t *testing.T) {
	records := []commitlog.Record{recordOf("abc", header("n", "v")), recordOf("")}
	want := commitlog.Digest(records)
	other := slices.Clone(records)
	other[0].Offset, other[0].Time = 9, time.Unix(1, 0)
	other[1].Value, other[1].Headers = nil, []commitlog.Header{}
	require.Equal(t, want, commitlog.Digest(other))
	require.EqualValues(t, 0x798b3342, want)
	require.Zero(t, commitlog.Digest(nil))
}

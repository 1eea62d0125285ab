package log

import (
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// starting is a file system that notes which ranges of segments were begun to be
// synced.
type starting struct {
	vfs.FS
	begun map[string]int64 // bytes
}

func (s starting) Create(name string, mode vfs.Mode) (vfs.File, error) {
	f, err := s.FS.Create(name, mode)
	return startingFile{f, name, s.begun}, err
}

func (s starting) Open(name string, mode vfs.Mode) (vfs.File, error) {
	f, err := s.FS.Open(name, mode)
	return startingFile{f, name, s.begun}, err
}

type startingFile struct {
	vfs.File
	name  string
	begun map[string]int64
}

func (f startingFile) StartSync(_, n int64) { f.begun[f.name] += n }

// Goal: what goes to a segment in large pieces is on its way to the device before
// a checkpoint asks for it; small ends are left to the checkpoint.
func TestLargePiecesAreSyncedAhead(t *testing.T) {
	fs := starting{vfstest.NewMem(), map[string]int64{}}
	options := simOptions(nil, rand.New(rand.NewPCG(1, 2)))
	options.FS, options.eager = fs, false
	options.SegmentBytes, options.flushBytes = 1<<20, segment.FlushSize
	options.JournalFileBytes, options.TailBytes = 8<<20, 8<<20
	e, err := Open("mem", options)
	require.NoError(t, err)
	defer e.Close()
	value := strings.Repeat("x", 1000)
	for range 100 {
		appendTo(t, e, value)
	}
	assert.Empty(t, fs.begun, "less than a piece")
	for range 200 {
		appendTo(t, e, value)
	}
	require.Len(t, fs.begun, 1)
	for name, n := range fs.begun {
		assert.Equal(t, segmentsDir, path.Dir(name))
		assert.GreaterOrEqual(t, n, int64(2*segment.FlushSize))
	}
}

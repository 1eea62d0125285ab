package vfs_test

import (
	"bytes"
	"io"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
)

// The rows of TestFileSystemsAnswerAlike that are about the content of files.

func testTruncate(t *testing.T, sys vfs.FS) {
	f := create(t, sys, "a", "abcdef")
	require.NoError(t, f.Truncate(3))
	assert.Equal(t, "abc", content(t, f))
	require.NoError(t, f.Truncate(70_000))
	want := append([]byte("abc"), make([]byte, 70_000-3)...)
	assert.Equal(t, string(want), content(t, f))
	require.NoError(t, f.Sync())
	size, err := sys.Size("a")
	require.NoError(t, err)
	assert.EqualValues(t, 70_000, size)
	assert.Error(t, f.Truncate(-1))
}

func testTruncateShrink(t *testing.T, sys vfs.FS) {
	whole := bytes.Repeat([]byte("0123456789"), 10_000)
	f := create(t, sys, "a", string(whole))
	for _, size := range []int64{99_999, 65_536, 65_535, 32_768, 513, 512, 511, 0} {
		require.NoError(t, f.Truncate(size))
		require.Equal(t, string(whole[:size]), content(t, f))
		require.NoError(t, f.Truncate(size+1_000))
		require.Equal(t, string(whole[:size])+string(make([]byte, 1_000)), content(t, f))
		require.NoError(t, f.Truncate(size))
	}
}

func testGap(t *testing.T, sys vfs.FS) {
	f := create(t, sys, "a", "x")
	_, err := f.WriteAt([]byte("y"), 40_000)
	require.NoError(t, err)
	assert.Equal(t, "x"+string(make([]byte, 39_999))+"y", content(t, f))
}

func testReadEnd(t *testing.T, sys vfs.FS) {
	f := create(t, sys, "a", "abc")
	b := make([]byte, 3)
	n, err := f.ReadAt(b, 0)
	assert.NoError(t, err)
	assert.Equal(t, 3, n)
	n, err = f.ReadAt(b, 1)
	assert.ErrorIs(t, err, io.EOF)
	assert.Equal(t, "bc", string(b[:n]))
	for _, position := range []int64{3, 4, 1 << 40} {
		n, err = f.ReadAt(b, position)
		assert.ErrorIs(t, err, io.EOF)
		assert.Zero(t, n)
	}
	_, err = f.ReadAt(b, -1)
	assert.Error(t, err)
	_, err = f.WriteAt(b, -1)
	assert.Error(t, err)
}

func testDirect(t *testing.T, sys vfs.FS) {
	f, err := sys.Create("a", vfs.Direct)
	require.NoError(t, err)
	defer func() { assert.NoError(t, f.Close()) }()
	out := vfs.AlignedBuffer(4 * vfs.BlockSize)
	for i := range out {
		out[i] = byte(i / 7)
	}
	n, err := f.WriteAt(out, vfs.BlockSize)
	require.NoError(t, err)
	assert.Equal(t, len(out), n)
	require.NoError(t, f.Sync())
	size, err := f.Size()
	require.NoError(t, err)
	assert.EqualValues(t, 5*vfs.BlockSize, size)

	in := vfs.AlignedBuffer(8 * vfs.BlockSize)
	n, err = f.ReadAt(in, 0)
	assert.ErrorIs(t, err, io.EOF)
	assert.Equal(t, 5*vfs.BlockSize, n)
	assert.True(t, bytes.Equal(make([]byte, vfs.BlockSize), in[:vfs.BlockSize]))
	assert.True(t, bytes.Equal(out, in[vfs.BlockSize:n]))
	n, err = f.ReadAt(in[:2*vfs.BlockSize], vfs.BlockSize)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(out[:n], in[:n]))
}

func testDirectRaggedEnd(t *testing.T, sys vfs.FS) {
	text := string(bytes.Repeat([]byte("abc"), 1_700)) // 5,100 bytes: ends within a block
	create(t, sys, "a", text)
	f := open(t, sys, "a", vfs.Direct)
	in := vfs.AlignedBuffer(4 * vfs.BlockSize)
	n, err := f.ReadAt(in, 0)
	assert.ErrorIs(t, err, io.EOF)
	assert.Equal(t, text, string(in[:n]))
	n, err = f.ReadAt(in, vfs.BlockSize)
	assert.ErrorIs(t, err, io.EOF)
	assert.Equal(t, text[vfs.BlockSize:], string(in[:n]))
	n, err = f.ReadAt(in, 2*vfs.BlockSize)
	assert.ErrorIs(t, err, io.EOF)
	assert.Zero(t, n)
}

func testDirectAlignment(t *testing.T, sys vfs.FS) {
	f, err := sys.Create("a", vfs.Direct)
	require.NoError(t, err)
	defer func() { assert.NoError(t, f.Close()) }()
	b := vfs.AlignedBuffer(3 * vfs.BlockSize)
	_, err = f.WriteAt(b, 0)
	require.NoError(t, err)
	rows := map[string]struct {
		p        []byte
		position int64
	}{
		"position": {b[:vfs.BlockSize], 512},
		"length":   {b[:512], 0},
		"address":  {b[512 : 512+vfs.BlockSize], 0},
	}
	for name, row := range rows {
		_, err := f.WriteAt(row.p, row.position)
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
		_, err = f.ReadAt(row.p, row.position)
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
	}
}

func testReadOnly(t *testing.T, sys vfs.FS) {
	create(t, sys, "a", "abc")
	f := open(t, sys, "a", vfs.ReadOnly)
	_, err := f.WriteAt([]byte("x"), 0)
	assert.ErrorIs(t, err, fs.ErrPermission)
	assert.ErrorIs(t, f.Truncate(0), fs.ErrPermission)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, 1)
	require.NoError(t, err, "unaligned reads are fine")
	assert.Equal(t, "b", string(b))
	assert.NoError(t, f.Sync())
}

func testClosed(t *testing.T, sys vfs.FS) {
	f, err := sys.Create("a", vfs.Buffered)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = f.WriteAt([]byte("x"), 0)
	assert.ErrorIs(t, err, fs.ErrClosed)
	_, err = f.ReadAt(make([]byte, 1), 0)
	assert.ErrorIs(t, err, fs.ErrClosed)
	_, err = f.Size()
	assert.ErrorIs(t, err, fs.ErrClosed)
	assert.ErrorIs(t, f.Sync(), fs.ErrClosed)
	assert.ErrorIs(t, f.Truncate(1), fs.ErrClosed)
	assert.ErrorIs(t, f.Close(), fs.ErrClosed)
}

func testModesAgree(t *testing.T, sys vfs.FS) {
	b := vfs.AlignedBuffer(vfs.BlockSize)
	buffered := create(t, sys, "a", string(bytes.Repeat([]byte("1"), vfs.BlockSize)))
	direct := open(t, sys, "a", vfs.Direct)
	readOnly := open(t, sys, "a", vfs.ReadOnly)
	everyone := func(want byte) {
		t.Helper()
		for _, f := range []vfs.File{buffered, direct, readOnly} {
			n, err := f.ReadAt(b, 0)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(bytes.Repeat([]byte{want}, vfs.BlockSize), b[:n]))
		}
	}
	everyone('1')
	copy(b, bytes.Repeat([]byte("2"), vfs.BlockSize))
	_, err := direct.WriteAt(b, 0)
	require.NoError(t, err)
	everyone('2')
	_, err = buffered.WriteAt(bytes.Repeat([]byte("3"), vfs.BlockSize), 0)
	require.NoError(t, err)
	everyone('3')
}

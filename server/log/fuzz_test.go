package log

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/journal"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// fuzzTable is a table of two logs, one of them with segments and a producer.
func fuzzTable(f *testing.F) (b []byte, id [16]byte) {
	id = [16]byte{1, 2, 3}
	var p producers
	p.learn(producerBlock{id: "p", epoch: 1, sequence: 0, count: 2, digest: 9}, 5, 7, commitlog.DedupWindow{Acks: 2, Producers: 2, MaxAge: 1 << 40})
	t := table{seq: 3, cut: journal.Cut{File: 2, Position: 4096, Seq: 9, Chain: 8}, logs: 2, rows: []row{
		{meta: meta{number: 1}, producers: (&producers{}).append(nil, 7, commitlog.DedupWindow{MaxAge: 1 << 40})},
		{
			meta: meta{number: 2, name: "a", first: 1, flags: metaSealed, maxBytes: 99}, next: 7, time: 7, chain: 4, position: 4096,
			segments: []segmentRow{
				{spec: segment.Spec{Log: 2, Number: 1, Nonce: 11}, end: 9000},
				{spec: segment.Spec{Log: 2, Number: 2, Base: 4, Nonce: 12, Chain: 3}, end: 4096},
			},
			producers: p.append(nil, 7, commitlog.DedupWindow{MaxAge: 1 << 40}),
		},
	}}
	b = t.encode(id)
	decoded, err := decodeTable(b, id)
	require.NoError(f, err)
	require.Len(f, decoded.rows, 2)
	require.Equal(f, t.rows[1], decoded.rows[1])
	return b, id
}

// Goal: whatever the bytes of a table, with a checksum that is right, they are
// refused, or they are a table that encodes to one that says the same.
func FuzzTable(f *testing.F) {
	whole, id := fuzzTable(f)
	f.Add(whole)
	f.Add(whole[:120])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Clone(b)
		if len(b) >= 28 { // what stands before the fields is not what is looked at
			binary.LittleEndian.PutUint32(b, tableMagic)
			copy(b[12:28], id[:])
			binary.LittleEndian.PutUint32(b[4:], frame.Checksum(b[8:]))
		}
		table, err := decodeTable(b, id)
		if err != nil {
			return
		}
		again, err := decodeTable(table.encode(id), id)
		require.NoError(t, err)
		require.Equal(t, table, again)
		for i := range table.rows {
			l := &sourceLog{}
			l.producers.read(&tableReader{b: table.rows[i].producers})
		}
	})
}

// Goal: what is no identity is no directory of ours, or one that is refused.
func FuzzIdentity(f *testing.F) {
	for _, s := range specimens(f)[:1] {
		f.Add(s.files[identityName])
	}
	f.Add([]byte(identityMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := vfstest.NewMem()
		file, err := fs.Create(identityName, vfs.Buffered)
		require.NoError(t, err)
		if len(b) > 0 {
			_, err = file.WriteAt(b, 0)
			require.NoError(t, err)
		}
		id, err := readIdentity(fs)
		if err == nil {
			require.Len(t, b, identitySize)
			require.Equal(t, b[16:32], id[:])
			require.False(t, later(fs, identityName))
		}
	})
}

// Goal: the promises of TestDamageAnywhere hold for any bytes in any file, with
// checksums or without.
func FuzzDirectory(f *testing.F) {
	all := specimens(f)
	for i := range all {
		f.Add(uint8(i), uint8(i), uint32(100*i), []byte("anything"), false)
	}
	f.Add(uint8(0), uint8(3), uint32(0), []byte{}, true)
	f.Fuzz(func(t *testing.T, which, file uint8, pos uint32, b []byte, cut bool) {
		s := all[int(which)%len(all)]
		names := slices.Sorted(maps.Keys(s.files))
		name := names[int(file)%len(names)]
		content := slices.Clone(s.files[name])
		at := 0
		if len(content) > 0 {
			at = int(pos) % len(content)
		}
		if n := copy(content[at:], b); cut {
			content = content[:at+n]
		}
		require.NoError(t, s.check(t, fault{text: "fuzz", files: map[string][]byte{name: content}}, true, &outcomes{}))
	})
}

package commitlog_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
)

// Goal: DecodeRecord never panics, takes what the generated code takes and
// refuses what it refuses, and decodes the same record; what it returns encodes
// and decodes to itself. There are two differences, both deliberate: a header
// name that is not UTF-8 is taken, since what is in the log has to be read, and
// a group, which proto3 does not have, is refused.
func FuzzDecodeRecord(f *testing.F) {
	for _, r := range edgeRecords() {
		if commitlog.EnvelopeSize(&r) < 1<<10 {
			f.Add(marshal(f, toProto(r)))
		}
	}
	for _, b := range [][]byte{
		{0x0a, 5, 'a'},                       // a value longer than what is there
		{0x2a, 2, 0x08, 1, 0x2a, 2, 0x10, 7}, // two timestamps, which merge
		{0x10, 1, 0x10, 2},                   // two offsets: the last one holds
		{0x32, 2, 0x0a, 9},                   // a header whose name is too long
		{0x32, 3, 0x0a, 1, 0xff},             // a header whose name is not UTF-8
		{0x2a, 11, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, // negative nanoseconds
		{0x00, 1}, {0x07}, {0x80, 0x00, 1}, // field number 0
		{0x80, 0x80, 0x80, 0x80, 0x10, 1},     // a field number that is too high
		{0x3b, 0x08, 1, 0x3c}, {0x3b}, {0x3c}, // groups
		{0x8a, 0x00, 1, 'a'}, // a tag that is longer than need be
		{0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}, // an offset over 64 bits
		{0x39, 1, 2, 3}, {0x3d, 1, 2, 3}, // fixed fields that are cut
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := commitlog.DecodeRecord(b)
		generated := &logv1.Record{}
		generatedErr := proto.Unmarshal(b, generated)
		switch {
		case err != nil:
			require.ErrorIs(t, err, commitlog.ErrEncoding)
			require.True(t, generatedErr != nil || hasGroup(b), "refused: %v", generated)
		case generatedErr != nil:
			require.ErrorContains(t, generatedErr, "UTF-8", "taken: %+v", got)
		default:
			want := fromProto(generated)
			require.True(t, equalRecords(want, got), "want %+v, got %+v", want, got)
		}
		if err == nil {
			again, err := commitlog.RecordBytes(commitlog.AppendEnvelope(nil, &got))
			require.NoError(t, err)
			twice, err := commitlog.DecodeRecord(again)
			require.NoError(t, err)
			require.True(t, equalRecords(got, twice), "%+v became %+v", got, twice)
		}
	})
}

// hasGroup says whether a message that the generated code has taken holds a
// group, at the top or in a field that may be a message of the record.
func hasGroup(b []byte) bool {
	for len(b) > 0 {
		_, kind, tag := protowire.ConsumeTag(b)
		if tag < 0 || kind == protowire.StartGroupType {
			return tag >= 0
		}
		n := protowire.ConsumeFieldValue(1, kind, b[tag:])
		if n < 0 {
			return false
		}
		if field, _ := protowire.ConsumeBytes(b[tag:]); kind == protowire.BytesType && hasGroup(field) {
			return true
		}
		b = b[tag+n:]
	}
	return false
}

// Goal: whatever the bytes, CutEnvelope takes the prefix's word or refuses, and
// loses no byte; RecordBytes, AppendBatch and All agree about what is a run.
func FuzzCutEnvelope(f *testing.F) {
	var run []byte
	for _, r := range edgeRecords() {
		if commitlog.EnvelopeSize(&r) < 1<<10 {
			run = commitlog.AppendEnvelope(run, &r)
			f.Add(commitlog.AppendEnvelope(nil, &r))
		}
	}
	f.Add(run)
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 0x12})
	f.Add([]byte{1, 0, 0, 0, 2, 0x12, 0})
	f.Add([]byte{0, 0, 0, 0, 2, 0x12, 0})
	f.Add([]byte{0, 0, 0, 0, 3, 0x12, 0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := true   // the bytes are envelopes with a record in each
		decodes := true // and these are records
		for rest := b; len(rest) > 0 && whole; {
			envelope, after, err := commitlog.CutEnvelope(rest)
			if err != nil {
				require.ErrorIs(t, err, commitlog.ErrEncoding)
				whole = false
				break
			}
			require.GreaterOrEqual(t, len(envelope), commitlog.EnvelopePrefix)
			require.True(t, bytes.Equal(rest, append(bytes.Clone(envelope), after...)))
			require.Equal(t, len(envelope), cap(envelope), "an append would overwrite what follows")
			record, err := commitlog.RecordBytes(envelope)
			if err != nil {
				require.ErrorIs(t, err, commitlog.ErrEncoding)
				whole = false
				break
			}
			_, err = commitlog.DecodeRecord(record)
			decodes = decodes && err == nil
			rest = after
		}
		batch, err := commitlog.AppendBatch(nil, b)
		require.Equal(t, whole, err == nil)
		if whole && decodes {
			requireBatchOfRun(t, b, batch)
		}
		clean := true
		for _, err := range (commitlog.Run{Envelopes: b}).All() {
			clean = clean && err == nil
		}
		require.Equal(t, whole && decodes, clean)
	})
}

// requireBatchOfRun holds a batch to the generated code, which sees the records
// of the run in it, unless it refuses a header name.
func requireBatchOfRun(t *testing.T, run, batch []byte) {
	m := &logv1.ConsumeResponse{}
	if err := proto.Unmarshal(batch, m); err != nil {
		require.ErrorContains(t, err, "UTF-8")
		return
	}
	i := 0
	for r := range (commitlog.Run{Envelopes: run}).All() {
		require.True(t, equalRecords(fromProto(m.Records[i]), r))
		i++
	}
	require.Len(t, m.Records, i)
}

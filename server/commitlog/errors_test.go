package commitlog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// Goal: an unknown outcome is recognised through any wrapping and keeps its
// cause; no other error passes for one.
func TestOutcomeUnknown(t *testing.T) {
	err := fmt.Errorf("append: %w", commitlog.OutcomeUnknown(context.Canceled))
	require.ErrorIs(t, err, commitlog.ErrOutcomeUnknown)
	require.ErrorIs(t, err, context.Canceled)
	for _, other := range []error{
		commitlog.ErrClosed, commitlog.ErrOverloaded, commitlog.ErrStorageFull, commitlog.ErrStorageFailed,
		&commitlog.OffsetMismatchError{}, context.Canceled,
	} {
		assert.NotErrorIs(t, other, commitlog.ErrOutcomeUnknown)
	}
}

// Goal: each typed error says what happened, with its numbers.
func TestErrorTexts(t *testing.T) {
	bounds := commitlog.Bounds{First: 5, Next: 9}
	cause := errors.New("a cause")
	for _, c := range []struct {
		err  error
		want string
	}{
		{&commitlog.OffsetError{Offset: 4, Bounds: bounds}, "offset 4 is trimmed: the log begins at 5"},
		{&commitlog.OffsetError{Offset: 9, Bounds: bounds}, "offset 9 is not yet written: the log's next offset is 9"},
		{&commitlog.OffsetMismatchError{Expected: 3, Next: 4}, "expected offset 3, but the log's next offset is 4"},
		{&commitlog.TooLargeError{What: "headers", Size: 65, Limit: 64}, "65 headers are over the limit of 64"},
		{&commitlog.DamagedError{First: 1, Next: 3, Cause: cause}, "records from 1 up to 3 are damaged: a cause"},
		{&commitlog.LogNotFoundError{Name: "a\nb"}, `there is no log "a\nb"`},
		{&commitlog.LogSealedError{Next: 7}, "the log is sealed at offset 7"},
		{&commitlog.FencedError{Epoch: 3}, "a producer with this id and the higher epoch 3 is in force"},
		{&commitlog.SequenceGapError{Epoch: 2, Expected: 5}, "sequence 5 of epoch 2 was expected"},
		{&commitlog.SequenceForgottenError{Expected: 300}, "the outcome of this sequence is forgotten; the next is 300"},
		{&commitlog.SequenceReusedError{Sequence: 4}, "sequence 4 came before with other records"},
		{&commitlog.InvalidBatchError{Why: "of this"}, "invalid batch: of this"},
		{&commitlog.InvalidLogNameError{Why: "of this"}, "invalid log name: of this"},
		{&commitlog.UnsupportedError{Capability: "named logs"}, "this engine does not support named logs"},
	} {
		assert.EqualError(t, c.err, c.want)
	}
	assert.ErrorIs(t, &commitlog.DamagedError{Cause: cause}, cause)
}

// Goal: an offset counts as trimmed below the first offset only.
func TestOffsetErrorTrimmed(t *testing.T) {
	bounds := commitlog.Bounds{First: 5, Next: 9}
	for offset, want := range map[uint64]bool{0: true, 4: true, 5: false, 9: false, 100: false} {
		assert.Equal(t, want, (&commitlog.OffsetError{Offset: offset, Bounds: bounds}).Trimmed(), "offset %d", offset)
	}
	assert.False(t, (&commitlog.OffsetError{}).Trimmed())
}

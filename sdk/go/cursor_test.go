package proglog_test

import (
	"sync/atomic"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

// requireOutOfDate checks that a cursor does not store its place.
func requireOutOfDate(t *testing.T, cursor *proglog.Cursor) {
	t.Helper()
	err := cursor.Commit(t.Context())
	require.Error(t, err)
	assert.Equal(t, proglog.ReasonOffsetMismatch, proglog.ReasonOf(err), "%v", err)
	assert.Equal(t, proglog.CodeAborted, proglog.CodeOf(err))
	requireOutcome(t, err, proglog.ErrNothingAppended)
}

// Goal: a cursor that another has moved stores nothing, however often it tries, until
// it has read the place of the other.
func TestCursorOutOfDate(t *testing.T) {
	f := startFake(t, withLogs)
	f.fill(20)
	c := connectTo(t, f.url)
	late, early := c.Cursor("", "x"), c.Cursor("", "x")
	for _, cursor := range []*proglog.Cursor{late, early} {
		_, err := cursor.Get(t.Context())
		require.NoError(t, err)
	}
	early.Set(15)
	require.NoError(t, early.Commit(t.Context()))
	late.Set(3)
	requireOutOfDate(t, late)
	requireOutOfDate(t, late)
	late.Set(4)
	requireOutOfDate(t, late)
	early.Set(16)
	require.NoError(t, early.Commit(t.Context()), "nobody has moved it")

	place, err := late.Get(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uint64(16), place.Offset)
	late.Set(17)
	require.NoError(t, late.Commit(t.Context()))
	requireOutOfDate(t, func() *proglog.Cursor { early.Set(5); return early }())
	_, err = early.Restart(t.Context())
	require.NoError(t, err)
	require.NoError(t, early.Commit(t.Context()), "it was decided to begin anew")
}

// Goal: a cursor whose place nobody has read does not overwrite one that is stored;
// if none is, it stores the first.
func TestCursorThatWasNotRead(t *testing.T) {
	f := startFake(t, withLogs)
	f.fill(20)
	c := connectTo(t, f.url)
	first := c.Cursor("", "x")
	first.Set(7)
	require.NoError(t, first.Commit(t.Context()))
	first.Set(8)
	require.NoError(t, first.Commit(t.Context()))
	second := c.Cursor("", "x")
	second.Set(0)
	requireOutOfDate(t, second)
	requireOutOfDate(t, second)
	place, err := second.Get(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uint64(8), place.Offset)
}

// Goal: a commit of which nobody told, since the server went away, is known as the
// cursor's own when the server is back.
func TestCursorKnowsItsOwnCommit(t *testing.T) {
	f := startFake(t, withLogs)
	f.fill(20)
	cursor := connectTo(t, f.url).Cursor("", "x")
	_, err := cursor.Get(t.Context())
	require.NoError(t, err)
	var gone atomic.Bool
	f.set(func() {
		f.afterUnary = func() error {
			if gone.Load() {
				f.conns.cut()
			}
			return nil
		}
		f.onUnary = func(int) error {
			if gone.Load() && len(f.named["cursor/x"].values()) > 0 {
				return connect.NewError(connect.CodeUnavailable, "gone")
			}
			return nil
		}
	})
	gone.Store(true)
	cursor.Set(3)
	requireOutcome(t, cursor.Commit(t.Context()), proglog.ErrOutcomeUnknown)
	gone.Store(false)
	cursor.Set(4)
	require.NoError(t, cursor.Commit(t.Context()))
	place, err := cursor.Get(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uint64(4), place.Offset)
	assert.Len(t, f.named["cursor/x"].values(), 2)
}

// Goal: a place that is stored for the first time is one of the log that was there when
// the cursor was read, and not of one that has taken its name since.
func TestCursorOfALogThatWasReplaced(t *testing.T) {
	f := startFake(t, withLogs)
	f.fill(5)
	c := connectTo(t, f.url)
	cursor := c.Cursor("", "x")
	place, err := cursor.Get(t.Context())
	require.NoError(t, err)
	assert.Equal(t, proglog.Place{}, place, "nothing is stored")
	collect(t, c.Records(t.Context(), place.Start(), proglog.Until(3)), 0, 3)
	f.set(func() { f.logID = "id-2" })
	cursor.Set(3)
	require.NoError(t, cursor.Commit(t.Context()))
	place, err = c.Cursor("", "x").Get(t.Context())
	require.NoError(t, err)
	assert.Equal(t, proglog.Place{LogID: "id-1", Offset: 3}, place)
	for _, err := range c.Records(t.Context(), place.Start()) {
		assert.Equal(t, proglog.ReasonLogChanged, proglog.ReasonOf(err))
	}
}

// Goal: a cursor on a log that is not there yet can be read; it stores the identity
// that the log has when a place is.
func TestCursorOfALogToCome(t *testing.T) {
	f := startFake(t, withLogs)
	c := connectTo(t, f.url)
	cursor := c.Cursor("later", "x")
	place, err := cursor.Get(t.Context())
	require.NoError(t, err)
	assert.Equal(t, proglog.Place{}, place)
	info, _, err := c.PutLog(t.Context(), "later")
	require.NoError(t, err)
	cursor.Set(0)
	require.NoError(t, cursor.Commit(t.Context()))
	place, err = cursor.Get(t.Context())
	require.NoError(t, err)
	assert.Equal(t, proglog.Place{LogID: info.ID}, place)
}

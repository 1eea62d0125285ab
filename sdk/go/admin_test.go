package proglog_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"connectrpc.com/connect/v2"

	proglog "github.com/proglog/proglog/sdk/go"
)

// Goal: when the answer to the creation of a log is lost, nobody is told that there
// was one already: the log may be the one that the call made. An answer that was not
// lost, after an error of the server or none, is as definite as ever.
func TestCreateLogWhoseAnswerIsLost(t *testing.T) {
	f := startFake(t, withLogs)
	c := connectTo(t, f.url)
	lost := true
	f.set(func() {
		f.afterPut = func() error {
			if lost {
				lost = false
				f.conns.cut()
			}
			return nil
		}
	})
	keep := proglog.Retain(proglog.Retention{MaxBytes: 1 << 20})
	_, err := c.CreateLog(t.Context(), "a", keep)
	require.ErrorIs(t, err, proglog.ErrOutcomeUnknown)
	assert.NotEqual(t, proglog.CodeAlreadyExists, proglog.CodeOf(err))
	require.ErrorContains(t, err, "PutLog")
	info, created, err := c.PutLog(t.Context(), "a", keep)
	require.NoError(t, err)
	assert.False(t, created)
	assert.Equal(t, uint64(1<<20), info.Retention.MaxBytes)

	_, err = c.CreateLog(t.Context(), "a", keep)
	assert.Equal(t, proglog.CodeAlreadyExists, proglog.CodeOf(err))
	require.NotErrorIs(t, err, proglog.ErrOutcomeUnknown)

	refuse := true
	f.set(func() {
		f.beforePut = func() error {
			if refuse {
				refuse = false
				return draining(true)
			}
			return nil
		}
	})
	_, err = c.CreateLog(t.Context(), "a", keep)
	assert.Equal(t, proglog.CodeAlreadyExists, proglog.CodeOf(err))
	require.NotErrorIs(t, err, proglog.ErrOutcomeUnknown)
}

// Goal: a log that was made, but whose settings were refused, is told as such.
func TestCreateLogWhoseSettingsAreRefused(t *testing.T) {
	f := startFake(t, withLogs)
	puts := 0
	f.set(func() {
		f.beforePut = func() error {
			if puts++; puts > 1 {
				return connect.NewError(connect.CodeInvalidArgument, "no such retention")
			}
			return nil
		}
	})
	_, err := connectTo(t, f.url).CreateLog(t.Context(), "a", proglog.Retain(proglog.Retention{MaxBytes: 1}))
	assert.Equal(t, proglog.CodeInvalidArgument, proglog.CodeOf(err))
	require.ErrorContains(t, err, `"a" was made, but`)
}

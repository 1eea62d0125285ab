package proglog_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

// Goal: a header or a user agent that can never be sent is refused by New, without
// telling a value that may be a secret.
func TestNewRefusesWhatCannotBeSent(t *testing.T) {
	for name, o := range map[string]proglog.Option{
		"a name with a space":    proglog.WithHeader("Bad Name", "secret"),
		"a name in UTF-8":        proglog.WithHeader("Größe", "secret"),
		"no name":                proglog.WithHeader("", "secret"),
		"a value with a newline": proglog.WithHeader("X-Team", "secret\ny"),
		"a value in UTF-8":       proglog.WithHeader("X-Team", "secret ü"),
		"a header of HTTP":       proglog.WithHeader("content-length", "7"),
		"a header of Connect":    proglog.WithHeader("connect-timeout-ms", "7"),
		"a user agent":           proglog.WithUserAgent("secret\ny"),
	} {
		_, err := proglog.New("http://localhost", o)
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), "secret", name)
	}
	c, err := proglog.New("http://localhost", proglog.WithHeader("X-Team.1", "blue\tand red"), proglog.WithUserAgent("a/1 (b; c)"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

// Goal: a token that can never be sent ends a call, a reader and a producer at
// once, with nothing appended, also when the tokens before it were good.
func TestTokenThatCannotBeSent(t *testing.T) {
	f := startFake(t)
	f.fill(3)
	var bad atomic.Bool
	var asked atomic.Int64
	c := connectTo(t, f.url, proglog.WithToken(func(context.Context) (string, error) {
		asked.Add(1)
		if bad.Load() {
			return "secret\n", nil
		}
		return "good", nil
	}))
	refused := func(err error) {
		t.Helper()
		require.Equal(t, proglog.CodeInvalidArgument, proglog.CodeOf(err), "%v", err)
		assert.NotContains(t, err.Error(), "secret")
	}
	p, err := c.NewProducer(t.Context(), proglog.InLog("other"))
	require.NoError(t, err)
	sendAll(t, p, 1)
	n := 0 // of 4 records: the fake has one log under all names
	for _, err := range c.Follow(t.Context()) {
		if n++; n <= 4 {
			require.NoError(t, err)
			if n == 4 {
				bad.Store(true)
				f.conns.cut()
			}
			continue
		}
		refused(err)
	}
	require.Equal(t, 5, n)
	if future, err := p.Send(t.Context(), record("a")); err == nil {
		// It may have been there when the producer found out by its own connection.
		_, err = future.Wait(t.Context())
		require.Contains(t, []proglog.Code{proglog.CodeInvalidArgument, proglog.CodeAborted}, proglog.CodeOf(err), "%v", err)
		requireOutcome(t, err, proglog.ErrNothingAppended)
		require.ErrorContains(t, err, "the token cannot be sent")
		assert.NotContains(t, err.Error(), "secret")
	}
	<-p.Done()
	refused(p.Err())

	asked.Store(0)
	before := len(f.values())
	_, err = c.Produce(t.Context(), record("a"), proglog.Alone())
	refused(err)
	requireOutcome(t, err, proglog.ErrNothingAppended)
	_, err = c.Produce(t.Context(), record("a"))
	refused(err)
	requireOutcome(t, err, proglog.ErrNothingAppended)
	_, err = c.Consume(t.Context(), 0)
	refused(err)
	assert.Equal(t, int64(3), asked.Load(), "nothing was tried again")
	assert.Len(t, f.values(), before)
}

// Goal: what can never be sent in a call is refused by the call, typed, before
// anything is sent: it is not tried again, and of a write nothing is in doubt.
func TestCallsRefuseWhatCannotBeSent(t *testing.T) {
	f := startFake(t)
	c := connectTo(t, f.url)
	ctx := t.Context()
	write := func(opts ...proglog.ProduceOption) error {
		_, err := c.Produce(ctx, record("a"), opts...)
		requireOutcome(t, err, proglog.ErrNothingAppended)
		return err
	}
	read := func(opts ...proglog.ReadOption) (last error) {
		for _, err := range c.Follow(ctx, opts...) {
			last = err
		}
		for _, err := range c.Records(ctx, opts...) {
			require.Equal(t, proglog.CodeOf(last), proglog.CodeOf(err))
		}
		_, err := c.ConsumeBatch(ctx, opts...)
		return errors.Join(last, err)
	}
	consume := func(opts ...proglog.ConsumeOption) error {
		_, err := c.Consume(ctx, 0, opts...)
		return err
	}
	put := func(name string, settings ...proglog.LogSetting) error {
		_, _, err := c.PutLog(ctx, name, settings...)
		_, err2 := c.CreateLog(ctx, name, settings...)
		require.Equal(t, proglog.CodeInvalidArgument, proglog.CodeOf(err2), "%v", err2)
		return err
	}
	trim := func(name string) error { _, err := c.TrimLog(ctx, name, 1); return err }
	seal := func(name string) error { _, err := c.SealLog(ctx, name); return err }
	list := func(prefix string) (last error) {
		for _, err := range c.Logs(ctx, prefix) {
			last = err
		}
		return last
	}
	for name, err := range map[string]error{
		"a nil option of Produce":      write(nil),
		"a nil option of Consume":      consume(nil),
		"a nil option of Follow":       read(nil),
		"a nil setting":                put("a", nil),
		"a negative wait":              consume(proglog.Wait(-1)),
		"a negative wait of a batch":   read(proglog.Wait(-1)),
		"a negative heartbeat":         read(proglog.Heartbeat(-1)),
		"no records of a batch":        read(proglog.BatchRecords(0)),
		"a time beyond the calendar":   read(proglog.FromTime(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))),
		"a log's name, in a write":     write(proglog.InLog("\xff")),
		"a log's name, in a read":      read(proglog.InLog("\xff")),
		"a log's name, of a record":    consume(proglog.InLog("\xff")),
		"a log's name, in settings":    put("\xff"),
		"a log's name, to trim":        trim("\xff"),
		"a log's name, to delete":      c.DeleteLog(ctx, "\xff"),
		"a log's name, to seal":        seal("\xff"),
		"a prefix":                     list("\xff"),
		"the identity of a reader":     read(proglog.OnlyLog("\xff")),
		"a log's identity":             consume(proglog.OnlyLog("\xff")),
		"a producer's id":              write(proglog.Sequence("\xff", 0, 0)),
		"a producer's id that is long": write(proglog.Sequence(string(make([]byte, 65)), 0, 0)),
	} {
		assert.Equal(t, proglog.CodeInvalidArgument, proglog.CodeOf(err), "%s: %v", name, err)
	}
	f.set(func() { assert.Empty(t, f.headers, "nothing was sent") })
	for name, o := range map[string]proglog.ProducerOption{
		"nil": nil, "linger": proglog.Linger(-1), "give up": proglog.GiveUpAfter(-1),
		"log": proglog.InLog("\xff"), "id": proglog.Identity("\xff", 0),
	} {
		_, err := c.NewProducer(ctx, o)
		assert.Error(t, err, name)
	}
}

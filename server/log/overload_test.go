package log

import (
	"context"
	"errors"
	"math/rand/v2"
	"path"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// More than the queue holds is refused at once, before it has an offset.
func TestFullQueueIsOverloaded(t *testing.T) {
	fs := vfstest.NewMem()
	options := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	options.inline, options.random, options.Now, options.QueueBatches = false, nil, nil, 3
	e, err := Open("mem", options)
	require.NoError(t, err)
	defer e.Close()
	ctx := context.Background()
	l := e.named("")
	blocked, release := make(chan struct{}, 1), make(chan struct{})
	fs.SetHook(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpWriteAt && op.Phase == vfstest.Before && path.Dir(op.Name) == journalDir {
			select {
			case blocked <- struct{}{}:
			default:
			}
			<-release
		}
		return nil
	})
	results := make(chan error, 10)
	send := func() {
		_, err := l.Append(ctx, oneBatch("queued"))
		results <- err
	}
	go send()
	<-blocked
	for range 5 {
		go send()
	}
	for range 2 { // three queue, two are refused while the disk still hangs
		require.ErrorIs(t, <-results, commitlog.ErrOverloaded)
	}

	// A caller that leaves the queue is told for certain that nothing of it was
	// appended; one that leaves while it is written is not.
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = l.Append(gone, oneBatch("never"))
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, commitlog.ErrOutcomeUnknown)
	close(release)
	for range 4 {
		require.NoError(t, <-results)
	}
	assert.Len(t, readable(t, e), 4)
}

// A caller whose context ends while its batch is being written does not know.
func TestLeavingWhileItIsWrittenIsUnknown(t *testing.T) {
	c := &committer{}
	p := &pending{taken: true}
	require.ErrorIs(t, c.leave(p, context.Canceled), commitlog.ErrOutcomeUnknown)
	p = &pending{}
	err := c.leave(p, context.Canceled)
	require.NotErrorIs(t, err, commitlog.ErrOutcomeUnknown)
	require.True(t, p.withdrawn)
	require.True(t, errors.Is(err, context.Canceled))
}

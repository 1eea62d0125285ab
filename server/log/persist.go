package log

import (
	"fmt"
	"sync"

	"github.com/proglog/proglog/server/log/internal/bug"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// syncers is how many segments are synced at a time: the disk does more with
// several in flight, up to about this many.
const syncers = 8

// unwrittenError is of segments that are not durable. It tells of the first: on a full
// disk there may be thousands.
type unwrittenError []error

func unwritten(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return unwrittenError(errs)
}

func (e unwrittenError) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	return fmt.Sprintf("%v (and %d more segments)", e[0], len(e)-1)
}

func (e unwrittenError) Unwrap() []error { return e }

// persist makes segments durable: many with one sync of all files, else several at
// a time. It goes on after an error, and returns all of them. Appends that wait for
// room in memory go on as it gets there, not when all is done: to make the files of
// 10,000 new logs can take seconds.
func (e *Engine) persist(list []*segment.Segment) error {
	if len(list) >= e.options.syncAllFrom && e.watch != nil {
		return e.persistAll(list)
	}
	if e.options.inline || len(list) < 2 {
		var errs []error
		for _, g := range list {
			if err := g.Persist(); err != nil {
				errs = append(errs, err)
			}
			e.tails.cleared()
		}
		return unwritten(errs)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	next := make(chan *segment.Segment)
	for range min(syncers, len(list)) {
		wg.Go(func() {
			for g := range next {
				if err := g.Persist(); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
				e.tails.cleared()
			}
		})
	}
	for _, g := range list {
		next <- g
	}
	close(next)
	wg.Wait()
	return unwritten(errs)
}

// syncAllFrom is from how many segments on one sync of all files is cheaper than
// one of each.
const syncAllFrom = 64

// persistAll makes many segments durable with one sync.
func (e *Engine) persistAll(list []*segment.Segment) error {
	var errs []error
	var let []func()
	for _, g := range list {
		done, err := g.FlushAndLet()
		e.tails.cleared()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		let = append(let, done)
	}
	// Also after an error: nobody holds the others open any more.
	err := e.watch.Sync()
	if err != nil && bug.On(bug.SyncRetried) {
		err = e.watch.Sync()
	}
	if err != nil {
		return unwritten(append(errs, &segment.SyncError{Err: fmt.Errorf("sync all files: %w", err)}))
	}
	for _, done := range let {
		done()
	}
	return unwritten(errs)
}

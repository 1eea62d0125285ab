package log

import (
	"errors"
	"fmt"
	"slices"

	"github.com/proglog/proglog/server/commitlog"
)

// together makes calls that queue while the committer is at work, so that they
// come into one group, or into several if they are too large for one. Each call
// waits in a goroutine of its own, but only one goroutine runs at a time: what is
// done, and in which order, depends on the calls alone.
func (s *sim) together(calls ...*simCall) error {
	c := &s.engine.committer
	c.mu.Lock()
	c.busy = true // from here on calls queue, as behind a group that is being written
	c.mu.Unlock()
	var errs []error
	var waiting []*simCall
	for _, call := range calls {
		call.done = make(chan struct{})
		go func() {
			defer close(call.done)
			call.err = call.do()
		}()
		select {
		case <-s.queued:
			waiting = append(waiting, call)
		case <-call.done: // it needs no group, or was refused
			call.begin()
			errs = append(errs, call.end(call.err))
		}
	}
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.busy = false
			c.idle.Broadcast()
			c.mu.Unlock()
			return errors.Join(errs...)
		}
		group := c.take()
		c.mu.Unlock()
		var taken []*simCall
		taken, waiting = s.callsOf(group, waiting)
		for _, call := range taken {
			call.begin()
		}
		s.trace = appendTrace(s.trace, "group of", len(group))
		c.commit(group)
		for _, call := range taken {
			<-call.done
		}
		for _, call := range taken {
			errs = append(errs, call.end(call.err))
		}
	}
}

func appendTrace(trace []string, what ...any) []string {
	if trace == nil {
		return nil
	}
	return append(trace, fmt.Sprintln(what...))
}

// callsOf parts the calls of a group, changes first, from those that still wait.
func (s *sim) callsOf(group []*pending, waiting []*simCall) (taken, rest []*simCall) {
	changes, appends, logs := 0, map[*commitlog.Batch]bool{}, map[*Log]bool{}
	for _, p := range group {
		logs[p.log] = true
		if p.log == nil {
			changes++
		} else {
			appends[&p.batches[0]] = true
		}
	}
	delete(logs, nil)
	s.widest = max(s.widest, len(logs))
	var behind []*simCall
	for _, call := range waiting {
		switch {
		case call.batches == nil && changes > 0: // they keep their order
			changes--
			taken = append(taken, call)
		case call.batches != nil && appends[&call.batches[0]]:
			behind = append(behind, call)
		default:
			rest = append(rest, call)
		}
	}
	if len(taken)+len(behind) != len(group) {
		s.fail("a group of %d calls, of which %d are known", len(group), len(taken)+len(behind))
	}
	return append(taken, behind...), rest
}

// group makes random calls together: several batches and calls to each of several
// logs, one producer's among them, and changes of some.
func (s *sim) group() error {
	var calls []*simCall
	changed, others := map[string]bool{}, map[string]uint64{}
	add := func(call *simCall) {
		if call != nil {
			calls = append(calls, call)
		}
	}
	for range 2 + s.rng.IntN(8) {
		name := s.names[s.rng.IntN(len(s.names))]
		switch n := s.rng.IntN(24); {
		case n > 6:
			if !s.logs[name].made && name != "" {
				if !changed[name] {
					changed[name] = true
					add(s.createCall(name))
				}
				continue
			}
			var batches []commitlog.Batch
			produced, size := uint64(0), int64(0)
			for range 1 + s.rng.IntN(3) {
				b := s.batch(s.rng.IntN(2) == 0, s.sizes()...)
				if size += sizeOf(&b); size > s.engine.options.GroupBytes {
					break // a larger call would come in two parts, the second behind its group
				}
				if b.Producer != nil {
					produced++
				}
				batches = append(batches, b)
			}
			add(s.appendAfter(name, others[name], batches...))
			others[name] += produced
		case n == 0:
			name = s.newName(changed)
			changed[name] = true
			add(s.createCall(name))
		case changed[name]:
		case n == 1:
			changed[name] = true
			add(s.trimCall(name, s.logs[name].base+uint64(s.rng.IntN(len(s.logs[name].acked)+1))))
		case n == 2:
			changed[name] = true
			if call := s.deleteCall(name); call != nil {
				add(call)
				if s.rng.IntN(3) > 0 {
					add(s.createCall(name))
				}
			}
		case n == 3:
			changed[name] = true
			add(s.sealCall(name))
		default:
			changed[name] = true
			add(s.keepCall(name))
		}
	}
	return s.together(slices.Clip(calls)...)
}

// threeLogs appends, in one group, two batches of the producer of each of the logs
// that there are, up to three, in two calls, and one of nobody.
func (s *sim) threeLogs() error {
	var calls []*simCall
	for _, name := range s.names {
		if s.engine.named(name) == nil || s.logs[name].sealed || len(calls) == 6 {
			continue
		}
		calls = append(calls,
			s.appendAfter(name, 0, s.batch(true, s.rng.IntN(600)), s.batch(false, 9)),
			s.appendAfter(name, 1, s.batch(true, s.rng.IntN(200), 5)))
	}
	return s.together(calls...)
}

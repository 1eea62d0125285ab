package load

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/proglog/proglog/server/torture/internal/wire"

	proglog "github.com/proglog/proglog/sdk/go"
)

// tail follows a log until the load ends.
type tail struct {
	log  Log
	next atomic.Uint64
}

// follow starts a tail, behind or a little before what is known of the log.
func (l *Load) follow(log Log, random *rand.Rand) {
	first, next := log.History.Known()
	from := next - random.Uint64N(min(next-first, 500)+1)
	t := &tail{log: log}
	t.next.Store(from)
	client := l.clients[len(l.tails)%len(l.clients)]
	seen := log.History.Tail(fmt.Sprint(len(l.tails)), from)
	l.tails = append(l.tails, t)
	l.reading.Go(func() {
		for {
			var err error
			some := false
			for record, e := range client.Follow(l.run, proglog.InLog(log.Name), proglog.From(seen.Next())) {
				if err = e; err != nil {
					break
				}
				if err := seen.Saw(&record); err != nil {
					l.fail(err)
					return
				}
				t.next.Store(seen.Next())
				some = true
			}
			var removed *proglog.Error
			switch {
			case l.run.Err() != nil:
				return
			case proglog.ReasonOf(err) == proglog.ReasonOffsetTrimmed && asError(err, &removed) && removed.FirstOffset > seen.Next():
				seen.Jump(removed.FirstOffset)
				t.next.Store(seen.Next())
			case !some && proglog.CodeOf(err) == proglog.CodeUnavailable:
				wire.Sleep(l.run, failurePause) // a follower that never got through gives up
			case l.forgiving.Load() && proglog.CodeOf(err) == proglog.CodeDataLoss:
				wire.Sleep(l.run, failurePause)
			default:
				l.fail(fmt.Errorf("a tail of %q ended at offset %d: %w", log.Name, seen.Next(), orEnd(err)))
				return
			}
		}
	})
}

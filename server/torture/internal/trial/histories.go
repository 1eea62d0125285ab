package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/proglog/proglog/server/torture/internal/audit"
	"github.com/proglog/proglog/server/torture/internal/history"
	"github.com/proglog/proglog/server/torture/internal/load"
	"github.com/proglog/proglog/server/torture/internal/proxy"

	proglog "github.com/proglog/proglog/sdk/go"
)

const (
	// historyCalls is how many calls a history has at most: what a checker can judge.
	historyCalls = 12_000
	// verdictLimit is how long the checker may take.
	verdictLimit = time.Minute
)

// Histories has few clients make calls of every kind at the same time, over every
// protocol and through a proxy, while the server is killed, stopped and cut off, and
// checks that their answers are those of one log, one call at a time. Each cycle is a
// history, on a log of its own.
func Histories(ctx context.Context, env *Env, seed uint64, cycles int) (tally Tally, err error) {
	dir, err := env.fresh("histories")
	if err != nil {
		return tally, err
	}
	s, err := newStorm(ctx, env, dir, seed)
	if s != nil {
		defer s.close()
	}
	if err != nil {
		return tally, err
	}
	through, err := proxy.New(s.addr)
	if err != nil {
		return tally, err
	}
	defer func() { err = errors.Join(err, through.Close()) }()
	return s.run(ctx, seed, cycles, func(ctx context.Context, seed uint64) error { return s.makeHistory(ctx, through, seed) })
}

// makeHistory is one cycle.
func (s *storm) makeHistory(ctx context.Context, through *proxy.Proxy, seed uint64) error {
	began := time.Now()
	random := rand.New(rand.NewPCG(seed, 23))
	log := load.Log{Name: fmt.Sprintf("history/%d", seed), History: audit.NewHistory(random.Uint64())}
	admin, err := proglog.New(s.server.URL())
	if err != nil {
		return err
	}
	defer admin.Close()
	if _, err := admin.CreateLog(ctx, log.Name); err != nil {
		return err
	}
	crowd := newCrowd(ctx, through.URL(), log, random)
	defer crowd.end()
	var did string
	before := uint64(0)
	for range 2 + random.IntN(2) {
		if before, err = crowd.awaitMore(ctx); err != nil {
			return fmt.Errorf("after%s: %w", did, err)
		}
		what, err := s.disturb(ctx, through, random)
		did += " " + what + ","
		if err != nil {
			return fmt.Errorf("%s: %w", did, err)
		}
	}
	if _, err := crowd.awaitMore(ctx); err != nil {
		return fmt.Errorf("after%s: %w", did, err)
	}
	calls := crowd.end()
	if before < minAcks {
		return fmt.Errorf("only %d acks before the last fault: this history does not count", before)
	}
	return s.judge(ctx, seed, did, began, admin, log, calls)
}

// disturb makes one fault happen, and heals it.
func (s *storm) disturb(ctx context.Context, through *proxy.Proxy, random *rand.Rand) (string, error) {
	while := time.Duration(random.Int64N(int64(60 * time.Millisecond)))
	switch random.IntN(5) {
	case 0, 1:
		s.server.Kill()
		return "SIGKILL", s.start(ctx, random)
	case 2:
		if err := s.server.Pause(); err != nil {
			return "SIGSTOP", err
		}
		pause(ctx, while)
		return "SIGSTOP", s.server.Resume()
	case 3:
		through.Cut()
		return "connections cut", nil
	default:
		through.Mute()
		pause(ctx, while)
		if random.IntN(2) == 0 {
			s.server.Kill()
			through.Cut()
			return "answers lost, SIGKILL", s.start(ctx, random)
		}
		through.Cut()
		return "answers lost", nil
	}
}

// judge reads the log to its end, audits it, and has the calls checked against it.
func (s *storm) judge(ctx context.Context, seed uint64, did string, began time.Time, admin *proglog.Client, log load.Log, calls []history.Call) error {
	report, err := checkLog(ctx, admin, log)
	if err != nil {
		return fmt.Errorf("after%s: %w", did, err)
	}
	offsets, end, err := wholeLog(ctx, admin, log.Name)
	if err != nil {
		return err
	}
	last := calls[0].Ended
	for i := range calls {
		last = max(last, calls[i].Ended)
	}
	end.Began, end.Ended = last+1, last+2 // behind all others
	judged := append(history.Settle(calls, offsets), end)
	if err := history.Check(judged, verdictLimit); err != nil {
		return fmt.Errorf("after%s: %w", did, err)
	}
	if err := admin.DeleteLog(ctx, log.Name); err != nil {
		return err
	}
	s.tally.add(Tally{Cycles: 1, Acked: report.Acked, Unknown: report.Found + report.Absent, Seen: report.Seen})
	s.env.say("seed %d:%s %d calls linearizable; %d records acked, %d unknown appends of which %d there; %.1f s",
		seed, did, len(judged), report.Acked, report.Found+report.Absent, report.Found, time.Since(began).Seconds())
	return nil
}

// wholeLog reads a log from its first record to its end. It returns where each record
// is, and the reading as a call.
func wholeLog(ctx context.Context, client *proglog.Client, name string) (map[uint64]uint64, history.Call, error) {
	offsets := map[uint64]uint64{}
	end := history.Call{Kind: history.ReadToEnd, Hash: history.Empty}
	for r, err := range client.Records(ctx, proglog.InLog(name)) {
		if err != nil {
			return nil, end, err
		}
		key := uint64(audit.KeyOf(r.Value))
		offsets[key] = r.Offset
		end.Hash, end.Next = history.Chain(end.Hash, key), r.Offset+1
	}
	return offsets, end, nil
}

// crowd is the clients of a history.
type crowd struct {
	log     load.Log
	began   time.Time
	cancel  context.CancelFunc
	members []*member
	acks    atomic.Uint64
	calls   atomic.Int64
	done    chan struct{} // closed when all have ended
	quit    chan struct{} // closed: they end after what they do
	ended   bool
}

// awaitMore waits until a part of the acks has come that a history needs before each
// fault and after it.
func (c *crowd) awaitMore(ctx context.Context) (acks uint64, err error) {
	goal := c.acks.Load() + minAcks
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.acks.Load() < goal {
		select {
		case <-tick.C:
		case <-c.done:
			return 0, fmt.Errorf("the clients ended: %w", c.failure())
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for %d acks, there are %d: %w", goal, c.acks.Load(), ctx.Err())
		}
	}
	return c.acks.Load(), nil
}

// failure returns what a client must not have been told.
func (c *crowd) failure() error {
	var all []error
	for _, m := range c.members {
		all = append(all, m.wrong)
	}
	return errors.Join(all...)
}

// end ends the clients, and returns all calls. Called again it does nothing.
func (c *crowd) end() []history.Call {
	if c.ended {
		return nil
	}
	c.ended = true
	close(c.quit)
	<-c.done
	c.cancel()
	var lists [][]history.Call
	for _, m := range c.members {
		m.client.Close()
		lists = append(lists, m.made)
	}
	return slices.Concat(lists...)
}

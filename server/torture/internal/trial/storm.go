package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/proglog/proglog/server/torture/internal/audit"
	"github.com/proglog/proglog/server/torture/internal/load"
	"github.com/proglog/proglog/server/torture/internal/process"

	proglog "github.com/proglog/proglog/sdk/go"
)

const (
	// minAcks is how many acks a cycle has before its fault: one without load
	// proves nothing.
	minAcks = 200
	// retained is how many bytes the log with retention keeps.
	retained = 2 << 20
	// checks is how often a log is read when retention removes what is being read.
	checks = 5
)

// storm is a server under load on one data directory, over many faults.
type storm struct {
	env     *Env
	dataDir string
	flags   []string // of every start
	vars    []string // and its environment
	server  *process.Server
	load    *load.Load // of the cycle
	addr    string
	logs    []load.Log
	tally   Tally
}

// A fault stops the server in some way and leaves its data directory to be served
// again. It tells what it did.
type fault func(ctx context.Context, s *storm, random *rand.Rand) (did string, err error)

// newStorm starts a server on an empty directory and makes its logs: the default
// one, of which the battery trims; one with retention; and a small one. The flags
// are those of every start, beside those that it draws.
func newStorm(ctx context.Context, env *Env, dataDir string, seed uint64, flags ...string) (*storm, error) {
	random := rand.New(rand.NewPCG(seed, 7))
	s := &storm{env: env, dataDir: dataDir, flags: flags, logs: []load.Log{
		{Name: "", Writers: load.Mix(14), Tails: 6},
		{Name: "torture/retained", Writers: []load.Kind{load.Stream, load.Bare, load.Batches}, Tails: 1},
		{Name: "torture/small", Writers: []load.Kind{load.Unary}, Tails: 1},
	}}
	for i := range s.logs {
		s.logs[i].History = audit.NewHistory(random.Uint64())
	}
	if err := s.start(ctx, random); err != nil {
		return nil, err
	}
	client, err := proglog.New(s.server.URL())
	if err != nil {
		return s, err
	}
	defer client.Close()
	for _, log := range s.logs[1:] {
		retention := proglog.Retention{}
		if log.Name == "torture/retained" {
			retention.MaxBytes = retained
			log.History.Retain(retained)
		}
		if _, err := client.CreateLog(ctx, log.Name, proglog.Retain(retention)); err != nil {
			return s, err
		}
	}
	return s, nil
}

// config draws the flags of the next start: small segments and journal files make
// rolls, checkpoints and reuse happen in every cycle.
func (s *storm) config(random *rand.Rand) process.Config {
	args := []string{
		"--max-value-bytes", "128KiB", "--max-batch-bytes", "256KiB", "--max-batch-records", "100", "--max-headers", "2",
		"--min-free-bytes", "16MiB",
	}
	pick := func(flag string, values ...string) {
		if v := values[random.IntN(len(values))]; v != "" {
			args = append(args, flag, v)
		}
	}
	if s.env.asShipped {
		args = append(args, s.flags...)
		return process.Config{Bin: s.env.Bin, DataDir: s.dataDir, Listen: s.addr, Args: args, Env: s.vars}
	}
	pick("--segment-bytes", "64KiB", "256KiB", "1MiB", "")
	pick("--journal-file-bytes", "2MiB", "2MiB", "4MiB")
	pick("--journal-files", "2", "3", "")
	pick("--index-cache-bytes", "64KiB", "")
	pick("--tail-bytes", "256KiB", "")
	args = append(args, s.flags...)
	return process.Config{Bin: s.env.Bin, DataDir: s.dataDir, Listen: s.addr, Args: args, Env: s.vars}
}

// start starts the server, the first time anywhere, later at the same address.
func (s *storm) start(ctx context.Context, random *rand.Rand) (err error) {
	c := s.config(random)
	if s.server, err = process.StartAgain(ctx, c); err != nil {
		return fmt.Errorf("start with %q: %w", c.Args, err)
	}
	s.addr = s.server.Addr
	return nil
}

// close ends the server.
func (s *storm) close() {
	if s.server != nil {
		s.server.Kill()
	}
}

// cycle puts the server under load, has a fault happen in it, starts the server
// again, waits until every writer goes on, and audits all logs.
func (s *storm) cycle(ctx context.Context, seed uint64, happen fault) error {
	began := time.Now()
	random := rand.New(rand.NewPCG(seed, 3))
	l, err := load.Start(ctx, s.server.URL(), seed, s.logs)
	if err != nil {
		return err
	}
	defer l.Abort()
	s.load = l
	if err := l.AwaitAcks(ctx, minAcks); err != nil {
		return fmt.Errorf("before the fault: %w", err)
	}
	trimming := s.trimSometimes(ctx, random)
	did, err := happen(ctx, s, random)
	if err != nil {
		return fmt.Errorf("%s: %w", did, err)
	}
	<-trimming
	if err := s.start(ctx, random); err != nil {
		return fmt.Errorf("after %s: %w", did, err)
	}
	return s.finish(ctx, seed, did, began, random)
}

// run runs cycles, each with the next seed, and has the binary check every byte in
// the end.
func (s *storm) run(ctx context.Context, seed uint64, cycles int, cycle func(ctx context.Context, seed uint64) error) (Tally, error) {
	for i := range uint64(cycles) {
		if err := cycle(ctx, seed+i); err != nil {
			return s.tally, fmt.Errorf("seed %d, cycle %d of those from %d: %w\n%s", seed+i, i+1, seed, err, s.last())
		}
	}
	return s.tally, s.verify(ctx)
}

// last ends the server, with its goroutines in its log, and keeps that. It returns the
// end of what it logged before.
func (s *storm) last() string {
	if s.server == nil {
		return "no server was started"
	}
	before := s.server.Log()
	s.server.Quit()
	name := filepath.Join(s.env.Dir, "server.log")
	if err := os.WriteFile(name, []byte(s.server.Log()), 0o600); err != nil {
		return err.Error()
	}
	return "the server's log, whole and with its goroutines in " + name + ", ends with:\n" + short(before)
}

// verify drains the server and has the binary check every byte.
func (s *storm) verify(ctx context.Context) error {
	if err := s.server.Stop(); err != nil {
		return err
	}
	return process.Verify(ctx, s.env.Bin, s.dataDir)
}

// finish ends the load of a cycle, audits, tells what happened and trims.
func (s *storm) finish(ctx context.Context, seed uint64, did string, began time.Time, random *rand.Rand) error {
	if err := s.load.AwaitEach(ctx); err != nil {
		return fmt.Errorf("after %s: %w", did, err)
	}
	s.load.Forgive(false)
	if err := s.load.Finish(ctx); err != nil {
		return fmt.Errorf("after %s: %w", did, err)
	}
	report, err := s.audit(ctx)
	if err != nil {
		return fmt.Errorf("after %s: %w", did, err)
	}
	s.tally.add(Tally{Cycles: 1, Acked: report.Acked, Unknown: report.Found + report.Absent, Seen: report.Seen})
	s.env.say("seed %d: %s; up after %.2f s; %d acks, %d unknown of which %d there, %d records read back, %d seen by tails; %.1f s",
		seed, did, s.server.Ready.Seconds(), report.Acked, report.Found+report.Absent, report.Found, report.Records, report.Seen, time.Since(began).Seconds())
	return s.trim(ctx, random)
}

// audit reads every log to its end and holds it against its history.
func (s *storm) audit(ctx context.Context) (audit.Report, error) {
	return auditLogs(ctx, s.server.URL(), s.logs)
}

func auditLogs(ctx context.Context, url string, logs []load.Log) (sum audit.Report, err error) {
	client, err := proglog.New(url)
	if err != nil {
		return sum, err
	}
	defer client.Close()
	for _, log := range logs {
		report, err := checkLog(ctx, client, log)
		if err != nil {
			return sum, fmt.Errorf("log %q: %w", log.Name, err)
		}
		sum.Records += report.Records
		sum.Acked += report.Acked
		sum.Found += report.Found
		sum.Absent += report.Absent
		sum.Seen += report.Seen
	}
	return sum, nil
}

// checkLog reads again if retention removed what was about to be read.
func checkLog(ctx context.Context, client *proglog.Client, log load.Log) (report audit.Report, err error) {
	for range checks {
		reading, readErr := audit.Read(ctx, client, log.Name)
		if readErr != nil {
			return report, readErr
		}
		report, err = log.History.Check(reading)
		if _, incomplete := errors.AsType[*audit.Incomplete](err); !incomplete || proglog.ReasonOf(err) != proglog.ReasonOffsetTrimmed {
			break
		}
	}
	return report, err
}

// trim removes old records of the default log, so that the directory may go on for
// ever and the battery with it.
func (s *storm) trim(ctx context.Context, random *rand.Rand) error {
	const keep = 20_000
	log := s.logs[0]
	_, next := log.History.Known()
	to := next - min(next, keep+random.Uint64N(keep))
	if to == 0 {
		return nil
	}
	client, err := proglog.New(s.server.URL())
	if err != nil {
		return err
	}
	defer client.Close()
	return log.History.Trim(to, func() error {
		first, err := client.TrimLog(ctx, log.Name, to)
		if err == nil && first < to {
			return fmt.Errorf("a trim to %d answered %d", to, first)
		}
		return err
	})
}

// trimSometimes trims while the fault happens, every other time. The trim may fail
// with the server. The channel is closed when it has ended.
func (s *storm) trimSometimes(ctx context.Context, random *rand.Rand) <-chan struct{} {
	done := make(chan struct{})
	first, next := s.logs[0].History.Known()
	if random.IntN(2) == 0 || first == next {
		close(done)
		return done
	}
	to := first + random.Uint64N(next-first)
	wait := time.Duration(random.Int64N(int64(200 * time.Millisecond)))
	url := s.server.URL()
	go func() {
		defer close(done)
		client, err := proglog.New(url, proglog.WithRetry(proglog.Retry{Attempts: 1, MinDelay: time.Millisecond, MaxDelay: time.Millisecond}))
		if err != nil {
			return
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		pause(ctx, wait)
		_ = s.logs[0].History.Trim(to, func() error { // one that fails may have happened or not
			_, err := client.TrimLog(ctx, s.logs[0].Name, to)
			return err
		})
	}()
	return done
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

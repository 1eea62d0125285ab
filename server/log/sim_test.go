package log

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// simOptions make everything small, and everything happen in the caller.
func simOptions(fs *vfstest.Mem, rng *rand.Rand) Options {
	var clock int64
	return Options{
		FS:               fs,
		Limits:           commitlog.Limits{ValueBytes: 6000, Headers: 4, HeaderBytes: 64, BatchRecords: 8, BatchBytes: 8192, ProducerID: 16},
		SegmentBytes:     8192,
		JournalFileBytes: 64 << 10,
		JournalFiles:     3,
		GroupBytes:       16 << 10,
		FreeBytes:        1,
		ReserveBytes:     8192,
		TailBytes:        32 << 10,
		syncAllFrom:      1 + rng.IntN(4),
		flushBytes:       1500,
		eager:            rng.IntN(3) == 0, // every order has to keep the same promises
		OpenFiles:        3,
		SealAfter:        -1,
		inline:           true,
		Now: func() time.Time {
			clock += rng.Int64N(3) * int64(time.Microsecond)
			return time.Unix(1_700_000_000, clock)
		},
		random: func(b []byte) {
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
		},
	}
}

// A sim is one run: a file system, an engine on it, and what it must hold.
type sim struct {
	t       testing.TB
	seed    uint64
	rng     *rand.Rand // of the workload and the crashes
	fs      *vfstest.Mem
	engine  *Engine
	logs    map[string]*simLog
	names   []string
	trace   []string // of every call and every crash state, unless nil
	crashes int
	full    bool // the disk is
	crasher *vfstest.Crasher
	hook    func(vfstest.Op) error // to be kept across restarts
	queued  chan struct{}          // a call of a group waits in the queue
	widest  int                    // how many logs a group had, at most
	within  within
}

// A simLog is what a log must hold: acked records, and then perhaps the first
// of the batches that were under way in a crash, each whole.
type simLog struct {
	number  uint64   // that the engine gave to this life of the log, if it is known
	lives   int      // that ended
	base    uint64   // the offset of acked[0]: where a log that was made anew begins
	first   uint64   // below it all is trimmed
	acked   [][]byte // of this life of the log
	pending []sent   // under way, in the order of their offsets
	made    bool     // its creation was acked
	maybe   bool     // the outcome of a creation was open
	sealed  bool     // that was acked

	trim     uint64 // a trim under way, to this offset
	deleting bool   // a delete is under way
	sealing  bool   // a seal is under way
	keep     commitlog.Retention
	keeping  *commitlog.Retention // a change to it that is under way
	sequence uint64               // the next one of the log's producer
	recent   []sent               // the latest of the producer that were acked
}

// A sent is a batch, with the offset that it got when it was acked.
type sent struct {
	batch commitlog.Batch
	first uint64
}

// recentBatches is how many batches of a producer are sent again after a crash.
const recentBatches = 5

func (l *simLog) next() uint64 { return l.base + uint64(len(l.acked)) }

func newSim(t testing.TB, seed uint64) *sim {
	s := &sim{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), fs: vfstest.NewMem(),
		logs: map[string]*simLog{"": {}}, names: []string{""}, queued: make(chan struct{}, 1),
	}
	s.neverCrash()
	return s
}

// after returns the sim that goes on with a state of the file system, and must
// find there what s must hold at this moment.
func (s *sim) after(fs *vfstest.Mem) *sim {
	next := *s
	next.fs, next.engine, next.names, next.trace = fs, nil, append([]string{}, s.names...), nil
	next.rng = rand.New(rand.NewPCG(s.seed, 11))
	next.queued, next.within = make(chan struct{}, 1), within{}
	next.logs = map[string]*simLog{}
	for name, l := range s.logs {
		model := *l
		model.acked, model.pending, model.recent = slices.Clip(model.acked), slices.Clone(model.pending), slices.Clone(model.recent)
		next.logs[name] = &model
	}
	next.neverCrash()
	return &next
}

func (s *sim) neverCrash() {
	s.crasher = vfstest.CrashAt(s.fs, 1<<30, (*vfstest.Mem).CrashKeepNone)
}

func (s *sim) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("PROGLOG_SEED=%d: %s", s.seed, fmt.Sprintf(format, args...))
}

// run is a few lives of the engine, each ended by a crash but the last.
func (s *sim) run() {
	for range 4 {
		s.arm(1 + s.rng.IntN(160))
		s.life()
		if state := s.crasher.State(); state != nil {
			s.crashes++
			s.fs = state
		} else {
			s.setHook(nil)
		}
		s.recoverRepeatedly()
		s.verify()
	}
	s.close()
}

// arm sets a crash, at one of the calls to come.
func (s *sim) arm(at int) {
	seed := s.rng.Uint64()
	kind := s.rng.IntN(4)
	s.crasher = vfstest.CrashAt(s.fs, at, func(m *vfstest.Mem) *vfstest.Mem {
		state := crashed(m, kind, seed)
		if s.trace != nil {
			s.trace = append(s.trace, "crash "+digest(state))
		}
		return state
	})
	s.setHook(func(op vfstest.Op) error {
		if s.trace != nil {
			s.trace = append(s.trace, fmt.Sprint(op))
		}
		return s.crasher.Hook(op)
	})
}

// digest tells two states apart, but for who has the lock and since when.
func digest(fs *vfstest.Mem) string { return fs.Digest(lockName) }

// crashed is what a crash of a kind leaves: nothing that was unsynced, all of
// it, or whatever the seed draws.
func crashed(m *vfstest.Mem, kind int, seed uint64) *vfstest.Mem {
	switch kind {
	case 0:
		return m.CrashKeepNone()
	case 1:
		return m.CrashKeepAll()
	default:
		return m.Crash(rand.New(rand.NewPCG(seed, uint64(kind))))
	}
}

func (s *sim) open() error {
	e, err := Open("sim", simOptions(s.fs, s.rng))
	s.engine = e
	if err == nil {
		e.options.queued = func() { s.queued <- struct{}{} }
		e.watch = simWatch{e.watch, s}
		s.countsNothing("a start")
	}
	return err
}

func (s *sim) close() {
	if s.engine != nil {
		err := s.engine.Close()
		if s.crasher.State() == nil && err != nil {
			s.fail("close: %v", err)
		}
		s.countsNothing("a close")
		s.engine = nil
	}
}

// setFull takes all the space that is left, or gives it back.
func (s *sim) setFull(full bool) {
	s.full = full
	s.fs.SetCapacity(vfstest.Unlimited)
	if !full {
		return
	}
	s.setHook(nil)
	free, err := s.fs.Free()
	if err != nil {
		s.fail("free space: %v", err)
	}
	s.fs.SetCapacity(vfstest.Unlimited - int64(free))
}

// countsNothing says whether, behind a checkpoint, which a full disk has no room for, nothing counts as memory of tails or
// as open for a sync: what no segment has any more would count for ever.
func (s *sim) countsNothing(after string) {
	held, open := s.engine.segments.Buffered(), s.engine.segments.Pinned()
	if s.crasher.State() == nil && !s.full && (held != 0 || open != 0) {
		s.fail("after %s, %d bytes of tails and %d open files are counted that no segment has", after, held, open)
	}
}

// ended says whether err is the crash; any other error is a failure.
func (s *sim) ended(err error) bool {
	if s.crasher.State() != nil {
		return true
	}
	if err != nil {
		s.fail("%v", err)
	}
	return false
}

// recoverRepeatedly opens the engine after a crash, and cuts that off too,
// most times, at deeper and deeper points; at times on a full disk.
func (s *sim) recoverRepeatedly() {
	for s.rng.IntN(3) > 0 {
		full := s.logs[""].made && s.rng.IntN(4) == 0 // a directory that was never whole does need space
		s.setFull(full)
		s.arm(1 + s.rng.IntN(160))
		err := s.open()
		state := s.crasher.State()
		if state == nil && err != nil {
			s.fail("open after a crash, on a full disk: %v: %v", full, err)
		}
		if state == nil && full {
			s.verifyReads()
		}
		s.close()
		if state == nil {
			state = s.crasher.State() // it may have come in Close
		}
		if state == nil {
			break
		}
		s.crashes++
		s.fs = state
	}
	s.setFull(false)
	s.setHook(nil)
	s.neverCrash()
	if err := s.open(); err != nil {
		s.fail("open after a crash: %v", err)
	}
}

// check opens what a crash left and compares it with what s must hold.
func (s *sim) check(what string) {
	s.t.Helper()
	if err := s.open(); err != nil {
		s.fail("%s: open: %v", what, err)
	}
	s.verify()
	s.close()
}

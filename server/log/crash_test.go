package log

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// A power cut at any call leaves every acked record of every log, nothing of a
// batch or all of it, no gap, and a directory that opens.
//
// Method: a random workload runs over a file system in memory, with segments and
// journal files so small that it rolls, checkpoints and reuses journal files all
// the time. It is cut off at a call; what of the unsynced sectors, sizes and
// names survives is drawn. The engine opens what is left, often is cut off in
// that too, and must hold what was acked; then the workload goes on from there,
// up to the next cut. PROGLOG_SEED replays one run; PROGLOG_CRASHES says how
// many crash states to try.
func TestCrashAnywhere(t *testing.T) {
	t.Parallel()
	states := 4000
	if v := os.Getenv("PROGLOG_CRASHES"); v != "" {
		n, err := strconv.Atoi(v)
		require.NoError(t, err)
		states = n
	}
	if testing.Short() {
		states /= 10
	}
	if v := os.Getenv("PROGLOG_SEED"); v != "" {
		seed, err := strconv.ParseUint(v, 10, 64)
		require.NoError(t, err)
		runSim(t, seed)
		return
	}
	first := uint64(time.Now().UnixNano()) // printed with every failure
	for tried, seed := 0, first; tried < states; seed++ {
		tried += runSim(t, seed)
		if t.Failed() {
			return
		}
	}
}

// The same seed makes the same calls with the same bytes, or a failure could
// not be replayed.
func TestSimulationIsDeterministic(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 20; seed++ {
		trace := func() []string {
			s := newSim(t, seed)
			s.trace = []string{}
			s.run()
			return s.trace
		}
		require.Equal(t, trace(), trace(), "seed %d", seed)
	}
}

func runSim(t *testing.T, seed uint64) (states int) {
	s := newSim(t, seed)
	s.run()
	return s.crashes
}

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
		flushBytes:       1500,
		syncAllFrom:      1 + rng.IntN(4),
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
	t       *testing.T
	seed    uint64
	rng     *rand.Rand // of the workload and the crashes
	fs      *vfstest.Mem
	engine  *Engine
	logs    map[string]*simLog
	names   []string
	trace   []string
	crashes int
	crasher *vfstest.Crasher
}

// A simLog is what a log must hold: acked records, and then perhaps the whole
// of a batch that was under way in a crash.
type simLog struct {
	base    uint64   // the offset of acked[0]: where a log that was made anew begins
	first   uint64   // below it all is trimmed
	acked   [][]byte // of this life of the log
	pending [][]byte
	made    bool // its creation was acked

	trim     uint64           // a trim under way, to this offset
	deleting bool             // a delete is under way
	sequence uint64           // of the log's producer
	retry    *commitlog.Batch // of the producer, under way
}

func (l *simLog) next() uint64 { return l.base + uint64(len(l.acked)) }

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), fs: vfstest.NewMem(),
		logs: map[string]*simLog{"": {}}, names: []string{""},
	}
	return s
}

func (s *sim) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("PROGLOG_SEED=%d: %s", s.seed, fmt.Sprintf(format, args...))
}

// run is a few lives of the engine, each ended by a crash but the last.
func (s *sim) run() {
	for range 4 {
		s.arm()
		s.life()
		if state := s.crasher.State(); state != nil {
			s.crashes++
			s.fs = state
		} else {
			s.fs.SetHook(nil)
		}
		s.recoverRepeatedly()
		s.verify()
	}
	s.close()
}

// arm sets a crash, somewhere in the calls to come.
func (s *sim) arm() {
	at := 1 + s.rng.IntN(160)
	seed := s.rng.Uint64()
	kind := s.rng.IntN(4)
	s.crasher = vfstest.CrashAt(s.fs, at, func(m *vfstest.Mem) *vfstest.Mem {
		switch kind {
		case 0:
			return m.CrashKeepNone()
		case 1:
			return m.CrashKeepAll()
		default:
			return m.Crash(rand.New(rand.NewPCG(seed, 3)))
		}
	})
	s.fs.SetHook(func(op vfstest.Op) error {
		if s.trace != nil {
			s.trace = append(s.trace, fmt.Sprint(op))
		}
		return s.crasher.Hook(op)
	})
}

func (s *sim) open() error {
	e, err := Open("sim", simOptions(s.fs, s.rng))
	s.engine = e
	return err
}

func (s *sim) close() {
	if s.engine != nil {
		err := s.engine.Close()
		if s.crasher.State() == nil && err != nil {
			s.fail("close: %v", err)
		}
		s.engine = nil
	}
}

// life does random work until the crash, or for so long.
func (s *sim) life() {
	if s.engine != nil {
		s.close()
	}
	if s.crashed(s.open()) {
		return
	}
	for range 20 + s.rng.IntN(60) {
		var err error
		switch n := s.rng.IntN(40); {
		case n == 0:
			err = s.engine.checkpoint()
		case n == 1:
			err = s.sealNow()
		case n == 2:
			err = s.create(fmt.Sprintf("log-%d", len(s.names)))
		case n == 3:
			s.close()
			err = s.open()
		case n == 4:
			err = s.trim(s.names[s.rng.IntN(len(s.names))])
		case n == 5 && len(s.names) > 1:
			err = s.remove(s.names[1+s.rng.IntN(len(s.names)-1)])
		default:
			err = s.append(s.names[s.rng.IntN(len(s.names))])
		}
		if s.crashed(err) {
			break
		}
	}
	s.close()
}

// crashed says whether err is the crash; any other error is a failure.
func (s *sim) crashed(err error) bool {
	if s.crasher.State() != nil {
		return true
	}
	if err != nil {
		s.fail("%v", err)
	}
	return false
}

func (s *sim) sealNow() error {
	c := &s.engine.committer
	c.commitMu.Lock()
	defer c.commitMu.Unlock()
	return c.journal.Seal(&c.group)
}

func (s *sim) create(name string) error {
	if s.logs[name] == nil {
		s.names = append(s.names, name)
		s.logs[name] = &simLog{}
	}
	_, made, err := s.engine.Put(context.Background(), name, commitlog.Change{})
	if err == nil {
		s.logs[name].made = true
		if !made {
			s.fail("log %s was there before it was made", name)
		}
	}
	return err
}

// append appends a random batch, sometimes of records that fill a frame.
func (s *sim) append(name string) error {
	model := s.logs[name]
	cl, err := s.engine.Log(context.Background(), name)
	if err != nil {
		if missing := (*commitlog.LogNotFoundError)(nil); errors.As(err, &missing) && !model.made {
			return s.create(name)
		}
		return err
	}
	var batch commitlog.Batch
	model.pending = nil
	if s.rng.IntN(3) == 0 {
		batch.Producer = &commitlog.Producer{ID: "p", Epoch: 3, Sequence: model.sequence}
	}
	for range 1 + s.rng.IntN(4) {
		size := s.rng.IntN(200)
		if s.rng.IntN(8) == 0 {
			size = s.rng.IntN(2000)
		}
		value := make([]byte, 8+size)
		binary.LittleEndian.PutUint64(value, s.rng.Uint64())
		for i := 8; i < len(value); i++ {
			value[i] = byte(i)
		}
		model.pending = append(model.pending, value)
		batch.Records = append(batch.Records, commitlog.Record{Value: value})
	}
	if batch.Producer != nil {
		model.retry = &batch
	}
	acks, err := cl.Append(context.Background(), batch)
	if err != nil {
		return err
	}
	if acks[0].First != model.next() || acks[0].Next != acks[0].First+uint64(len(batch.Records)) || acks[0].Duplicate {
		s.fail("log %q: ack %v for offset %d", name, acks[0], model.next())
	}
	if batch.Producer != nil {
		model.sequence++
		model.retry = nil
	}
	model.acked = append(model.acked, model.pending...)
	model.pending = nil
	return nil
}

// trim removes records below a random offset.
func (s *sim) trim(name string) error {
	model := s.logs[name]
	l := s.engine.named(name)
	if l == nil {
		return nil
	}
	model.trim = model.base + uint64(s.rng.IntN(len(model.acked)+1))
	first, err := l.Trim(context.Background(), model.trim)
	if err != nil {
		return err
	}
	if want := max(model.first, model.trim); first != want {
		s.fail("log %q: trimmed to %d, want %d", name, first, want)
	}
	model.first, model.trim = first, 0
	return nil
}

// remove deletes a log, and most times makes it anew.
func (s *sim) remove(name string) error {
	model := s.logs[name]
	if s.engine.named(name) == nil {
		return nil
	}
	model.deleting = true
	if err := s.engine.Delete(context.Background(), name); err != nil {
		return err
	}
	s.deleted(model)
	if s.rng.IntN(4) == 0 {
		return nil
	}
	_, made, err := s.engine.Put(context.Background(), name, commitlog.Change{})
	if err == nil && !made {
		s.fail("log %q was there after it was deleted", name)
	}
	model.made = err == nil
	return err
}

func (s *sim) deleted(model *simLog) {
	*model = simLog{base: model.next(), first: model.next()}
}

// recoverRepeatedly opens the engine after a crash, and cuts that off too,
// most times, at deeper and deeper points.
func (s *sim) recoverRepeatedly() {
	for s.rng.IntN(3) > 0 {
		s.arm()
		err := s.open()
		state := s.crasher.State()
		if state == nil && err != nil {
			s.fail("open after a crash: %v", err)
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
	s.fs.SetHook(nil)
	s.crasher = vfstest.CrashAt(s.fs, 1, (*vfstest.Mem).CrashKeepNone) // never asked
	if err := s.open(); err != nil {
		s.fail("open after a crash: %v", err)
	}
}

// verify compares every log with what it must hold, and takes over what a call
// in flight came to. A retry of a producer's batch then gives one copy of it.
func (s *sim) verify() {
	for _, name := range s.names {
		model := s.logs[name]
		l := s.engine.named(name)
		if l == nil {
			if model.made && !model.deleting {
				s.fail("log %q is lost", name)
			}
			if model.deleting {
				s.deleted(model)
			}
			continue
		}
		model.made, model.deleting = true, false
		s.verifyLog(name, model, l)
		if model.retry != nil {
			s.retry(name, model, l)
		}
	}
}

func (s *sim) verifyLog(name string, model *simLog, l *Log) {
	first := l.Bounds().First
	if first != model.first && (model.trim == 0 || first != max(model.first, model.trim)) {
		s.fail("log %q begins at %d, want %d, or %d", name, first, model.first, model.trim)
	}
	model.first, model.trim = first, 0
	got := s.readAll(l, name)
	want := model.acked[first-model.base:]
	if len(model.pending) > 0 && len(got) == len(want)+len(model.pending) {
		want = append(want[:len(want):len(want)], model.pending...)
		model.acked = append(model.acked, model.pending...)
	}
	if model.retry == nil {
		model.pending = nil
	}
	if len(got) != len(want) {
		s.fail("log %q has %d records, want %d", name, len(got), len(want))
	}
	for i := range want {
		if string(got[i]) != string(want[i]) {
			s.fail("log %q: record %d is not what was acked", name, first+uint64(i))
		}
	}
}

// retry sends a producer's batch again, whose outcome a crash left open.
func (s *sim) retry(name string, model *simLog, l *Log) {
	there := len(model.pending) > 0 && model.next() >= uint64(len(model.pending)) && l.end == model.next() &&
		s.endsWith(model, model.pending)
	acks, err := l.Append(context.Background(), *model.retry)
	if err != nil {
		s.fail("log %q: retry: %v", name, err)
	}
	if acks[0].Duplicate != there {
		s.fail("log %q: the retry is a duplicate: %v, but the batch was there: %v", name, acks[0].Duplicate, there)
	}
	if !there {
		model.acked = append(model.acked, model.pending...)
	}
	if acks[0].Next != model.next() {
		s.fail("log %q: the retry ends at %d, want %d", name, acks[0].Next, model.next())
	}
	model.sequence++
	model.retry, model.pending = nil, nil
}

func (s *sim) endsWith(model *simLog, tail [][]byte) bool {
	if len(model.acked) < len(tail) {
		return false
	}
	for i, v := range tail {
		if string(model.acked[len(model.acked)-len(tail)+i]) != string(v) {
			return false
		}
	}
	return true
}

func (s *sim) readAll(cl commitlog.CommitLog, name string) (values [][]byte) {
	var last time.Time
	bounds := cl.Bounds()
	for at := bounds.First; at < bounds.Next; {
		run, err := cl.Read(context.Background(), at, commitlog.ReadLimit{Records: 1 + s.rng.IntN(9)}, nil)
		if err != nil {
			s.fail("log %q: read %d: %v", name, at, err)
		}
		for rec, err := range run.All() {
			if err != nil || rec.Offset != at || rec.Time.Before(last) {
				s.fail("log %q: record %d: offset %d, time %v after %v, %v", name, at, rec.Offset, rec.Time, last, err)
			}
			last = rec.Time
			at++
			values = append(values, append([]byte{}, rec.Value...))
		}
	}
	return values
}

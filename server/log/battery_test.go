package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// A specimen is a data directory to be damaged, and what it holds.
type specimen struct {
	name  string
	fs    *vfstest.Mem
	files map[string][]byte
	stale []map[string][]byte // what the files held at earlier times
	logs  map[string]specimenLog

	owner  map[string]string // the log of a segment's files
	frames map[string][]frameSpan
}

// A specimenLog is what readers may expect of a log.
type specimenLog struct {
	first, next uint64
	proven      uint64 // below it, nothing may be missing without a word
	sealed      bool
}

// specimenOptions are as small as a directory can be.
func specimenOptions(fs *vfstest.Mem) Options {
	o := simOptions(fs, rand.New(rand.NewPCG(1, 2)))
	o.Limits = commitlog.Limits{ValueBytes: 600, Headers: 2, HeaderBytes: 32, BatchRecords: 4, BatchBytes: 1200, ProducerID: 8}
	o.eager = true // so that segments have what was not synced, too
	// Over a block, so that a segment goes on behind a checkpoint.
	o.ReserveBytes, o.SegmentBytes, o.GroupBytes, o.JournalFileBytes, o.JournalFiles = 512, 5000, 1200, 24<<10, 3
	return o
}

// valueAt is the value of every record of a specimen: it tells its log and
// offset, so that none can be taken for another.
func valueAt(name string, offset uint64) []byte {
	text := fmt.Sprintf("%s@%d;", name, offset)
	return []byte(strings.Repeat(text, 1+int(offset*37%97)/4))
}

// specimens builds the directories: logs of several segments, one trimmed, one
// sealed, one deleted, one with a producer; stopped, killed with all proven, and
// killed with the last group not yet proven.
func specimens(t testing.TB) []*specimen {
	t.Helper()
	ctx := context.Background()
	fs := vfstest.NewMem()
	e, err := Open("mem", specimenOptions(fs))
	require.NoError(t, err)
	var stale []map[string][]byte
	next := map[string]uint64{}
	sequence := uint64(0)
	add := func(name string, records int) {
		b := commitlog.Batch{}
		for range records {
			r := commitlog.Record{Value: valueAt(name, next[name])}
			if next[name]%3 == 1 {
				r.Headers = []commitlog.Header{{Name: "n", Value: []byte(strconv.FormatUint(next[name], 10))}}
			}
			b.Records = append(b.Records, r)
			next[name]++
		}
		if name == "producer" {
			b.Producer = &commitlog.Producer{ID: "p", Epoch: 1, Sequence: sequence}
			sequence++
		}
		l, _, err := e.Put(ctx, name, commitlog.Change{})
		require.NoError(t, err)
		_, err = l.Append(ctx, b)
		require.NoError(t, err)
	}
	names := []string{"", "producer", "trimmed", "sealed", "gone"}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 60 {
		add(names[rng.IntN(len(names))], 1+rng.IntN(2))
		if i%20 == 19 {
			require.NoError(t, e.checkpoint())
			stale = append(stale, contents(t, fs))
		}
	}
	_, err = e.named("trimmed").Trim(ctx, next["trimmed"]/2)
	require.NoError(t, err)
	require.NoError(t, e.Delete(ctx, "gone"))
	yes := true
	_, _, err = e.Put(ctx, "sealed", commitlog.Change{Sealed: &yes})
	require.NoError(t, err)
	_, _, err = e.Put(ctx, "producer", commitlog.Change{Retention: &commitlog.Retention{MaxBytes: 1 << 30}})
	require.NoError(t, err)
	for range 6 {
		add("", 2)
		add("producer", 1)
	}
	specimenOf := func(name string, state *vfstest.Mem, proven bool) *specimen {
		s := &specimen{name: name, fs: state, stale: stale, logs: map[string]specimenLog{}}
		if state != nil {
			s.files = contents(t, state)
		}
		for _, n := range []string{"", "producer", "trimmed", "sealed"} {
			b := e.named(n).Bounds()
			l := specimenLog{first: b.First, next: b.Next, proven: b.Next, sealed: n == "sealed"}
			if n == "producer" && !proven {
				l.proven--
			}
			s.logs[n] = l
		}
		return s
	}
	powerCut := func() *vfstest.Mem { return withIndexes(t, fs.CrashKeepNone(), contents(t, fs)) }
	list := []*specimen{specimenOf("power cut before the idle seal", powerCut(), false)}
	require.NoError(t, e.committer.journal.Seal(&e.committer.group))
	list = append(list, specimenOf("power cut", powerCut(), true))
	require.NoError(t, e.checkpoint())
	add("", 2)
	add("producer", 1)
	require.NoError(t, e.committer.journal.Seal(&e.committer.group))
	killed := powerCut()
	for name, b := range contents(t, fs) { // what was not synced is there as well
		setFile(t, killed, name, b)
	}
	list = append(list, specimenOf("killed behind a checkpoint", killed, true))
	stopped := specimenOf("stopped", nil, true)
	require.NoError(t, e.Close())
	stopped.fs = powerCut()
	stopped.files = contents(t, stopped.fs)
	list = append(list, stopped)
	for _, s := range list {
		delete(s.files, reserveName) // noise, whose damage is nothing
		s.findFrames(t)
	}
	return list
}

// withIndexes adds the index files, which nobody syncs, but which reach the disk
// sooner or later.
func withIndexes(t testing.TB, state *vfstest.Mem, now map[string][]byte) *vfstest.Mem {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if strings.HasSuffix(name, ".idx") {
			setFile(t, state, name, now[name])
		}
	}
	return state
}

// contents reads all files of a directory, but for the lock.
func contents(t testing.TB, fs *vfstest.Mem) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, dir := range []string{".", journalDir, segmentsDir} {
		names, err := fs.ReadDir(dir)
		require.NoError(t, err)
		for _, n := range names {
			name := path.Join(dir, n)
			if name == journalDir || name == segmentsDir || name == lockName {
				continue
			}
			files[name] = fileBytes(t, fs, name)
		}
	}
	return files
}

func fileBytes(t testing.TB, fs *vfstest.Mem, name string) []byte {
	t.Helper()
	f, err := fs.Open(name, vfs.Buffered)
	require.NoError(t, err)
	defer f.Close()
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	if _, err = f.ReadAt(b, 0); size > 0 {
		require.NoError(t, err)
	}
	return b
}

// setFile gives a file another content, durably; nil removes it.
func setFile(t testing.TB, fs *vfstest.Mem, name string, b []byte) {
	t.Helper()
	if b == nil {
		require.NoError(t, fs.Remove(name))
		require.NoError(t, fs.SyncDir(path.Dir(name)))
		return
	}
	f, err := fs.Open(name, vfs.Buffered)
	if errors.Is(err, iofs.ErrNotExist) {
		f, err = fs.Create(name, vfs.Buffered)
		require.NoError(t, fs.SyncDir(path.Dir(name)))
	}
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Truncate(int64(len(b))))
	if len(b) > 0 {
		_, err = f.WriteAt(b, 0)
		require.NoError(t, err)
	}
	require.NoError(t, f.Sync())
}

// A fault changes files; what it does not name stays.
type fault struct {
	text  string
	files map[string][]byte // new contents; nil: gone
	bit   *flippedBit       // instead of files
	costs *cost             // just what it costs, if that is known
}

// A flippedBit is a byte of a file with its new value.
type flippedBit struct {
	name  string
	pos   int64
	value byte
}

// A cost is what one flipped bit of a segment costs: the records of its frame.
type cost struct {
	log         string
	first, next uint64 // none if they are the same
}

// A frameSpan is where the bytes of a frame that have a checksum are.
type frameSpan struct {
	from, to int64
	cost
}

// findFrames lists the frames that a flipped bit can cost: those that recovery
// does not write anew.
func (s *specimen) findFrames(t testing.TB) {
	t.Helper()
	src, err := openSource(s.fs.CrashKeepNone())
	require.NoError(t, err)
	defer src.close()
	require.NoError(t, src.survey(context.Background()))
	require.Empty(t, src.report.Files)
	s.owner, s.frames = map[string]string{}, map[string][]frameSpan{}
	for _, l := range src.logs {
		for _, g := range l.segments {
			name := path.Join(segmentsDir, g.name)
			s.owner[name], s.owner[strings.TrimSuffix(name, ".seg")+".idx"] = l.meta.name, l.meta.name
			if l.row == nil || !g.there {
				continue
			}
			end := int64(0)
			for i, row := range l.row.segments {
				if row.spec == g.Spec {
					if end = row.end; i == len(l.row.segments)-1 {
						end = l.row.position
					}
				}
			}
			require.NoError(t, src.set.Existing(g.Spec, g.size).Pieces(func(p *segment.Piece) bool {
				if p.HeaderWhole() && p.Position < end {
					s.frames[name] = append(s.frames[name], frameSpan{
						p.Position, p.Position + frame.HeaderSize + int64(p.Header.Length),
						cost{l.meta.name, max(p.Header.Base, l.meta.first), max(p.Header.Next(), l.meta.first)},
					})
				}
				return true
			}))
		}
	}
}

// costs is what a flipped bit costs in a file of a log; nil if no log has it.
func (s *specimen) costs(name string, pos int64) *cost {
	log, owned := s.owner[name]
	if !owned {
		return nil
	}
	for _, f := range s.frames[name] {
		if pos >= f.from && pos < f.to {
			return &f.cost
		}
	}
	return &cost{log: log}
}

// holds says whether what readers find damaged is just that.
func (c *cost) holds(damaged []LostRange) error {
	if c.first == c.next && len(damaged) == 0 ||
		len(damaged) == 1 && damaged[0].First == c.first && damaged[0].Next == c.next {
		return nil
	}
	return fmt.Errorf("it costs %+v, and should cost %d to %d", damaged, c.first, c.next)
}

// outcomes counts what became of faults.
type outcomes struct {
	opened, refused, repaired, whole atomic.Int64
}

// check damages a copy of the specimen and holds the engine, and with deep also
// verify and repair, to what they promise. The error says what was broken.
func (s *specimen) check(t testing.TB, f fault, deep bool, o *outcomes) error {
	fs := s.fs.CrashKeepNone()
	for name, b := range f.files {
		setFile(t, fs, name, b)
	}
	if f.bit != nil {
		overwrite(t, fs, f.bit.name, f.bit.pos, []byte{f.bit.value})
	}
	problems := -1 // that verify finds, if it was asked
	if deep {
		if err := s.checkRepair(fs, f.costs, o); err != nil {
			return fmt.Errorf("repair: %w", err)
		}
		var err error
		if problems, err = s.checkVerify(fs, f); err != nil {
			return err
		}
	}
	e, err := Open("mem", specimenOptions(fs))
	if err != nil {
		o.refused.Add(1)
		if problems == 0 {
			return fmt.Errorf("verify finds nothing, but: %w", err)
		}
		return s.checkRefusal(f, err)
	}
	o.opened.Add(1)
	err = s.checkReads(e, f.costs)
	return errors.Join(err, e.Close())
}

// checkRefusal: segments and indexes never keep a directory closed, and the
// error names what does.
func (s *specimen) checkRefusal(f fault, err error) error {
	var corrupt *CorruptError
	switch {
	case errors.Is(err, ErrNotDataDir):
		return nil
	case !errors.As(err, &corrupt) && !strings.Contains(err.Error(), identityName) && !strings.Contains(err.Error(), journalDir):
		return fmt.Errorf("refused without a reason for the operator: %w", err)
	case !slices.ContainsFunc([]string{identityName, checkpointName, "checkpoint", journalDir}, func(name string) bool { return strings.Contains(err.Error(), name) }):
		return fmt.Errorf("refused without a file's name: %w", err)
	}
	for name := range f.files {
		if path.Dir(name) != segmentsDir {
			return nil
		}
	}
	if f.bit != nil && path.Dir(f.bit.name) != segmentsDir {
		return nil
	}
	return fmt.Errorf("damage in segments keeps the directory closed: %w", err)
}

// checkReads: each log has its bounds, and each record is there as it was
// written or told to be damaged.
func (s *specimen) checkReads(e *Engine, c *cost) error {
	for name, want := range s.logs {
		l := e.named(name)
		if l == nil {
			return fmt.Errorf("log %q is gone without a word", name)
		}
		b := l.Bounds()
		if b.First != want.first || b.Next > want.next || b.Next < want.proven {
			return fmt.Errorf("log %q goes from %d to %d, not from %d to %d", name, b.First, b.Next, want.first, want.next)
		}
		if c != nil && c.log != name {
			continue
		}
		damaged, err := readLog(l, name)
		if err == nil && c != nil {
			err = c.holds(damaged)
		}
		if err != nil {
			return fmt.Errorf("log %q: %w", name, err)
		}
	}
	if e.named("gone") != nil {
		return errors.New("a deleted log is back")
	}
	return nil
}

// readLog reads a log from end to end. It returns the damaged ranges; the error
// is of a record that is wrong, or not there and not told.
func readLog(l *Log, name string) (damaged []LostRange, err error) {
	ctx := context.Background()
	b := l.Bounds()
	for at := b.First; at < b.Next; {
		run, err := l.Read(ctx, at, commitlog.ReadLimit{}, nil)
		if d := (*commitlog.DamagedError)(nil); errors.As(err, &d) {
			if d.First > at || d.Next <= at || d.Next > b.Next {
				return nil, fmt.Errorf("at %d: a damaged range from %d to %d", at, d.First, d.Next)
			}
			damaged = append(damaged, LostRange{First: at, Next: d.Next, Cause: d.Cause.Error()})
			at = d.Next
			continue
		}
		if err != nil {
			return nil, err
		}
		if run.Next <= at {
			return nil, fmt.Errorf("at %d: a read of nothing", at)
		}
		for rec, err := range run.All() {
			if err != nil {
				return nil, err
			}
			if rec.Offset != at || !bytes.Equal(rec.Value, valueAt(name, at)) {
				return nil, fmt.Errorf("WRONG RECORD at %d: offset %d, value %q", at, rec.Offset, rec.Value)
			}
			at++
		}
		if at != run.Next {
			return nil, fmt.Errorf("a run up to %d ends at %d", run.Next, at)
		}
	}
	return damaged, nil
}

// checkVerify: every problem has its place, and the cost of a flipped bit in a
// segment is told just as readers find it. It returns how many problems there are.
func (s *specimen) checkVerify(fs *vfstest.Mem, f fault) (problems int, err error) {
	r, err := Verify(context.Background(), "mem", VerifyOptions{FS: fs})
	if errors.Is(err, ErrNotDataDir) {
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("verify: %w", err)
	}
	var damaged []LostRange
	for _, p := range r.Problems {
		if p.File == "" || p.Text == "" || p.Next < p.First {
			return 0, fmt.Errorf("verify: a problem without its place: %+v", p)
		}
		if _, known := s.files[p.File]; !known && p.File != journalDir {
			return 0, fmt.Errorf("verify: a problem of a file that nobody has: %+v", p)
		}
		if f.bit != nil && (p.File != f.bit.name || p.Next > p.First && p.Position > f.bit.pos) {
			return 0, fmt.Errorf("verify: the problem is somewhere else: %+v", p)
		}
		damaged = append(damaged, LostRange{First: p.First, Next: p.Next})
	}
	if f.costs != nil {
		err = f.costs.holds(damaged)
	}
	return len(damaged), err
}

// checkRepair: the copy opens, holds no record that is not right, reports just
// what its readers find missing, and the source is as it was.
func (s *specimen) checkRepair(fs *vfstest.Mem, c *cost, o *outcomes) error {
	to := vfstest.NewMem()
	before := fs.CrashKeepNone()
	report, err := Repair(context.Background(), "mem", "new", RepairOptions{From: fs, To: to})
	if errors.Is(err, ErrNotDataDir) {
		return nil
	}
	if err != nil {
		return err
	}
	o.repaired.Add(1)
	if report.Whole() {
		o.whole.Add(1)
	}
	if err := sameFiles(before, fs); err != nil {
		return err
	}
	check, err := Verify(context.Background(), "new", VerifyOptions{FS: to})
	if err != nil || len(check.Problems) > 0 {
		return fmt.Errorf("the copy is damaged: %v %+v", err, check)
	}
	e, err := Open("new", specimenOptions(to.CrashKeepNone()))
	if err != nil {
		return fmt.Errorf("the copy does not open: %w", err)
	}
	defer e.Close()
	found := map[string]bool{}
	for i := range report.Logs {
		name, err := s.checkCopy(e, &report.Logs[i], report)
		if err != nil {
			return fmt.Errorf("log %q: %w", report.Logs[i].Log, err)
		}
		found[name] = true
		if c != nil && c.log == name {
			err = c.holds(report.Logs[i].Lost)
		} else if c != nil && (len(report.Logs[i].Lost) > 0 || len(report.Files) > 0) {
			err = fmt.Errorf("a flipped bit of %q costs something here: %+v", c.log, report)
		}
		if err != nil {
			return fmt.Errorf("log %q: %w", name, err)
		}
	}
	for name := range s.logs {
		if !found[name] && len(report.Files) == 0 {
			return fmt.Errorf("log %q is gone without a word", name)
		}
	}
	return nil
}

// checkCopy checks one log of a copy, and returns the log that it is a copy of.
func (s *specimen) checkCopy(e *Engine, r *RepairedLog, report *RepairReport) (string, error) {
	l := e.named(r.Log)
	if l == nil {
		return "", errors.New("it is reported and not there")
	}
	name := r.Log
	if strings.HasPrefix(name, "recovered/") {
		name = originalName(l)
	}
	damaged, err := readLog(l, name)
	if err != nil {
		return name, err
	}
	lost := uint64(0)
	for i, d := range damaged {
		if i >= len(r.Lost) || r.Lost[i].First != d.First || r.Lost[i].Next != d.Next || r.Lost[i].File == "" || r.Lost[i].Cause == "" {
			return name, fmt.Errorf("readers find %+v lost, the report says %+v", damaged, r.Lost)
		}
		lost += d.Next - d.First
	}
	b := l.Bounds()
	if len(damaged) != len(r.Lost) || r.First != b.First || r.Next != b.Next || r.Records+lost != b.Next-b.First {
		return name, fmt.Errorf("the report %+v is not what is there: %+v", r, b)
	}
	want, known := s.logs[name]
	if !known {
		if len(report.Files) == 0 {
			return name, errors.New("a log that there was not, and nothing is said to be damaged")
		}
		return name, nil
	}
	if b.Next > want.next {
		return name, fmt.Errorf("it ends at %d, behind %d", b.Next, want.next)
	}
	if len(report.Files) == 0 && (b.First != want.first || b.Next < want.proven) {
		return name, fmt.Errorf("it goes from %d to %d, not %d to %d, without a word", b.First, b.Next, want.first, want.next)
	}
	info, err := l.Info(context.Background())
	if err == nil && len(report.Files) == 0 && info.Sealed != want.sealed {
		return name, errors.New("its seal was lost without a word")
	}
	return name, nil
}

// originalName tells which log a recovered one was, from its first record.
func originalName(l *Log) string {
	for at := l.Bounds().First; at < l.Bounds().Next; at++ {
		run, err := l.Read(context.Background(), at, commitlog.ReadLimit{Records: 1}, nil)
		if err != nil {
			continue
		}
		for rec := range run.All() {
			name, _, _ := strings.Cut(string(rec.Value), "@")
			return name
		}
	}
	return ""
}

func sameFiles(a, b *vfstest.Mem) error {
	for _, dir := range []string{".", journalDir, segmentsDir} {
		before, err := a.ReadDir(dir)
		if err != nil {
			return err
		}
		after, err := b.ReadDir(dir)
		if err != nil {
			return err
		}
		after = slices.DeleteFunc(after, func(n string) bool { return n == lockName })
		before = slices.DeleteFunc(before, func(n string) bool { return n == lockName })
		if !slices.Equal(before, after) {
			return fmt.Errorf("the source was changed: %v became %v", before, after)
		}
		for _, n := range before {
			name := path.Join(dir, n)
			if name == journalDir || name == segmentsDir {
				continue
			}
			x, err := rawFile(a, name)
			if err != nil {
				return err
			}
			if y, err := rawFile(b, name); err != nil || !bytes.Equal(x, y) {
				return fmt.Errorf("the source was changed: %s", name)
			}
		}
	}
	return nil
}

func rawFile(fs *vfstest.Mem, name string) ([]byte, error) {
	f, err := fs.Open(name, vfs.Buffered)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

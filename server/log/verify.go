package log

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/journal"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// A Report says what Verify found.
type Report struct {
	Logs     int
	Records  uint64 // that the logs have, without those that are lost
	Bytes    int64  // read
	Journal  int    // groups behind the last checkpoint
	Torn     bool   // an unfinished group ends the journal, as a crash leaves it
	Problems []Problem
	// Lost are ranges that a repair could not copy, and has recorded: no damage,
	// but their records are gone.
	Lost  []Problem
	Notes []string // what is odd, but costs nothing
}

// Closed says whether a problem keeps the directory from opening, so that the
// server refuses to start.
func (r *Report) Closed() bool {
	return slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Next == p.First })
}

// A Problem is damage: records that are lost, or a file that keeps the
// directory from opening.
type Problem struct {
	File        string // below the data directory
	Position    int64  // of the first byte that is not as it was written
	Log         string // its name, if records are lost
	First, Next uint64 // the records that are lost: from First up to but not including Next
	Text        string // what is wrong there
	// Stakes are, for damage to the journal, the logs of which acknowledged records
	// may be in what follows there.
	Stakes []Stake
}

// VerifyOptions tune Verify. All may be zero.
type VerifyOptions struct {
	FS       vfs.FS                  // by default the operating system's
	Progress func(done, total int64) // told of bytes, now and then
}

// Verify reads every byte of a data directory that no server has open, and
// changes nothing. Damage is in the report; the error says why it could not
// look, such as *vfs.LockedError.
func Verify(ctx context.Context, dir string, options VerifyOptions) (*Report, error) {
	v := &verifier{progress: options.Progress, report: &Report{}}
	inner := options.FS
	if inner == nil {
		inner = vfs.OS(dir)
	}
	v.fs = newSourceFS(inner, func(file string, position int64, err error) {
		v.note("%s cannot be read at position %d: %v", file, position, err)
	})
	if v.progress == nil {
		v.progress = func(int64, int64) {}
	}
	if _, err := v.fs.ReadDir("."); err != nil {
		return nil, fmt.Errorf("verify %s: %w", dir, err)
	}
	id, err := readIdentity(v.fs)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: it is empty", ErrNotDataDir)
	}
	if errors.Is(err, ErrNotDataDir) {
		return nil, fmt.Errorf("verify %s: %w", dir, err)
	}
	lock, lockErr := inner.Lock(lockName, lockHolder())
	if held := (*vfs.LockedError)(nil); errors.As(lockErr, &held) {
		return nil, fmt.Errorf("verify %s: stop the server first: %w", dir, lockErr)
	} else if lockErr == nil {
		defer lock.Close()
	} else {
		v.note("cannot lock the directory, perhaps it is read-only: %v", lockErr)
	}
	if err != nil {
		v.problem(Problem{File: identityName, Text: err.Error()})
		return v.report, nil
	}
	return v.report, v.run(ctx, id)
}

type verifier struct {
	fs          vfs.FS
	progress    func(done, total int64)
	report      *Report
	segments    *segment.Set
	done, total int64
}

func (v *verifier) problem(p Problem) { v.report.Problems = append(v.report.Problems, p) }

func (v *verifier) note(format string, args ...any) {
	v.report.Notes = append(v.report.Notes, fmt.Sprintf(format, args...))
}

func (v *verifier) run(ctx context.Context, id [16]byte) error {
	t, err := readTable(v.fs, id)
	if err != nil {
		v.problem(Problem{File: checkpointName, Text: err.Error()})
		return nil
	}
	if t == nil {
		v.journal(&table{}, id, nil, nil)
		v.note("the directory was never opened to its end: it has no checkpoint, and no records")
		return nil
	}
	v.segments = segment.NewSet(v.fs, segmentsDir, id, 64, 64<<20)
	defer v.segments.Close()
	for _, w := range t.rows {
		for i, s := range w.segments {
			if i == len(w.segments)-1 {
				s.end = w.position
			}
			v.total += s.end
		}
	}
	listed := map[string]bool{}
	logs := map[uint64]*replayed{}
	for i := range t.rows {
		w := &t.rows[i]
		logs[w.meta.number] = &replayed{meta: w.meta, end: w.next, chain: w.chain}
	}
	// First the journal: what it says was trimmed or deleted need not be there.
	v.journal(t, id, logs, listed)
	for i := range t.rows {
		if err := v.log(ctx, &t.rows[i], &logs[t.rows[i].meta.number].meta, listed); err != nil {
			return err
		}
	}
	for _, l := range logs {
		if l.meta.flags&metaDeleted == 0 {
			v.report.Logs++
			v.report.Records += l.end - l.meta.first
		}
	}
	v.report.Records -= lostRecords(slices.Concat(v.report.Problems, v.report.Lost))
	v.unlisted(listed)
	return nil
}

// log checks the segments of one log, as the table knows them, as far as the
// log's latest settings leave something of them.
func (v *verifier) log(ctx context.Context, w *row, now *meta, listed map[string]bool) error {
	for i := range w.segments {
		s := w.segments[i]
		next, chain, end := w.next, w.chain, w.position
		if i+1 < len(w.segments) {
			next, chain, end = w.segments[i+1].spec.Base, w.segments[i+1].spec.Chain, s.end
		}
		listed[s.spec.Name()] = true
		if next <= now.first || now.flags&metaDeleted != 0 {
			continue // its file may be gone already
		}
		g := v.segments.Existing(s.spec, end)
		path := segmentsDir + "/" + s.spec.Name()
		damaged, last, err := g.Verify(ctx, next, v.within(path))
		if err != nil {
			return err
		}
		lost := 0
		for _, d := range damaged {
			if d.First < d.Next && d.Next <= now.first {
				lost++
				continue
			}
			if d.First < d.Next {
				d.First = max(d.First, now.first)
			}
			p := Problem{File: path, Position: segment.PositionOf(d), Log: w.meta.name, First: d.First, Next: d.Next, Text: errors.Unwrap(d.Cause).Error()}
			if errors.Is(d.Cause, fs.ErrNotExist) {
				p.Text = "the file is missing"
			}
			if d.First == d.Next {
				v.note("%s: the bytes before the frame of offset %d are not zeros; that costs nothing", path, d.First)
				lost++
				continue
			}
			if errors.Is(d, segment.ErrLost) {
				v.report.Lost = append(v.report.Lost, p)
				lost++
				continue
			}
			v.problem(p)
		}
		if len(damaged) > lost {
			v.noteName(path, s.spec)
		}
		if len(damaged) == lost && last != chain {
			v.problem(Problem{File: path, Log: w.meta.name, First: s.spec.Base, Next: next, Text: "the chain of its frames does not end where the checkpoint says"})
		}
		if err := g.CheckHeader(); err != nil && len(damaged) == lost {
			v.note("%s: %v; its records can be read all the same", s.spec.Name(), err)
		}
		if i+1 < len(w.segments) && len(damaged) == lost {
			if err := g.CheckIndex(); err != nil && !errors.Is(err, fs.ErrNotExist) {
				v.note("%s: its index file cannot be used (%v); it will be made again when it is needed", s.spec.Name(), err)
			}
		}
	}
	return nil
}

// noteName says if the file at a segment's place is another segment.
func (v *verifier) noteName(path string, spec segment.Spec) {
	there, _, err := segment.ReadSpec(v.fs, path)
	if err == nil && there.Name() != spec.Name() {
		v.note("%s: its header is that of %s/%s; if files were renamed, give them their names back, or use repair, which goes by the headers", path, segmentsDir, there.Name())
	}
}

// within counts what is read of a file, which is never more than it holds: behind
// its damaged or missing end there is nothing to be read.
func (v *verifier) within(path string) func(int64) {
	left, err := v.fs.Size(path)
	if err != nil {
		left = 0
	}
	return func(n int64) {
		n = min(n, left)
		left -= n
		v.read(n)
	}
}

func (v *verifier) read(n int64) {
	v.done = min(v.done+n, v.total)
	v.report.Bytes += n
	v.progress(v.done, v.total)
}

// replayed is how a log stands behind the frames of the journal so far.
type replayed struct {
	meta  meta
	end   uint64
	chain uint32
}

// journal checks what lies behind the checkpoint, which the next start brings
// to the segments.
func (v *verifier) journal(t *table, id [16]byte, logs map[uint64]*replayed, listed map[string]bool) {
	cfg := journal.Config{FS: v.fs, Dir: journalDir, ID: id, Logger: slog.New(slog.DiscardHandler)}
	found, err := journal.Scan(cfg, t.cut, func(frames []byte) error {
		for len(frames) > 0 {
			h, err := frame.Peek(frames)
			if err != nil {
				return err
			}
			if err := v.journalFrame(&h, frames[:h.Size()], logs, listed); err != nil {
				return err
			}
			frames = frames[h.Size():]
		}
		return nil
	})
	if damage := (*journal.DamageError)(nil); errors.As(err, &damage) {
		v.problem(Problem{File: damage.File, Position: damage.Position, Text: fmt.Sprintf("group %d of the journal: %s", damage.Group, damage.Why), Stakes: stakesOf(logs)})
	} else if place := (*journal.ApplyError)(nil); errors.As(err, &place) {
		v.problem(Problem{File: place.File, Position: place.Position, Text: fmt.Sprintf("group %d of the journal: %v", place.Group, place.Err), Stakes: stakesOf(logs)})
	} else if err != nil {
		v.problem(Problem{File: journalDir, Text: err.Error()})
	}
	v.report.Journal, v.report.Torn = found.Groups, found.Torn && err == nil
	v.report.Bytes += found.Bytes
}

// lostRecords counts each record once, whatever was found of it.
func lostRecords(problems []Problem) (n uint64) {
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Log, b.Log), cmp.Compare(a.First, b.First))
	})
	log, told := "", uint64(0) // of it, up to this offset
	for _, p := range problems {
		if p.Log != log {
			log, told = p.Log, 0
		}
		if from := max(p.First, told); p.Next > from {
			n += p.Next - from
			told = p.Next
		}
	}
	return n
}

func stakesOf(logs map[uint64]*replayed) (stakes []Stake) {
	for _, l := range logs {
		if l.meta.flags&metaDeleted == 0 {
			stakes = append(stakes, Stake{Log: l.meta.name, From: l.end})
		}
	}
	return sortStakes(stakes)
}

func (v *verifier) journalFrame(h *frame.Header, b []byte, logs map[uint64]*replayed, listed map[string]bool) error {
	l := logs[h.Log]
	switch h.Kind {
	case frame.Meta:
		in := tableReader{b: b[frame.HeaderSize:]}
		m := readMeta(&in)
		if in.bad {
			return errors.New("the settings of a log are damaged")
		}
		if l == nil {
			l = &replayed{end: m.first}
			logs[m.number] = l
		}
		l.meta = m
	case frame.Roll:
		in := tableReader{b: b[frame.HeaderSize:]}
		spec := readSpec(&in, h.Log)
		if in.bad || l == nil || spec.Base != l.end {
			return fmt.Errorf("a segment of log %d does not follow from what was before", h.Log)
		}
		listed[spec.Name()] = true
	case frame.Records:
		if l == nil || h.Base != l.end || !frame.CheckChain(b, l.chain) {
			return fmt.Errorf("a frame of log %d at offset %d does not follow from what was before", h.Log, h.Base)
		}
		l.end, l.chain = h.Next(), h.Chain
	}
	return nil
}

// unlisted notes files among the segments that belong to no log.
func (v *verifier) unlisted(listed map[string]bool) {
	names, err := v.fs.ReadDir(segmentsDir)
	if err != nil {
		v.note("cannot list segments: %v", err)
		return
	}
	for _, name := range names {
		if seg, isIndex := strings.CutSuffix(name, ".idx"); isIndex && listed[seg+".seg"] || listed[name] {
			continue
		}
		v.note("%s/%s belongs to no log; it is left alone", segmentsDir, name)
	}
}

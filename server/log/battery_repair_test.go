package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

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
			if err = nil; len(report.Logs[i].Lost) > 0 { // unless the journal still had it
				o.lost.Add(1)
				err = c.holds(report.Logs[i].Lost)
			} else if c.first < c.next {
				o.fromJournal.Add(1)
			}
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

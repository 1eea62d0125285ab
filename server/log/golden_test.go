package log

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/vfs/vfstest"
)

// The golden directories are data directories as a released format writes them,
// each with what it holds, in one archive. Every later program has to read them.
// FORMAT.md says how to write them.
const goldenDir = "testdata/golden"

// goldenExpect is the name of what an archive's directory holds.
const goldenExpect = "EXPECT.json"

type goldenContent struct {
	Logs map[string]goldenLog `json:"logs"`
}

type goldenLog struct {
	First     uint64              `json:"first"`
	Next      uint64              `json:"next"`
	Sealed    bool                `json:"sealed"`
	MaxAge    time.Duration       `json:"max_age"`
	MaxBytes  uint64              `json:"max_bytes"`
	Records   []commitlog.Record  `json:"records"`
	Producers map[string]goldenID `json:"producers"`
}

// A goldenID is the last ack of a producer.
type goldenID struct {
	Epoch    uint64             `json:"epoch"`
	Sequence uint64             `json:"sequence"`
	Records  []commitlog.Record `json:"records"`
	Ack      commitlog.Ack      `json:"ack"`
}

// Every golden directory is whole to verify, opens with today's code, holds what
// it held, takes more, and is copied as a whole.
func TestGoldenDirectories(t *testing.T) {
	if os.Getenv("PROGLOG_GOLDEN") == "write" {
		writeGolden(t)
		writeCorpora(t)
	}
	archives, err := filepath.Glob(filepath.Join(goldenDir, "*.tar.gz"))
	require.NoError(t, err)
	require.NotEmpty(t, archives)
	for _, archive := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".tar.gz"), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			want := unpackGolden(t, archive, dir)
			r, err := Verify(context.Background(), dir, VerifyOptions{})
			require.NoError(t, err)
			require.Empty(t, r.Problems)
			copied := filepath.Join(t.TempDir(), "copied")
			report, err := Repair(context.Background(), dir, copied, RepairOptions{})
			require.NoError(t, err)
			assert.True(t, report.Whole(), "%+v", report)
			for _, dir := range []string{dir, copied, dir} { // the last one is a further start
				requireGolden(t, dir, want)
			}
		})
	}
}

// requireGolden opens a directory and compares all that it holds.
func requireGolden(t *testing.T, dir string, want goldenContent) {
	t.Helper()
	ctx := context.Background()
	e, err := Open(dir, goldenOptions(nil))
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	infos, more, err := e.List(ctx, "", nil, 1000)
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, infos, len(want.Logs))
	for name, w := range want.Logs {
		log, err := e.Log(ctx, name)
		require.NoError(t, err, "log %q", name)
		info, err := log.Info(ctx)
		require.NoError(t, err)
		require.Equal(t, commitlog.Bounds{First: w.First, Next: w.Next}, info.Bounds, "log %q", name)
		require.Equal(t, commitlog.Settings{Retention: commitlog.Retention{MaxAge: w.MaxAge, MaxBytes: w.MaxBytes}, Sealed: w.Sealed}, info.Settings, "log %q", name)
		require.Equal(t, w.Records, allRecords(t, log), "log %q", name)
		for id, p := range w.Producers {
			b := commitlog.Batch{Records: p.Records, Producer: &commitlog.Producer{ID: id, Epoch: p.Epoch, Sequence: p.Sequence}}
			acks, err := log.Append(ctx, b)
			require.NoError(t, err, "log %q, producer %q", name, id)
			require.Equal(t, []commitlog.Ack{p.Ack}, acks, "log %q, producer %q", name, id)
		}
	}
}

func allRecords(t *testing.T, log commitlog.CommitLog) (all []commitlog.Record) {
	t.Helper()
	for at := log.Bounds().First; at < log.Bounds().Next; {
		run, err := log.Read(context.Background(), at, commitlog.ReadLimit{}, nil)
		require.NoError(t, err)
		for rec, err := range run.All() {
			require.NoError(t, err)
			rec.Value = append([]byte{}, rec.Value...)
			for i := range rec.Headers {
				rec.Headers[i].Value = append([]byte{}, rec.Headers[i].Value...)
			}
			all = append(all, rec)
		}
		at = run.Next
	}
	return all
}

// goldenOptions make segments and journal files small; without a file system,
// on that of the system, where nothing else has to be small.
func goldenOptions(fs *vfstest.Mem) Options {
	if fs == nil {
		// Soon after the directories were written, or their producers are forgotten.
		now := func() time.Time { return time.Unix(1_700_000_100, 0) }
		return Options{Now: now, JournalFileBytes: 4 << 20, GroupBytes: 64 << 10, ReserveBytes: 4096, RetentionEvery: -1, Limits: commitlog.Limits{
			ValueBytes: 64 << 10, Headers: 64, HeaderBytes: 16 << 10, BatchRecords: 1000, BatchBytes: 64 << 10, ProducerID: 64,
		}}
	}
	o := simOptions(fs, rand.New(rand.NewPCG(5, 6)))
	o.ReserveBytes = 4096
	return o
}

// A goldenState is a data directory, and what it holds.
type goldenState struct {
	name string
	fs   *vfstest.Mem
	want goldenContent
}

// goldenStates makes the directories with today's code, always the same bytes.
func goldenStates(t *testing.T) (list []goldenState) {
	fsys := vfstest.NewMem()
	e, err := Open("mem", goldenOptions(fsys))
	require.NoError(t, err)
	g := &goldenWriter{t: t, e: e, content: goldenContent{Logs: map[string]goldenLog{}}, rng: rand.New(rand.NewPCG(7, 8))}
	g.fill()
	require.NoError(t, e.committer.journal.Seal(&e.committer.group))
	list = append(list, goldenState{"v1-killed", fsys.CrashKeepNone(), g.expect()})

	// A power cut in the middle of a group: its records are not there.
	want := g.expect()
	var torn *vfstest.Mem
	fsys.SetHook(func(op vfstest.Op) error {
		if op.Kind != vfstest.OpWriteAt || op.Phase != vfstest.During || path.Dir(op.Name) != journalDir {
			return nil
		}
		for seed := uint64(0); torn == nil; seed++ {
			state := fsys.Crash(rand.New(rand.NewPCG(seed, 1)))
			if report, err := Verify(context.Background(), "mem", VerifyOptions{FS: state.CrashKeepNone()}); err == nil && report.Torn {
				torn = state
			}
		}
		return nil
	})
	g.add("", "", 8)
	fsys.SetHook(nil)
	list = append(list, goldenState{"v1-torn", torn.CrashKeepNone(), want})

	want = g.expect()
	require.NoError(t, e.Close())
	return append(list, goldenState{"v1-stopped", fsys.CrashKeepNone(), want})
}

// writeGolden writes the directories that are not there yet: those that are stay
// for ever.
func writeGolden(t *testing.T) {
	require.NoError(t, os.MkdirAll(goldenDir, 0o755))
	for _, s := range goldenStates(t) {
		if _, err := os.Stat(goldenArchive(s.name)); errors.Is(err, fs.ErrNotExist) {
			packGolden(t, s)
		}
	}
}

func goldenArchive(name string) string { return filepath.Join(goldenDir, name+".tar.gz") }

// What today's code writes is, byte for byte, what it wrote when the format was
// frozen.
func TestWhatIsWrittenIsStillVersion1(t *testing.T) {
	for _, s := range goldenStates(t) {
		files, _ := readGolden(t, goldenArchive(s.name))
		today := contents(t, s.fs)
		require.Equal(t, slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(today)), s.name)
		for name, b := range today {
			require.True(t, bytes.Equal(files[name], b), "%s: %s is not what it was", s.name, name)
		}
	}
}

func packGolden(t *testing.T, s goldenState) {
	expect, err := json.MarshalIndent(s.want, "", " ")
	require.NoError(t, err)
	files := map[string][]byte{goldenExpect: expect}
	for n, b := range contents(t, s.fs) {
		files["data/"+n] = b
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	require.NoError(t, err)
	w := tar.NewWriter(z)
	for _, n := range slices.Sorted(maps.Keys(files)) {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: n, Mode: 0o600, Size: int64(len(files[n])), Format: tar.FormatUSTAR}))
		_, err = w.Write(files[n])
		require.NoError(t, err)
	}
	require.NoError(t, errors.Join(w.Close(), z.Close()))
	require.Less(t, packed.Len(), 64<<10, "small enough for a repository")
	require.NoError(t, os.WriteFile(goldenArchive(s.name), packed.Bytes(), 0o644))
}

// unpackGolden makes the directory of an archive, and tells what it has to hold.
func unpackGolden(t *testing.T, archive, dir string) goldenContent {
	t.Helper()
	files, want := readGolden(t, archive)
	for name, b := range files {
		name = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, b, 0o600))
	}
	return want
}

// readGolden returns the files of an archive's directory, and what it has to hold.
func readGolden(t *testing.T, archive string) (files map[string][]byte, want goldenContent) {
	t.Helper()
	f, err := os.Open(archive)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	r := tar.NewReader(z)
	files = map[string][]byte{}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			require.NotEmpty(t, want.Logs)
			return files, want
		}
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		if h.Name == goldenExpect {
			require.NoError(t, json.Unmarshal(b, &want))
			continue
		}
		name, ours := strings.CutPrefix(h.Name, "data/")
		require.True(t, ours && fs.ValidPath(name), "%s", h.Name)
		files[name] = b
	}
}

// writeCorpora writes the seeds of the fuzz targets that are bytes of today's
// format: pieces of the small files of a specimen. Where files are large, a target
// takes scripts of changes to what it makes itself, and its corpus stays.
func writeCorpora(t *testing.T) {
	s := specimensOf(t, true)[1]
	journal, store := "", ""
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		switch b := s.files[name]; {
		case path.Dir(name) == journalDir && journal == "" && !bytes.Equal(b[4096:8192], make([]byte, 4096)):
			journal = name
		case strings.HasSuffix(name, ".seg") && store == "" && len(b) > 1000:
			store = name
		}
	}
	require.NotEmpty(t, journal)
	require.NotEmpty(t, store)
	file, segment := s.files[journal], s.files[store]
	for target, seed := range map[string][]any{
		"testdata/fuzz/FuzzIdentity":                  {s.files[identityName]},
		"internal/frame/testdata/fuzz/FuzzParse":      {segment[128:1000], uint32(1)},
		"internal/journal/testdata/fuzz/FuzzGroup":    {bytes.TrimRight(file[4096:8192], "\x00")},
		"testdata/fuzz/FuzzDirectory":                 {byte(1), byte(4), uint32(64), []byte("PLF1 is how a frame begins"), false},
		"../commitlog/testdata/fuzz/FuzzCutEnvelope":  {segment[128+64:][:400]},
		"../commitlog/testdata/fuzz/FuzzDecodeRecord": {segment[128+64+7:][:200]},
	} {
		text := "go test fuzz v1\n"
		for _, v := range seed {
			switch v := v.(type) {
			case []byte:
				text += fmt.Sprintf("[]byte(%q)\n", v)
			case byte:
				text += fmt.Sprintf("byte(%q)\n", rune(v))
			default:
				text += fmt.Sprintf("%T(%v)\n", v, v)
			}
		}
		require.NoError(t, os.MkdirAll(target, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(target, "v1"), []byte(text), 0o644))
	}
}

package log

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// No damage is read as a record, passed over, or taken for a shorter log: every
// record is read as it was written, or told to be damaged, or the directory stays
// closed and the error says why. What repair makes of it holds no wrong record
// and tells just what is missing.
//
// Method: small directories, stopped and killed, of logs with several segments;
// in each a bit is flipped, or sectors and blocks are zeroed, swapped, put in
// another's place or made what they were before, or files are cut, gone, or a
// byte longer, or two of that at once. PROGLOG_DAMAGE says how many bits are
// flipped (20,000 unless told; "all" flips every one, cuts every file at every
// byte, and tries ten times as much of the rest), PROGLOG_SEED draws the same ones again. A long series takes
// pieces of them all: with 5000-6000 it tries that part of the whole list, and
// PROGLOG_LEDGER names a file that gets a line of JSON about it.
func TestDamageAnywhere(t *testing.T) {
	t.Parallel()
	b := newBattery(t)
	// Every fault is a directory of its own, soon garbage: collect it less often.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	entry := ledgerEntry{Test: t.Name(), First: b.piece.from}
	started := time.Now()
	for _, s := range b.specimens {
		faults := b.plan(s)
		if b.piece != (piece{}) {
			faults = b.piece.of(faults, entry.Of)
		}
		entry.Of += uint64(b.planned)
		first := max(b.piece.from, entry.Of-uint64(b.planned))
		t.Run(s.name, func(t *testing.T) { b.run(t, s, faults, first) })
	}
	if b.piece != (piece{}) {
		entry.States, entry.Seconds = uint64(b.tried.Load()), time.Since(started).Seconds()
		entry.Next = min(b.piece.to, entry.Of)
		if t.Failed() {
			entry.Failures = 1
		}
		entry.write(t)
		return
	}
	t.Logf("%d faults: %d opened, %d refused; %d repaired, %d of them whole; bits in segments: %d cost records, %d did not, for the journal had them",
		b.tried.Load(), b.outcomes.opened.Load(), b.outcomes.refused.Load(), b.outcomes.repaired.Load(), b.outcomes.whole.Load(), b.outcomes.lost.Load(), b.outcomes.fromJournal.Load())
	require.Positive(t, b.outcomes.refused.Load())
	require.Positive(t, b.outcomes.opened.Load())
	require.Positive(t, b.outcomes.fromJournal.Load())
}

type battery struct {
	seed      uint64
	flips     int // in all specimens; 0: every bit
	scale     int // of the other faults
	piece     piece
	planned   int // of the specimen that was planned last
	specimens []*specimen
	outcomes  outcomes
	tried     atomic.Int64
}

func newBattery(t *testing.T) *battery {
	b := &battery{seed: uint64(time.Now().UnixNano()), flips: 20_000, scale: 1, specimens: specimens(t)}
	if v := os.Getenv("PROGLOG_SEED"); v != "" {
		seed, err := strconv.ParseUint(v, 10, 64)
		require.NoError(t, err)
		b.seed = seed
	}
	switch v := os.Getenv("PROGLOG_DAMAGE"); {
	case v == "all":
		b.flips, b.scale = 0, 10
	case strings.Contains(v, "-"):
		b.flips, b.scale = 0, 10
		_, err := fmt.Sscanf(v, "%d-%d", &b.piece.from, &b.piece.to)
		require.NoError(t, err)
		require.Less(t, b.piece.from, b.piece.to)
	case v != "":
		n, err := strconv.Atoi(v)
		require.NoError(t, err)
		b.flips = n
	case testing.Short():
		b.flips /= 10
	}
	return b
}

// A piece is a part of the list of all faults of all specimens: from one number up
// to before another.
type piece struct{ from, to uint64 }

// of returns what the piece has of the faults of a specimen, the first of which has
// the number at.
func (p piece) of(faults []func() fault, at uint64) []func() fault {
	end := at + uint64(len(faults))
	from, to := min(max(p.from, at), end), min(max(p.to, at), end)
	return faults[from-at : to-at]
}

// repairEvery is how many faults are tried for one of which verify and repair are
// asked, too. The seed says which; a long series gives each of its rounds the next
// seed, so that after as many rounds every fault has had its turn.
const repairEvery = 16

// deep says whether verify and repair are asked of the fault of a number.
func (b *battery) deep(n uint64) bool { return (n+b.seed)%repairEvery == 0 }

// run tries faults on all processors.
func (b *battery) run(t *testing.T, s *specimen, faults []func() fault, first uint64) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !t.Failed() {
				i := int(next.Add(1)) - 1
				if i >= len(faults) {
					return
				}
				f := faults[i]()
				b.tried.Add(1)
				if err := s.check(t, f, b.deep(first+uint64(i)), &b.outcomes); err != nil {
					t.Errorf("PROGLOG_SEED=%d, fault %d: %s: %v", b.seed, i, f.text, err)
				}
			}
		})
	}
	wg.Wait()
}

// plan lists the faults of a specimen.
func (b *battery) plan(s *specimen) (faults []func() fault) {
	rng := rand.New(rand.NewPCG(b.seed, 1))
	names := slices.Sorted(maps.Keys(s.files))
	var bits []func() fault
	if b.flips == 0 {
		for _, name := range names {
			for bit := range 8 * len(s.files[name]) {
				bits = append(bits, func() fault { return s.flip(name, bit) })
			}
		}
	} else {
		used := s.used(names)
		for range b.flips/len(b.specimens) + 1 {
			// Mostly where there is something; but zeros count too.
			at := used[rng.IntN(len(used))]
			if rng.IntN(8) == 0 {
				at.name = names[rng.IntN(len(names))]
				at.pos = rng.IntN(max(1, len(s.files[at.name])))
			}
			if at.pos >= len(s.files[at.name]) {
				continue
			}
			bit := 8*at.pos + rng.IntN(8)
			bits = append(bits, func() fault { return s.flip(at.name, bit) })
		}
	}
	others := make([]func() fault, 0, 1024)
	for _, name := range names {
		others = append(others, func() fault {
			return fault{text: "no " + name, files: map[string][]byte{name: nil}}
		}, func() fault {
			return fault{text: "an empty " + name, files: map[string][]byte{name: {}}}
		})
		for _, at := range b.cuts(rng, len(s.files[name])) {
			others = append(others, func() fault {
				return fault{text: fmt.Sprintf("%s cut at %d", name, at), files: map[string][]byte{name: slices.Clone(s.files[name][:at])}}
			})
		}
	}
	for range 100 * b.scale {
		seed := rng.Uint64()
		others = append(others, func() fault { return s.sectors(seed) }, func() fault { return s.inserted(seed) }, func() fault { return s.pair(seed) })
	}
	b.planned = len(bits) + len(others)
	return append(bits, others...)
}

// cutsOfAFile is how many cuts of a file are tried, unless all are.
const cutsOfAFile = 16

// cuts returns where a file is cut: at every byte, if every bit is flipped, else in
// as many parts of it wherever the seed says. So there are always as many.
func (b *battery) cuts(rng *rand.Rand, size int) (at []int) {
	n := min(size, cutsOfAFile)
	if b.flips == 0 {
		n = size
	}
	for i := range n {
		from, to := i*size/n, (i+1)*size/n
		at = append(at, from+rng.IntN(to-from))
	}
	return at
}

// A usedByte is a place that does not hold a zero.
type usedByte struct {
	name string
	pos  int
}

func (s *specimen) used(names []string) (used []usedByte) {
	for _, name := range names {
		for pos, c := range s.files[name] {
			if c != 0 {
				used = append(used, usedByte{name, pos})
			}
		}
	}
	return used
}

func (s *specimen) flip(name string, bit int) fault {
	f := fault{
		text: fmt.Sprintf("bit %d of %s at position %d", bit%8, name, bit/8),
		bit:  &flippedBit{name, int64(bit / 8), s.files[name][bit/8] ^ 1<<(bit%8)},
	}
	if path.Dir(name) == segmentsDir {
		f.costs = s.costs(name, int64(bit/8))
	}
	return f
}

// sectors damages a whole sector or block, as devices do.
func (s *specimen) sectors(seed uint64) fault {
	rng := rand.New(rand.NewPCG(seed, 2))
	unit := []int{512, 4096}[rng.IntN(2)]
	name, at := s.place(rng, unit)
	b := slices.Clone(s.files[name])
	part := b[at:min(len(b), at+unit)]
	from, source := s.place(rng, unit)
	switch rng.IntN(4) {
	case 0:
		clear(part)
		return fault{text: fmt.Sprintf("%d zeros in %s at %d", unit, name, at), files: map[string][]byte{name: b}}
	case 1: // written by mistake in the place of another
		copy(part, s.files[from][source:])
		return fault{text: fmt.Sprintf("%d bytes of %s at %d in %s at %d", unit, from, source, name, at), files: map[string][]byte{name: b}}
	case 2:
		other := b
		if from != name {
			other = slices.Clone(s.files[from])
		}
		there := other[source:min(len(other), source+unit)]
		if n := min(len(there), len(part)); from != name || source >= at+n || at >= source+n {
			for i := range n {
				part[i], there[i] = there[i], part[i]
			}
		}
		return fault{text: fmt.Sprintf("%d bytes of %s at %d and of %s at %d swapped", unit, name, at, from, source), files: map[string][]byte{name: b, from: other}}
	default: // a write that the device lost
		old := s.stale[rng.IntN(len(s.stale))][name]
		clear(part)
		if at < len(old) {
			copy(part, old[at:])
		}
		return fault{text: fmt.Sprintf("old %d bytes in %s at %d", unit, name, at), files: map[string][]byte{name: b}}
	}
}

// place draws a file and where a unit begins in it that holds something.
func (s *specimen) place(rng *rand.Rand, unit int) (name string, at int) {
	names := slices.Sorted(maps.Keys(s.files))
	for try := 0; ; try++ {
		name = names[rng.IntN(len(names))]
		b := s.files[name]
		if len(b) == 0 {
			continue
		}
		at = rng.IntN(len(b)) / unit * unit
		if part := b[at:min(len(b), at+unit)]; try > 10 || !bytes.Equal(part, make([]byte, len(part))) {
			return name, at
		}
	}
}

func (s *specimen) inserted(seed uint64) fault {
	rng := rand.New(rand.NewPCG(seed, 3))
	name, at := s.place(rng, 1)
	return fault{text: fmt.Sprintf("a byte more in %s at %d", name, at), files: map[string][]byte{name: slices.Insert(slices.Clone(s.files[name]), at, byte(rng.Uint32()))}}
}

// pair is two faults, in different files or in one.
func (s *specimen) pair(seed uint64) fault {
	rng := rand.New(rand.NewPCG(seed, 4))
	one := func(rng *rand.Rand) fault {
		switch rng.IntN(5) {
		case 0:
			name, _ := s.place(rng, 512)
			return fault{text: "no " + name, files: map[string][]byte{name: nil}}
		case 1, 2:
			return s.sectors(rng.Uint64())
		default:
			name, at := s.place(rng, 1)
			f := s.flip(name, 8*at+rng.IntN(8))
			b := slices.Clone(s.files[name])
			b[at] = f.bit.value
			return fault{text: f.text, files: map[string][]byte{name: b}}
		}
	}
	a, b := one(rng), one(rng)
	both := fault{text: a.text + ", and " + b.text, files: maps.Clone(a.files)}
	for name, content := range b.files {
		had, twice := both.files[name]
		switch {
		case !twice || content == nil:
			both.files[name] = content
		case had != nil: // what each of them changed
			for i, c := range content {
				if i < len(had) && c != s.files[name][i] {
					had[i] = c
				}
			}
		}
	}
	return both
}

// Goal: where every bit is flipped, every byte is a place where its file is cut;
// elsewhere the seed moves the cuts, and their number is always the same.
func TestCutsOfAFile(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	every, some := &battery{}, &battery{flips: 1}
	for _, size := range []int{0, 1, 2, 100, 24 << 10} {
		cuts := every.cuts(rng, size)
		require.Len(t, cuts, size)
		for i, at := range cuts {
			require.Equal(t, i, at)
		}
		cuts = some.cuts(rng, size)
		require.Len(t, cuts, min(size, cutsOfAFile))
		require.True(t, slices.IsSorted(cuts))
		require.Len(t, slices.Compact(cuts), len(cuts))
	}
}

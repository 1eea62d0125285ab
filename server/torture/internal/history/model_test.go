package history

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const limit = 30 * time.Second

// played makes a history that can be explained: calls of several clients on a log,
// each of which happens at a moment between its beginning and its end. It returns the
// calls in the order in which they happened, and where each record is.
func played(seed uint64, calls int) ([]Call, map[uint64]uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	s, offsets := state{hash: Empty}, map[uint64]uint64{}
	var made []Call
	for i := range calls {
		now := time.Duration(i) * time.Millisecond
		c := Call{
			Client: i % 8, Kind: Kind(random.IntN(4)), Expected: NoOffset, Next: s.next, Hash: s.hash,
			Began: now - time.Duration(random.IntN(3000))*time.Microsecond, Ended: now + time.Duration(random.IntN(3000))*time.Microsecond,
		}
		switch c.Kind {
		case Append:
			c.Keys, c.At, c.Next = []uint64{uint64(i), uint64(i) << 32}[:1+i%2], s.next, NoOffset
			switch random.IntN(8) {
			case 0:
				c.Expected, c.Outcome, c.Next = s.next+1, Refused, s.next
			case 1:
				c.Outcome = Unknown
				if i%3 == 0 {
					break
				}
				fallthrough
			default:
				for j, k := range c.Keys {
					offsets[k] = s.next + uint64(j)
				}
				s = s.append(c.Keys)
			}
		case ReadAt:
			c.Offset = random.Uint64N(s.next + 2)
			if c.Outcome = OK; c.Offset >= s.next {
				c.Outcome = Refused
			}
		}
		made = append(made, c)
	}
	end := time.Duration(calls+10) * time.Millisecond
	return append(made, Call{Kind: ReadToEnd, Next: s.next, Hash: s.hash, Began: end, Ended: end + 1}), offsets
}

// Goal: what can be explained passes, with unknown appends and with those settled.
func TestLegal(t *testing.T) {
	for seed := range uint64(20) {
		calls, _ := played(seed, 60)
		require.NoError(t, Check(calls, limit), "seed %d", seed)
		calls, offsets := played(seed, 400)
		require.NoError(t, Check(Settle(calls, offsets), limit), "seed %d, settled", seed)
	}
}

// find returns the number of a call behind the 20th that fits.
func find(t *testing.T, calls []Call, fits func(c *Call) bool) int {
	t.Helper()
	for i := 20; i < len(calls)-20; i++ {
		if fits(&calls[i]) {
			return i
		}
	}
	t.Fatal("the history has no such call: change the seed")
	return 0
}

func acked(c *Call) bool { return c.Kind == Append && c.Outcome == OK }

// Goal: a history that no log can have is found.
// Method: one that can be explained, with one thing changed.
func TestIllegal(t *testing.T) {
	for name, doctor := range map[string]func(t *testing.T, calls []Call) []Call{
		"an acknowledged append that is not there": func(t *testing.T, calls []Call) []Call {
			i := find(t, calls, acked)
			lost := calls[i]
			lost.Keys = []uint64{12345678}
			return slices.Insert(calls, i, lost)
		},
		"an append that nobody made": func(t *testing.T, calls []Call) []Call {
			i := find(t, calls, acked)
			return slices.Delete(calls, i, i+1)
		},
		"a stale read to the end": func(t *testing.T, calls []Call) []Call {
			i := find(t, calls, acked)
			return append(calls, Call{
				Kind: ReadToEnd, Next: calls[i].At, Hash: Empty,
				Began: calls[i].Ended + 1, Ended: calls[i].Ended + 2,
			})
		},
		"a stale description": func(t *testing.T, calls []Call) []Call {
			i := find(t, calls, acked)
			return append(calls, Call{Kind: Describe, Next: calls[i].At, Began: calls[i].Ended + 1, Ended: calls[i].Ended + 2})
		},
		"an acknowledged offset that cannot be read": func(t *testing.T, calls []Call) []Call {
			i := find(t, calls, acked)
			return append(calls, Call{
				Kind: ReadAt, Offset: calls[i].At, Outcome: Refused, Next: calls[i].At,
				Began: calls[i].Ended + 1, Ended: calls[i].Ended + 2,
			})
		},
		"a record read before it was sent": func(t *testing.T, calls []Call) []Call {
			i := find(t, calls, acked)
			return append(calls, Call{Kind: ReadAt, Offset: calls[i].At, Began: calls[i].Began - 2*time.Second, Ended: calls[i].Began - time.Second})
		},
		"an offset given twice": func(t *testing.T, calls []Call) []Call {
			i := find(t, calls, acked)
			j := i + 1
			for ; !acked(&calls[j]); j++ {
			}
			calls[j].At = calls[i].At
			return calls
		},
		"a read with other bytes": func(t *testing.T, calls []Call) []Call {
			calls[find(t, calls, func(c *Call) bool { return c.Kind == ReadToEnd })].Hash ^= 1
			return calls
		},
		"an append at an offset that was not expected": func(t *testing.T, calls []Call) []Call {
			i := find(t, calls, acked)
			calls[i].Expected = calls[i].At + 1
			return calls
		},
		"a refusal although the offset was as expected": func(t *testing.T, calls []Call) []Call {
			i := find(t, calls, func(c *Call) bool { return c.Kind == Append && c.Outcome == Refused })
			calls[i].Expected = calls[i].Next
			return calls
		},
		"two appends in the other order than one after the other": func(t *testing.T, calls []Call) []Call {
			i := find(t, calls, acked)
			calls[i].Began, calls[i].Ended = time.Hour, time.Hour+1
			return calls
		},
	} {
		t.Run(name, func(t *testing.T) {
			calls, offsets := played(7, 200)
			settled := Settle(calls, offsets)
			require.NoError(t, Check(slices.Clone(settled), limit))
			require.ErrorContains(t, Check(doctor(t, settled), limit), "illegal")
		})
	}
}

// Goal: an unknown append may have happened or not, at any time after it was sent, once.
func TestUnknownAppend(t *testing.T) {
	unknown := Call{Kind: Append, Keys: []uint64{5}, Expected: NoOffset, Outcome: Unknown, Began: 10, Ended: 20}
	read := func(at time.Duration, s state) Call {
		return Call{Kind: ReadToEnd, Next: s.next, Hash: s.hash, Began: at, Ended: at + 1}
	}
	none := state{hash: Empty}
	once := none.append([]uint64{5})
	twice := once.append([]uint64{5})
	for name, row := range map[string]struct {
		reads []Call
		legal bool
	}{
		"never":                {[]Call{read(30, none), read(40, none)}, true},
		"at once":              {[]Call{read(30, once), read(40, once)}, true},
		"later":                {[]Call{read(30, none), read(40, once)}, true},
		"before it was sent":   {[]Call{read(1, once)}, false},
		"there and gone again": {[]Call{read(30, once), read(40, none)}, false},
		"twice":                {[]Call{read(30, twice)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(append([]Call{unknown}, row.reads...), limit)
			if row.legal {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "illegal")
			}
		})
	}
}

// Goal: no verdict is a failure.
func TestNoVerdict(t *testing.T) {
	var calls []Call
	for i := range 40 { // all at the same time, and nothing fits: the orders are too many to try
		calls = append(calls, Call{Kind: Append, Keys: []uint64{uint64(i)}, Expected: NoOffset, Outcome: Unknown, Ended: 1})
	}
	calls = append(calls, Call{Kind: ReadToEnd, Next: 40, Hash: 1, Ended: 1})
	err := Check(calls, time.Millisecond)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "no verdict")
}

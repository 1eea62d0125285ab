package commitlogtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func modelTests() []subtest {
	return []subtest{{"RandomCallsAgreeWithSlices", testModel}}
}

// Goal: a thousand random calls do to the engine what they do to a slice of
// records for each log.
func testModel(t *testing.T, open Open) {
	e := open(t)
	m := newModel(t, e)
	for range 1000 {
		m.step(e)
	}
	m.verify(e)
}

// seedVariable names the environment variable that replays a run of the model.
const seedVariable = "PROGLOG_SEED"

// A model is what an engine has to hold: a slice of records for each log.
type model struct {
	t       *testing.T
	rand    *rand.Rand
	can     commitlog.Capabilities
	names   []string // of the logs that may be used
	ids     map[string]string
	records map[string][]commitlog.Record
}

// newModel returns the model of an empty engine. A failed test prints its seed.
func newModel(t *testing.T, e commitlog.Engine) *model {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv(seedVariable); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to replay: %s=%d", seedVariable, seed)
		}
	})
	m := &model{
		t: t, rand: rand.New(rand.NewPCG(seed, 0)), can: e.Capabilities(),
		names: []string{""}, ids: map[string]string{}, records: map[string][]commitlog.Record{},
	}
	if m.can.NamedLogs {
		m.names = append(m.names, "a", "b/c", "b.c")
	}
	return m
}

// step does one random call and holds its result to the model.
func (m *model) step(e commitlog.Engine) {
	name := m.names[m.rand.IntN(len(m.names))]
	log := m.open(e, name)
	switch m.rand.IntN(10) {
	case 0, 1, 2, 3:
		m.append(log, name)
	case 4, 5, 6, 7:
		m.read(log, name)
	case 8:
		require.Equal(m.t, m.bounds(name), log.Bounds())
	case 9:
		if next := m.bounds(name).Next; next > 0 {
			b, err := log.Wait(patient(m.t), m.rand.Uint64N(next))
			require.NoError(m.t, err)
			require.Equal(m.t, m.bounds(name), b)
		}
	}
}

// open returns the log, by Log or Create, and holds it to be there or not and
// to be the same.
func (m *model) open(e commitlog.Engine, name string) commitlog.CommitLog {
	_, exists := m.ids[name]
	if !exists && name != "" {
		requireNotFound(m.t, e, name)
	}
	if exists && m.rand.IntN(2) == 0 {
		log := mustLog(m.t, e, name)
		require.Equal(m.t, m.ids[name], log.ID())
		return log
	}
	log, created, err := e.Create(patient(m.t), name)
	require.NoError(m.t, err)
	require.Equal(m.t, !exists && name != "", created)
	if exists {
		require.Equal(m.t, m.ids[name], log.ID())
	}
	m.ids[name] = log.ID()
	return log
}

func (m *model) bounds(name string) commitlog.Bounds {
	return commitlog.Bounds{Next: uint64(len(m.records[name]))}
}

// append calls Append with one to four batches, of which some must fail.
func (m *model) append(log commitlog.CommitLog, name string) {
	next := m.bounds(name).Next
	var batches []commitlog.Batch
	var refusal any // what the first batch that must fail fails with
	good := 0
	for range 1 + m.rand.IntN(4)*m.rand.IntN(2) {
		b := m.batch()
		if m.can.ExpectedOffset && m.rand.IntN(3) == 0 {
			b = expecting(next, b)
			if m.rand.IntN(4) == 0 {
				b = expecting(next+1+m.rand.Uint64N(3), b)
				refusal = firstOf(refusal, &commitlog.OffsetMismatchError{Expected: *b.ExpectedOffset, Next: next})
			}
		}
		if m.rand.IntN(12) == 0 {
			b.Records[0].Headers = make([]commitlog.Header, 65)
			refusal = firstOf(refusal, &commitlog.TooLargeError{})
			if good == len(batches) {
				refusal = &commitlog.TooLargeError{} // form is judged before the offset
			}
		}
		batches = append(batches, b)
		if refusal == nil {
			good++
			next += uint64(len(b.Records))
		}
	}
	acks, err := log.Append(patient(m.t), batches...)
	require.NoError(m.t, checkAcks(log, acks, batches[:good]))
	m.requireRefusal(refusal, err)
	for i, ack := range acks {
		require.Equal(m.t, m.bounds(name).Next, ack.First)
		for n, r := range batches[i].Records {
			r.Offset, r.Time = ack.First+uint64(n), ack.Time
			m.records[name] = append(m.records[name], r)
		}
	}
	require.Equal(m.t, m.bounds(name), log.Bounds())
}

func firstOf(first, then any) any {
	if first != nil {
		return first
	}
	return then
}

func (m *model) requireRefusal(want any, err error) {
	switch want := want.(type) {
	case nil:
		require.NoError(m.t, err)
	case *commitlog.OffsetMismatchError:
		requireMismatch(m.t, err, want.Expected, want.Next)
	default:
		var tooLarge *commitlog.TooLargeError
		require.ErrorAs(m.t, err, &tooLarge)
	}
}

// batch returns a random batch: mostly few, small records.
func (m *model) batch() commitlog.Batch {
	var b commitlog.Batch
	for range 1 + m.rand.IntN(5)*m.rand.IntN(4) {
		r := commitlog.Record{Value: make([]byte, m.rand.IntN(64))}
		if m.rand.IntN(20) == 0 {
			r.Value = make([]byte, m.rand.IntN(16<<10))
		}
		for i := range r.Value {
			r.Value[i] = byte(m.rand.Uint32())
		}
		for range m.rand.IntN(3) * m.rand.IntN(2) {
			h := commitlog.Header{Name: fmt.Sprint(m.rand.IntN(3)), Value: make([]byte, m.rand.IntN(8))}
			r.Headers = append(r.Headers, h)
		}
		b.Records = append(b.Records, r)
	}
	return b
}

// read reads at a random offset, in or out of the bounds, with random limits.
func (m *model) read(log commitlog.CommitLog, name string) {
	all := m.records[name]
	from := m.rand.IntN(len(all) + 2)
	limit := commitlog.ReadLimit{Records: 1 + m.rand.IntN(20)}
	if m.rand.IntN(2) == 0 {
		limit.Bytes = 1 + m.rand.IntN(2000)
	}
	_, run, err := read(log, uint64(from), limit)
	if from >= len(all) {
		var outside *commitlog.OffsetError
		require.True(m.t, errors.As(err, &outside), "read at %d of %d: %v", from, len(all), err)
		require.Equal(m.t, m.bounds(name), outside.Bounds)
		return
	}
	require.NoError(m.t, err)
	n, size := 1, commitlog.EnvelopeSize(&all[from])
	for n < limit.Records && from+n < len(all) {
		if size += commitlog.EnvelopeSize(&all[from+n]); limit.Bytes > 0 && size > limit.Bytes {
			break
		}
		n++
	}
	requireRun(m.t, run, all[from:from+n])
	require.Equal(m.t, from+n == len(all), run.Tail)
}

// verify holds every log of the engine to the model, in every byte.
func (m *model) verify(e commitlog.Engine) {
	for _, name := range slices.Sorted(slices.Values(m.names)) {
		if _, exists := m.ids[name]; !exists && name != "" {
			requireNotFound(m.t, e, name)
			continue
		}
		log := m.open(e, name)
		got := mustReadAll(m.t, log)
		require.Len(m.t, got, len(m.records[name]))
		for i, want := range m.records[name] {
			require.NoError(m.t, same(want, got[i]))
		}
	}
}

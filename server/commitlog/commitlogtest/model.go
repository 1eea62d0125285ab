package commitlogtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
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

// A model is what an engine has to hold: for each log, what modelLog says.
type model struct {
	t     *testing.T
	rand  *rand.Rand
	can   commitlog.Capabilities
	names []string // of the logs that may be used
	logs  map[string]*modelLog
}

// A modelLog is a slice of records, of which the one at offset i is records[i];
// those below first, of this log or one that had its name, are trimmed.
type modelLog struct {
	id        string // empty: the log does not exist
	first     uint64
	records   []commitlog.Record
	last      time.Time
	settings  commitlog.Settings
	producers map[string]*modelProducer
}

func (l *modelLog) bounds() commitlog.Bounds {
	return commitlog.Bounds{First: l.first, Next: uint64(len(l.records))}
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
		names: []string{""}, logs: map[string]*modelLog{},
	}
	if m.can.NamedLogs {
		m.names = append(m.names, "a", "b.c", "b/c")
	}
	for _, name := range m.names {
		m.logs[name] = &modelLog{producers: map[string]*modelProducer{}}
	}
	return m
}

// step does one random call and holds its result to the model.
func (m *model) step(e commitlog.Engine) {
	name := m.names[m.rand.IntN(len(m.names))]
	log, l := m.open(e, name), m.logs[name]
	switch n := m.rand.IntN(40); {
	case n < 16:
		m.append(log, l)
	case n < 30:
		m.read(log, l)
	case n < 33:
		require.Equal(m.t, l.bounds(), log.Bounds())
	case n < 36:
		if next := l.bounds().Next; next > 0 {
			b, err := log.Wait(patient(m.t), m.rand.Uint64N(next))
			require.NoError(m.t, err)
			require.Equal(m.t, l.bounds(), b)
		}
	case n < 38:
		m.trim(log, l)
	case n < 39:
		m.change(e, name, l)
	default:
		m.delete(e, log, name, l)
	}
}

// open returns the log, by Log or Put, and holds it to be there or not and to be
// the same.
func (m *model) open(e commitlog.Engine, name string) commitlog.CommitLog {
	l := m.logs[name]
	exists := l.id != ""
	if !exists && name != "" {
		requireNotFound(m.t, e, name)
	}
	if exists && m.rand.IntN(2) == 0 {
		log := mustLog(m.t, e, name)
		require.Equal(m.t, l.id, log.ID())
		return log
	}
	log, created, err := e.Put(patient(m.t), name, commitlog.Change{})
	require.NoError(m.t, err)
	require.Equal(m.t, !exists && name != "", created)
	if exists {
		require.Equal(m.t, l.id, log.ID())
	}
	l.id = log.ID()
	return log
}

// append calls Append with one to four batches, of which some must fail.
func (m *model) append(log commitlog.CommitLog, l *modelLog) {
	var batches []commitlog.Batch
	for range 1 + m.rand.IntN(4)*m.rand.IntN(2) {
		b := m.batch()
		if m.can.ExpectedOffset && m.rand.IntN(4) == 0 {
			b = expecting(l.bounds().Next+m.rand.Uint64N(3)*m.rand.Uint64N(2), b)
		}
		if m.can.Producers && m.rand.IntN(2) == 0 {
			b = m.produced(l, b)
		}
		if m.rand.IntN(20) == 0 {
			b.Records[0].Headers = make([]commitlog.Header, 65)
		}
		batches = append(batches, b)
	}
	acks, err := log.Append(patient(m.t), batches...)
	for i, b := range batches {
		replayed, refusal := l.judge(b, m.can.Dedup)
		if refusal != nil {
			m.requireRefusal(refusal, err)
			require.Len(m.t, acks, i)
			require.Equal(m.t, l.bounds(), log.Bounds())
			return
		}
		require.Greater(m.t, len(acks), i, "%v", err)
		if replayed != nil {
			require.NoError(m.t, checkReplay(*replayed, acks[i]))
			continue
		}
		require.NoError(m.t, checkAcks(log, acks[i:i+1], batches[i:i+1]))
		require.Equal(m.t, l.bounds().Next, acks[i].First)
		require.False(m.t, acks[i].Time.Before(l.last))
		l.append(b, acks[i])
	}
	require.NoError(m.t, err)
	require.Len(m.t, acks, len(batches))
	require.Equal(m.t, l.bounds(), log.Bounds())
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
func (m *model) read(log commitlog.CommitLog, l *modelLog) {
	all := l.records
	from := m.rand.IntN(len(all) + 2)
	limit := commitlog.ReadLimit{Records: 1 + m.rand.IntN(20)}
	if m.rand.IntN(2) == 0 {
		limit.Bytes = 1 + m.rand.IntN(2000)
	}
	_, run, err := read(log, uint64(from), limit)
	if uint64(from) < l.first || from >= len(all) {
		var outside *commitlog.OffsetError
		require.True(m.t, errors.As(err, &outside), "read at %d of %+v: %v", from, l.bounds(), err)
		require.Equal(m.t, l.bounds(), outside.Bounds)
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
	for _, name := range m.names {
		l := m.logs[name]
		if l.id == "" && name != "" {
			requireNotFound(m.t, e, name)
			continue
		}
		log := m.open(e, name)
		require.Equal(m.t, l.bounds(), log.Bounds())
		got := mustReadAll(m.t, log)
		require.Len(m.t, got, len(l.records[l.first:]))
		for i, want := range l.records[l.first:] {
			require.NoError(m.t, same(want, got[i]))
		}
		m.verifyInfo(log, name, l)
	}
}

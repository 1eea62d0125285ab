package commitlogtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func openMemory(t *testing.T) (commitlog.Engine, func() error) {
	m := NewMemory(Options{})
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m, m.Close
}

// Goal: the engine in memory passes the suite.
func TestMemory(t *testing.T) {
	Run(t, func(t *testing.T) commitlog.Engine {
		m, _ := openMemory(t)
		return m
	})
}

// Goal: the engine in memory ends as the contract says.
func TestMemoryClose(t *testing.T) {
	RunClose(t, openMemory)
}

// A shelf keeps engines in memory from one life to the next, by directory, as a
// disk would.
type shelf map[string]*Memory

func (s shelf) open(t *testing.T, dir string, now func() time.Time) (commitlog.Engine, func() error) {
	m := NewMemory(Options{Now: now})
	if before, ok := s[dir]; ok {
		m.ended, m.logs = before.ended, map[string]*memoryLog{}
		for name, l := range before.logs {
			again := *l
			again.engine, again.changed = m, make(chan struct{})
			m.logs[name] = &again
		}
	}
	s[dir] = m
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m, m.Close
}

// Goal: the suite of durable engines can be passed, shown by the engine in
// memory with its logs kept between its lives.
func TestReopenMemory(t *testing.T) {
	RunReopen(t, shelf{}.open)
}

// Goal: the options are used: the clock gives the time, and never takes it
// back; the limits hold.
func TestMemoryOptions(t *testing.T) {
	now := time.Date(2001, 2, 3, 4, 5, 6, 789, time.FixedZone("", 3600))
	limits := commitlog.DefaultLimits()
	limits.ValueBytes = 3
	m := NewMemory(Options{Limits: limits, Now: func() time.Time { return now }})
	log := namedLog(t, m, "")

	require.Equal(t, now.UTC(), mustAppend(t, log, batch("a"))[0].Time)
	first := now
	now = now.Add(-time.Second)
	require.Equal(t, first.UTC(), mustAppend(t, log, batch("b"))[0].Time)
	now = now.Add(time.Hour)
	require.Equal(t, now.UTC(), mustAppend(t, log, batch("c"))[0].Time)

	_, err := log.Append(t.Context(), batch("four"))
	require.Equal(t, &commitlog.TooLargeError{What: "value bytes", Size: 4, Limit: 3}, err)
	_, err = log.Append(t.Context(), commitlog.Batch{})
	require.Error(t, err)
	requireValues(t, log, "a", "b", "c")
}

package commitlogtest

import (
	"testing"

	"github.com/proglog/proglog/server/commitlog"
)

// An Open returns a new, empty engine with [commitlog.DefaultLimits] that
// shares nothing with those it returned before. It closes the engine with
// t.Cleanup.
type Open func(t *testing.T) commitlog.Engine

// A subtest is one duty of an engine. Most need one engine, of their own.
type subtest struct {
	name string
	run  func(t *testing.T, open Open)
}

// A subject is a group of subtests, such as Append.
type subject struct {
	name     string
	subtests []subtest
}

// Run holds an engine to the contract that package commitlog states. What an
// engine does not claim in its Capabilities it must refuse, so no subtest is
// ever skipped.
func Run(t *testing.T, open Open) {
	for _, s := range []subject{
		{"Append", appendTests()},
		{"Limits", limitTests()},
		{"Expected", expectedTests()},
		{"Read", readTests()},
		{"Wait", waitTests()},
		{"Logs", logTests()},
		{"Producers", producerTests()},
		{"Settings", settingsTests()},
		{"Trim", trimTests()},
		{"Delete", deleteTests()},
		{"List", listTests()},
		{"Time", timeTests()},
		{"Info", infoTests()},
		{"Concurrent", concurrentTests()},
		{"Model", modelTests()},
	} {
		t.Run(s.name, func(t *testing.T) {
			for _, sub := range s.subtests {
				t.Run(sub.name, func(t *testing.T) { sub.run(t, open) })
			}
		})
	}
}

// onDefault makes a subtest of the default log of a new engine.
func onDefault(run func(t *testing.T, log commitlog.CommitLog)) func(*testing.T, Open) {
	return func(t *testing.T, open Open) { run(t, namedLog(t, open(t), "")) }
}

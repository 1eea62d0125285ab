//go:build !race

package log

// raceEnabled says that every step costs ten times as much.
const raceEnabled = false

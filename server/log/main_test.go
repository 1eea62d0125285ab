package log

import (
	"os"
	"runtime/debug"
	"testing"
)

// The simulations make much garbage and keep little: to collect it less often
// halves their time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

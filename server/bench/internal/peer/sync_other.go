//go:build !linux

package peer

import "os"

// dataSync is the strongest sync there is.
func dataSync(f *os.File) error { return f.Sync() }
